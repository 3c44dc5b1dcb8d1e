import { afterAll, beforeAll, describe } from 'vitest';
import type { EtcdCluster, EtcdSpec } from '../../support/etcd.ts';
import { startEtcd } from '../../support/etcd.ts';
import { describeContract } from '../../support/store-contract.ts';
import { makeEtcdSite } from './etcd-site.ts';

const clusters: { name: string; spec: EtcdSpec }[] = [
  { name: 'etcd, one member', spec: { members: 1 } },
  { name: 'etcd, three members, TLS with client certificates', spec: { members: 3, tls: true } },
];

for (const { name, spec } of clusters) {
  describe(name, () => {
    let cluster: EtcdCluster | undefined;
    beforeAll(async () => {
      cluster = await startEtcd(spec);
    });
    afterAll(async () => await cluster?.stop());
    describeContract({
      name,
      agents: 12,
      cutsSubnets: true,
      async makeSite(netConf) {
        if (cluster === undefined) throw new Error('etcd did not start');
        const site = await makeEtcdSite(cluster, netConf);
        return { ...site, manager: () => Promise.resolve(site.manager()) };
      },
    });
  });
}
