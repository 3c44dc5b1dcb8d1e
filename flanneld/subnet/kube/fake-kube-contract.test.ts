import { onTestFinished } from 'vitest';
import { FakeKube } from '../../../test/support/fake-kube.ts';
import { makeKubeSite } from '../../../test/support/kube-site.ts';
import { describeContract } from '../../../test/support/store-contract.ts';

describeContract({
  name: 'Kubernetes, fake API server',
  agents: 8,
  cutsSubnets: false,
  async makeSite(netConf) {
    const server = await new FakeKube().start();
    onTestFinished(async () => await server.stop());
    return makeKubeSite(server.access, netConf);
  },
});
