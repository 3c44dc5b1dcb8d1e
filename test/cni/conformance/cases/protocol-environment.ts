// Rows 1–13: what the environment variables must contain, and the errors when they do not (facts: libcni pkg/skel).

import { failsWith, silentSuccess } from '../attachment.ts';
import { type Case, casesOfEach, type PluginName, type Row } from '../case.ts';
import { ordinary } from '../configs.ts';
import { holds, same, sameText } from '../expect.ts';
import type { Trial } from '../trial.ts';
import { ALL_VERSIONS } from '../versions.ts';

export const overlayPlugins: readonly PluginName[] = ['flannel', 'bridge', 'host-local'];

/** A row in which ADD with these variables must fail with code 4. An empty variable counts as missing. */
function refused(id: string, title: string, env: Record<string, string>, msg: string, details?: string): Row {
  return {
    id,
    title,
    check: async (trial) => {
      const pod = trial.attachment(ordinary(trial), { env });
      await pod.fails(env['CNI_COMMAND'] ?? 'ADD', { code: 4, msg, ...(details === undefined ? {} : { details }) });
      same(await trial.findLink('eth0', 'c1'), undefined, 'eth0 after the refusal');
      same(trial.addresses(), [], 'addresses reserved');
    },
  };
}

const TOO_LONG = 'interface name should be less than 16 characters';
const BAD_ID = 'invalid characters in containerID';
const BAD_CHARACTER = 'interface name contains / or : or whitespace characters';

const rows: readonly Row[] = [
  {
    id: '1',
    referenceFrom: '1.1.1',
    title: 'without CNI_COMMAND the plugin prints its name and versions on stderr',
    check: aboutText,
  },
  refused('2a', 'CNI_COMMAND=FOO is refused', { CNI_COMMAND: 'FOO' }, 'unknown CNI_COMMAND: FOO'),
  refused('2b', 'a CNI_COMMAND in lower case is refused', { CNI_COMMAND: 'add' }, 'unknown CNI_COMMAND: add'),
  {
    id: '3',
    title: 'one error names all missing variables, in a fixed order',
    check: async (trial) => {
      const outcome = await trial.call({ env: { CNI_COMMAND: 'ADD' }, stdin: ordinary(trial) });
      const msg = 'required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing';
      failsWith(outcome, { code: 4, msg }, 'ADD');
    },
  },
  refused(
    '4',
    'an empty CNI_NETNS is refused as a missing one',
    { CNI_NETNS: '' },
    'required env variables [CNI_NETNS] missing',
  ),
  { id: '5', title: 'DEL without CNI_NETNS succeeds and frees the address', check: delWithoutNetns },
  { id: '6', since: '1.1.0', title: 'GC and STATUS need only CNI_COMMAND and CNI_PATH', check: fewVariables },
  {
    id: '7',
    since: '1.1.0',
    title: 'GC without CNI_PATH is refused',
    check: async (trial) => {
      const stdin = ordinary(trial, { cniVersion: '1.1.0' });
      const outcome = await trial.call({ env: { CNI_COMMAND: 'GC' }, stdin });
      failsWith(outcome, { code: 4, msg: 'required env variables [CNI_PATH] missing' }, 'GC');
    },
  },
  refused(
    '8',
    'CHECK without CNI_IFNAME is refused',
    { CNI_COMMAND: 'CHECK', CNI_IFNAME: '' },
    'required env variables [CNI_IFNAME] missing',
  ),
  { id: '9', title: 'VERSION answers although stdin stays open', check: versionWithOpenStdin },
  refused(
    '10a',
    'a container id with % is refused',
    { CNI_CONTAINERID: 'some-%%container-id' },
    BAD_ID,
    'some-%%container-id',
  ),
  refused('10b', 'a container id that begins with a dot is refused', { CNI_CONTAINERID: '.x' }, BAD_ID, '.x'),
  refused(
    '11',
    'an interface name of 16 bytes is refused',
    { CNI_IFNAME: '1234567890123456' },
    'interface name is too long',
    TOO_LONG,
  ),
  refused('12a', 'the interface name . is refused', { CNI_IFNAME: '.' }, 'interface name is . or ..'),
  refused('12b', 'the interface name .. is refused', { CNI_IFNAME: '..' }, 'interface name is . or ..'),
  refused('13a', 'an interface name with / is refused', { CNI_IFNAME: 'a/b' }, BAD_CHARACTER),
  refused('13b', 'an interface name with : is refused', { CNI_IFNAME: 'a:b' }, BAD_CHARACTER),
  refused('13c', 'an interface name with a blank is refused', { CNI_IFNAME: 'a b' }, BAD_CHARACTER),
];

async function aboutText(trial: Trial): Promise<void> {
  const outcome = await trial.call({ env: {}, stdin: '' });
  same(outcome.exitCode, 0, 'exit code');
  same(outcome.stdout, '', 'stdout');
  sameText(
    outcome.stderr,
    /^CNI .*\nCNI protocol versions supported: 0\.1\.0, 0\.2\.0, 0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0/,
    'stderr',
  );
}

async function delWithoutNetns(trial: Trial): Promise<void> {
  const pod = trial.attachment(ordinary(trial));
  await pod.add();
  same(trial.addresses().length, 1, 'addresses reserved after ADD');
  await pod.with({ env: { CNI_NETNS: '' } }).del();
  same(trial.addresses(), [], 'addresses reserved after DEL');
}

async function fewVariables(trial: Trial): Promise<void> {
  const stdin = ordinary(trial, { cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] });
  for (const command of ['GC', 'STATUS']) {
    const env = { CNI_COMMAND: command, CNI_PATH: trial.bin };
    silentSuccess(await trial.call({ env, stdin }), command);
    // Control: an executable that ignores the command would succeed here, too.
    const msg = `config version does not allow ${command}`;
    failsWith(
      await trial.call({ env, stdin: { ...stdin, cniVersion: '1.0.0' } }),
      { code: 1, msg },
      `${command} of 1.0.0`,
    );
  }
}

async function versionWithOpenStdin(trial: Trial): Promise<void> {
  const outcome = await trial.callWithOpenStdin({ CNI_COMMAND: 'VERSION' });
  same(outcome.exitCode, 0, 'exit code of VERSION');
  const { cniVersion, supportedVersions } = JSON.parse(outcome.stdout || '{}');
  holds(Array.isArray(supportedVersions), `VERSION: no supportedVersions in ${outcome.stdout}`);
  same(supportedVersions, ALL_VERSIONS.slice(0, supportedVersions.length), 'supportedVersions');
  same(cniVersion, supportedVersions.at(-1), 'cniVersion of VERSION');
}

export const environmentCases: readonly Case[] = casesOfEach(overlayPlugins, rows);
