// Users search kubelet's events for the errors of flannel's CNI plugin and its delegates. The executable's errors have the same words and
// also say what to do.

import { rmSync } from 'node:fs';
import { expect } from 'vitest';
import type { JsonObject } from '../cni/conformance/attachment.ts';
import { node, test } from '../support/cni-test.ts';
import { expectFound, type SearchedError } from '../support/search-words.ts';

interface Row extends SearchedError {
  readonly prepare?: () => Promise<unknown> | undefined;
  readonly config?: JsonObject;
}

const rows: readonly Row[] = [
  {
    flannel: "failed to load flannel 'subnet.env' file: open",
    advice: /subnet\.env: no such file or directory\. Check the flannel pod log for this node\./,
    prepare: () => {
      rmSync(node.path('subnet.env'));
      return undefined;
    },
  },
  {
    flannel: 'subnet.env is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET',
    advice: /Check the flannel pod log for this node/,
    prepare: () => {
      node.write('subnet.env', 'FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n');
      return undefined;
    },
  },
  {
    flannel: 'failed to delegate add: failed to find plugin "nothere" in path',
    advice: /in path \[.*bin.*\]/,
    config: { delegate: { type: 'nothere' } },
  },
  {
    flannel: "'delegate' dictionary, if present, must have (string) 'type' field",
    advice: /\(string\)/,
    config: { delegate: { type: 1 } },
  },
  {
    flannel: "'delegate' dictionary must not have 'name' field, it'll be set by flannel",
    advice: /set by flannel/,
    config: { delegate: { name: 'x' } },
  },
  {
    flannel: '"cni0" already has an IP address different from 10.244.1.1/24',
    advice: /remove it \(ip addr del 10\.244\.9\.1\/24 dev cni0\)/,
    async prepare() {
      await node.sandbox.must(['ip', 'link', 'add', 'cni0', 'type', 'bridge']);
      await node.sandbox.must(['ip', 'addr', 'add', '10.244.9.1/24', 'dev', 'cni0']);
    },
  },
  {
    flannel: 'no IP addresses available in range set',
    advice: /held by: 10\.244\.1\.2 /,
    async prepare() {
      node.writeSubnetEnv({ FLANNEL_SUBNET: '10.244.1.1/30' });
      await node.attachment({ container: 'other', netns: await node.pod('other') }).add();
    },
  },
];

test.for(rows)('$flannel', async ({ prepare, config = {}, ...row }) => {
  await prepare?.();
  const outcome = await node.attachment({}, config).exec('ADD');
  expect(outcome.exitCode).toBe(1);
  const { msg, details = '' } = JSON.parse(outcome.stdout) as { msg: string; details?: string };
  expectFound(`${msg} ${details}`, row);
});
