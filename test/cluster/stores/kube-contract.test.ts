import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import type { KubeApiserver } from '../../support/kube-apiserver.ts';
import { apiserverNeeded, hasKubeApiserver, startKubeApiserver } from '../../support/kube-apiserver.ts';
import { makeKubeSite } from '../../support/kube-site.ts';
import { needs } from '../../support/needs.ts';
import { describeContract } from '../../support/store-contract.ts';

describe('a real kube-apiserver, with the rights of the agent only', () => {
  let server: KubeApiserver | undefined;
  beforeAll(async () => {
    if (hasKubeApiserver()) server = await startKubeApiserver();
  }, 180_000);
  afterAll(async () => await server?.stop());
  beforeEach(() => needs.machine(hasKubeApiserver(), apiserverNeeded));

  describeContract({
    name: 'Kubernetes',
    agents: 8,
    cutsSubnets: false,
    makeSite(netConf) {
      if (server === undefined) throw new Error('kube-apiserver did not start');
      return Promise.resolve(makeKubeSite(server.admin, netConf, { agentAccess: server.agent }));
    },
  });
});
