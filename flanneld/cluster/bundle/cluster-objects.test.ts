import { describe, expect, test } from 'vitest';
import { daemonSetObject, nodeObject } from './cluster-objects.ts';

const HUSH = 'hush-hush-4711';

describe('nodeObject', () => {
  const node = {
    metadata: {
      name: 'node-1',
      annotations: {
        'flannel.alpha.coreos.com/public-ip': '192.0.2.1',
        'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}',
        'kubectl.kubernetes.io/last-applied-configuration': `{"token":"${HUSH}"}`,
        'example.org/anything': HUSH,
      },
      labels: { 'kubernetes.io/os': 'linux', 'example.org/owner': HUSH },
      managedFields: [{ manager: HUSH }],
    },
    spec: { podCIDRs: ['10.244.1.0/24'], providerID: HUSH, taints: [{ key: 'a', value: HUSH, effect: 'NoSchedule' }] },
    status: {
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
      conditions: [{ type: 'Ready', status: 'True', message: `password=${HUSH}` }],
      nodeInfo: { kernelVersion: '6.18', machineID: HUSH, systemUUID: HUSH, bootID: HUSH },
      images: [{ names: [HUSH] }],
    },
  };

  test('has flannel’s annotations, addresses, conditions and versions', () => {
    expect(nodeObject(node)).toMatchObject({
      name: 'node-1',
      annotations: { 'flannel.alpha.coreos.com/public-ip': '192.0.2.1' },
      labels: { 'kubernetes.io/os': 'linux' },
      podCIDRs: ['10.244.1.0/24'],
      taints: [{ key: 'a', effect: 'NoSchedule' }],
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
      conditions: [{ type: 'Ready', status: 'True' }],
      nodeInfo: { kernelVersion: '6.18' },
    });
  });

  test('has nothing else', () => {
    expect(JSON.stringify(nodeObject(node))).not.toContain(HUSH);
  });
});

describe('daemonSetObject', () => {
  const container = {
    name: 'flanneld',
    image: 'weft:1',
    command: ['/opt/weft/flanneld'],
    args: ['--iface=eth0', `--etcd-password=${HUSH}`],
    env: [
      { name: 'NODE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      { name: 'FLANNELD_IFACE', value: 'eth0' },
      { name: 'FLANNELD_ETCD_PASSWORD', value: HUSH },
      { name: 'HTTPS_PROXY', value: HUSH },
    ],
  };
  const daemonSet = {
    metadata: { namespace: 'weft', name: 'weft', annotations: { a: HUSH } },
    spec: { template: { metadata: { annotations: { b: HUSH } }, spec: { containers: [container] } } },
  };

  test('has the agent’s flags and variables', () => {
    expect(daemonSetObject(daemonSet)).toMatchObject({
      containers: [
        {
          args: ['--iface=eth0', '--etcd-password=(left out)'],
          env: [
            { name: 'NODE_NAME', value: 'from fieldRef' },
            { name: 'FLANNELD_IFACE', value: 'eth0' },
            { name: 'FLANNELD_ETCD_PASSWORD', value: '(left out)' },
            { name: 'HTTPS_PROXY', value: '(left out)' },
          ],
        },
      ],
    });
  });

  test('has no secret', () => {
    expect(JSON.stringify(daemonSetObject(daemonSet))).not.toContain(HUSH);
  });
});
