// Rows 46–52: the configuration that flannel saves at ADD, and DEL when that is lost, when DEL is repeated, or when the netns is gone.

import { type Case, type Check, casesOf, type Row } from '../case.ts';
import { flannel, stub, writeSubnetEnv } from '../configs.ts';
import { holds, same } from '../expect.ts';
import type { Trial } from '../trial.ts';

/** Requires that after DEL no address, saved configuration, container interface or bridge port is left. */
async function allGone(trial: Trial): Promise<void> {
  same(trial.addresses(), [], 'addresses reserved');
  same(trial.list('flannel'), [], 'saved configurations');
  same(await trial.ports(), [], 'ports of cni0');
}

/** Overwrites the files of all saved configurations. */
function spoil(trial: Trial, text: string): void {
  const saved = trial.list('flannel');
  holds(saved.length > 0, 'nothing was saved at ADD');
  for (const name of saved) trial.write(`flannel/${name}`, text);
}

function lostFile(text: string): { check: Check; reference: Check } {
  const prepare = async (trial: Trial): Promise<void> => {
    writeSubnetEnv(trial);
    const pod = trial.attachment(flannel(trial));
    await pod.add();
    spoil(trial, text);
    await pod.del();
  };
  return {
    check: async (trial) => {
      await prepare(trial);
      await allGone(trial);
    },
    reference: async (trial) => {
      await prepare(trial);
      same(trial.addresses(), ['10.1.17.2'], 'addresses leaked');
    },
  };
}

/** Makes an IPAM plugin whose DEL fails as long as the file `broken` exists. */
function flakyIpam(trial: Trial): string {
  const failing = `{ echo '{"code":999,"msg":"broken today"}'; exit 1; }`;
  const script = `[ "$CNI_COMMAND" = DEL ] && [ -e "${trial.path('broken')}" ] && ${failing}
exec "${trial.bin}/host-local" < "${trial.path('stub')}/flaky.$CNI_COMMAND.json"`;
  return stub(trial, 'flaky', script);
}

async function delAfterFailedDel(trial: Trial): Promise<void> {
  writeSubnetEnv(trial);
  const ipam = { type: 'flaky', dataDir: trial.path('networks') };
  const pod = trial.attachment(flannel(trial, { ipam }), { path: flakyIpam(trial) });
  await pod.add();
  same(trial.addresses(), ['10.1.17.2'], 'addresses reserved');
  trial.write('broken', '');
  await pod.fails('DEL', { code: 999, msg: 'broken today' });
  trial.remove('broken');
  await pod.del();
}

async function twoInterfaces(trial: Trial): Promise<void> {
  writeSubnetEnv(trial);
  const first = trial.attachment(flannel(trial));
  const second = first.with({ ifname: 'eth1' });
  await first.add();
  await second.add();
  same(trial.addresses(), ['10.1.17.2', '10.1.17.3'], 'addresses reserved');
  await first.del();
  await second.del();
}

