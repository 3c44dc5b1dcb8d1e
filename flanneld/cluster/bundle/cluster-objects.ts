// Selects the fields of the cluster's objects that go into a bundle. Annotations, labels and variables of other programs are left out and
// not masked, because they may contain anything (kubectl keeps whole objects in one of its annotations).

import { isSecretName, LEFT_OUT, scrub, scrubArgv } from '../../../lib/redact.ts';
import { type Fields, fieldsOf, listOf, textOf, textsOf } from '../ask/cluster-api.ts';

/** Annotations of flannel and Weft, with any prefix. */
const OUR_ANNOTATION =
  /(?:^|[/-])(?:kube-subnet-manager|backend-type|backend-data|backend-v6-data|public-ip(?:v6)?(?:-overwrite)?|node-public-ip(?:v6)?)$/;
const PLAIN_LABEL =
  /^(?:kubernetes\.io\/(?:os|arch|hostname)|topology\.kubernetes\.io\/(?:zone|region)|node\.kubernetes\.io\/instance-type)$/;
/** Variables of the agent that are not secret. */
const OUR_VARIABLE = /^(?:FLANNELD_[A-Z0-9_]+|NODE_NAME|POD_NAME|POD_NAMESPACE|KUBERNETES_SERVICE_(?:HOST|PORT))$/;

export function nodeObject(node: Fields): object {
  const [metadata, spec, status] = ['metadata', 'spec', 'status'].map((key) => fieldsOf(node[key]));
  return {
    name: textOf(metadata?.['name']),
    creationTimestamp: textOf(metadata?.['creationTimestamp']),
    annotations: onlyNamed(fieldsOf(metadata?.['annotations']), OUR_ANNOTATION),
    labels: onlyNamed(fieldsOf(metadata?.['labels']), PLAIN_LABEL),
    podCIDRs: textsOf(spec?.['podCIDRs']),
    unschedulable: spec?.['unschedulable'] === true,
    taints: listOf(spec?.['taints']).map(({ key, effect }) => ({ key: textOf(key), effect: textOf(effect) })),
    addresses: listOf(status?.['addresses']).map(({ type, address }) => ({
      type: textOf(type),
      address: textOf(address),
    })),
    conditions: listOf(status?.['conditions']).map(conditionObject),
    nodeInfo: onlyNamed(fieldsOf(status?.['nodeInfo']), /^(?!bootID|machineID|systemUUID)/),
  };
}

function conditionObject({ type, status, reason, message, lastTransitionTime }: Fields): object {
  const [kind, state, why, since] = [type, status, reason, lastTransitionTime].map(textOf);
  return { type: kind, status: state, reason: why, message: scrub(textOf(message)), lastTransitionTime: since };
}

export function daemonSetObject(daemonSet: Fields): object {
  const [metadata, spec, status] = ['metadata', 'spec', 'status'].map((key) => fieldsOf(daemonSet[key]));
  const template = fieldsOf(fieldsOf(spec?.['template'])['spec']);
  return {
    namespace: textOf(metadata?.['namespace']),
    name: textOf(metadata?.['name']),
    generation: metadata?.['generation'],
    status,
    hostNetwork: template['hostNetwork'] === true,
    priorityClassName: textOf(template['priorityClassName']),
    tolerations: template['tolerations'],
    containers: listOf(template['containers']).map(containerObject),
    volumes: listOf(template['volumes']).map(({ name, hostPath, configMap }) => ({
      name: textOf(name),
      ...(hostPath !== undefined && { hostPath: textOf(fieldsOf(hostPath)['path']) }),
      ...(configMap !== undefined && { configMap: textOf(fieldsOf(configMap)['name']) }),
    })),
  };
}

function containerObject(container: Fields): object {
  const { resources, securityContext, volumeMounts, livenessProbe, readinessProbe } = container;
  return {
    name: textOf(container['name']),
    image: textOf(container['image']),
    command: scrubArgv(textsOf(container['command'])),
    args: scrubArgv(textsOf(container['args'])),
    env: listOf(container['env']).map((each) => ({ name: textOf(each['name']), value: variableValue(each) })),
    ...{ resources, securityContext, volumeMounts, livenessProbe, readinessProbe },
  };
}

function variableValue({ name, value, valueFrom }: Fields): string {
  if (valueFrom !== undefined) return `from ${Object.keys(fieldsOf(valueFrom)).join()}`;
  const isPlain = OUR_VARIABLE.test(textOf(name)) && !isSecretName(textOf(name));
  return isPlain ? scrub(textOf(value)) : LEFT_OUT;
}

function onlyNamed(fields: Fields, names: RegExp): Record<string, string> {
  const kept = Object.entries(fields).filter(([name]) => names.test(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, scrub(textOf(value))]));
}