const rows: readonly Row[] = [
  {
    id: '46',
    title: 'a second DEL succeeds; the first has removed the saved configuration',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial));
      await pod.add();
      holds(trial.list('flannel').length > 0, 'nothing was saved at ADD');
      await pod.del();
      await allGone(trial);
      await pod.del();
    },
  },
  {
    id: '48',
    title: 'DEL frees the address although the network namespace is gone',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial));
      await pod.add();
      same(trial.addresses(), ['10.1.17.2'], 'addresses reserved');
      await trial.sandbox.removeContainer('c1');
      await pod.del();
      same(trial.addresses(), [], 'addresses reserved');
    },
  },
  ...[
    { id: '49a', title: 'an empty saved configuration', text: '' },
    { id: '49b', title: 'a spoilt saved configuration', text: '{bad' },
  ].map(({ id, title, text }): Row => {
    const { check, reference } = lostFile(text);
    const reason = 'a power cut can leave such a file; DEL works from what the runtime sends';
    return {
      id,
      title: `DEL with ${title} removes interface and address all the same`,
      referenceFrom: 'main',
      check,
      differs: { reason, reference },
    };
  }),
  {
    id: '49c',
    own: true,
    title: 'DEL without a saved configuration removes interface and address all the same',
    differs: { reason: 'the reference plugin takes a missing file as a sign that the container never existed' },
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial));
      await pod.add();
      for (const name of trial.list('flannel')) trial.remove(`flannel/${name}`);
      await pod.del();
      await allGone(trial);
    },
  },
  {
    id: '50',
    referenceFrom: 'main',
    title: 'D29: a second DEL frees the address after the first one failed',
    differs: {
      reason: 'Weft keeps the saved configuration until the delegate has succeeded',
      reference: async (trial) => {
        await delAfterFailedDel(trial);
        same(trial.addresses(), ['10.1.17.2'], 'addresses leaked');
      },
    },
    check: async (trial) => {
      await delAfterFailedDel(trial);
      await allGone(trial);
    },
  },
  {
    id: '51',
    title: 'D28: DEL of each of a container’s two interfaces removes that interface and frees its address',
    differs: {
      reason: 'Weft saves one configuration for each interface of a container',
      reference: async (trial) => {
        await twoInterfaces(trial);
        same(trial.addresses().length, 1, 'addresses leaked');
      },
    },
    check: async (trial) => {
      await twoInterfaces(trial);
      await allGone(trial);
    },
  },
  {
    id: '51b',
    own: true,
    title: 'DEL uses and removes a configuration that the reference plugin saved',
    differs: { reason: 'this is what an upgrade with running pods needs; the reference plugin made the file itself' },
    check: oldSavedFile,
  },
  {
    id: '52a',
    since: '0.4.0',
    title: 'CHECK succeeds after ADD',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial));
      await pod.check(await pod.add());
    },
  },
  {
    id: '52b',
    since: '1.1.0',
    title: 'GC changes nothing when every attachment is valid',
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial, { cniVersion: '1.1.0' }));
      await pod.add();
      const attachments = [{ containerID: 'c1', ifname: 'eth0' }];
      const outcome = await pod.exec('GC', { 'cni.dev/valid-attachments': attachments });
      same([outcome.exitCode, outcome.stdout], [0, ''], 'GC');
      same(trial.addresses(), ['10.1.17.2'], 'addresses reserved');
      await trial.link('eth0', 'c1');
    },
  },
  {
    id: '52c',
    since: '1.1.0',
    title: 'GC frees the addresses and interfaces of attachments that are not valid',
    differs: {
      reason: 'the reference plugin succeeds and does nothing, so addresses of lost containers leak',
      reference: async (trial) => {
        await collect(trial);
        same(trial.addresses(), ['10.1.17.2'], 'addresses leaked');
      },
    },
    check: async (trial) => {
      await collect(trial);
      same(trial.addresses(), [], 'addresses reserved');
      same(trial.list('flannel'), [], 'saved configurations');
    },
  },
  {
    id: '52d',
    since: '1.1.0',
    title: 'STATUS fails with code 50 while subnet.env is missing, and succeeds once the file is there',
    differs: {
      reason: 'the runtime learns that the node is not ready, so that it starts no pod that would fail',
      reference: async (trial) => {
        const outcome = await trial.attachment(flannel(trial, { cniVersion: '1.1.0' })).exec('STATUS');
        same([outcome.exitCode, outcome.stdout], [0, ''], 'STATUS');
      },
    },
    check: async (trial) => {
      const pod = trial.attachment(flannel(trial, { cniVersion: '1.1.0' }));
      await pod.fails('STATUS', { code: 50, msg: /subnet\.env/ });
      writeSubnetEnv(trial);
      const outcome = await pod.exec('STATUS');
      same([outcome.exitCode, outcome.stdout], [0, ''], 'STATUS');
    },
  },
  {
    id: '52e',
    own: true,
    since: '0.4.0',
    title: 'CHECK fails when the container’s interface is gone',
    differs: { reason: 'the reference plugin succeeds without a check' },
    check: async (trial) => {
      writeSubnetEnv(trial);
      const pod = trial.attachment(flannel(trial));
      const prevResult = await pod.add();
      await trial.sh('ip link delete eth0', 'c1');
      await pod.fails('CHECK', { code: 999, msg: /eth0/ }, { prevResult });
    },
  },
];

async function collect(trial: Trial): Promise<void> {
  writeSubnetEnv(trial);
  const pod = trial.attachment(flannel(trial, { cniVersion: '1.1.0' }));
  await pod.add();
  same(trial.addresses(), ['10.1.17.2'], 'addresses reserved');
  await trial.sandbox.removeContainer('c1');
  const outcome = await pod.exec('GC', { 'cni.dev/valid-attachments': [] });
  same([outcome.exitCode, outcome.stdout], [0, ''], 'GC');
}

async function oldSavedFile(trial: Trial): Promise<void> {
  const { cniVersion, name, ipam } = flannel(trial) as { cniVersion: string; name: string; ipam: object };
  const saved = {
    cniVersion,
    name,
    type: 'bridge',
    bridge: 'cni0',
    ipMasq: false,
    isGateway: true,
    mtu: 1472,
    ipam: { type: 'host-local', ...ipam, ranges: [[{ subnet: '10.1.17.0/24' }]] },
  };
  await trial.attachment(saved, { plugin: 'bridge' }).add();
  trial.write('flannel/c1', JSON.stringify(saved));
  await trial.attachment(flannel(trial)).del();
  await allGone(trial);
}

export const flannelDelCases: readonly Case[] = casesOf('flannel', rows);
