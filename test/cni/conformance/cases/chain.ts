// Rows 172–178: what a runtime does with a list of plugins and with its cache (facts: libcni). Except for one bridge, the plugins are
// scripts that write down when they are called.

import type { JsonObject } from '../attachment.ts';
import { type Case, casesOf, type Row } from '../case.ts';
import { bridge, sentTo, stub } from '../configs.ts';
import { CACHE_DIR, type ChainOperation, type ChainOutcome } from '../driver.ts';
import { holds, present, same, sameText } from '../expect.ts';
import type { Trial } from '../trial.ts';

const NETWORK = 'n1';

/** Makes a plugin that writes each call into `log`, runs `script`, and answers ADD with a result that names it. */
function noting(trial: Trial, name: string, script = ''): string {
  const result = { cniVersion: '$version', interfaces: [{ name }], ips: [{ address: '10.0.0.2/24' }] };
  return stub(
    trial,
    name,
    `echo "${name} $CNI_COMMAND" >> "${trial.path('log')}"
version=$(sed 's/.*"cniVersion":"\\([^"]*\\)".*/\\1/' "${trial.path('stub')}/${name}.$CNI_COMMAND.json")
${script}
[ "$CNI_COMMAND" = ADD ] && echo "${JSON.stringify(result).replaceAll('"', '\\"')}"
exit 0`,
  );
}

/** The calls, by plugin and command, since this function was last called. */
function log(trial: Trial): string[] {
  const lines = (trial.read('log') ?? '').split('\n').filter(Boolean);
  trial.write('log', '');
  return lines;
}

/** Writes the network's configuration list. Its plugins are `first` and `second` unless `keys` say otherwise. */
function writeList(trial: Trial, keys: JsonObject = {}): void {
  noting(trial, 'first');
  noting(trial, 'second');
  const list = { cniVersion: '1.1.0', name: NETWORK, plugins: [{ type: 'first' }, { type: 'second' }], ...keys };
  trial.write('net.d/10-n1.conflist', JSON.stringify(list));
}

function run(trial: Trial, operation: ChainOperation): Promise<ChainOutcome> {
  const driver = present(trial.driver, 'chain driver');
  return driver.run(trial.sandbox, {
    operation,
    configDir: trial.path('net.d'),
    network: NETWORK,
    pluginPath: `${trial.path('stub')}:${trial.bin}`,
    netns: '/run/netns/c1',
    ifname: 'eth0',
  });
}

async function succeeds(trial: Trial, operation: ChainOperation): Promise<void> {
  const { ok, text } = await run(trial, operation);
  holds(ok, `${operation} fails: ${text}`);
}

async function fails(trial: Trial, operation: ChainOperation, text: RegExp): Promise<void> {
  const outcome = await run(trial, operation);
  holds(!outcome.ok, `${operation} succeeds`);
  sameText(outcome.text, text, `error of ${operation}`);
}

async function cached(trial: Trial): Promise<string[]> {
  const text = await trial.sh(`ls ${CACHE_DIR}/results 2>/dev/null || true`);
  return text.split('\n').filter(Boolean);
}

const rows: readonly Row[] = [
  {
    id: '172a',
    title: 'ADD runs the list forward and DEL backward; the result is passed on, cached, and removed by DEL',
    check: wholeLife,
  },
  {
    id: '172b',
    title: 'ADD, CHECK and DEL succeed for a list with the plugin bridge',
    check: async (trial) => {
      const { cniVersion, ...plugin } = bridge(trial);
      writeList(trial, { cniVersion, plugins: [plugin] });
      await succeeds(trial, 'add');
      await trial.link('eth0', 'c1');
      await succeeds(trial, 'check');
      await succeeds(trial, 'del');
      same(await trial.findLink('eth0', 'c1'), undefined, 'eth0');
      same(trial.addresses(), [], 'addresses reserved');
      same(await cached(trial), [], 'cached results');
    },
  },
  {
    id: '173',
    title: 'GC first runs DEL for cached attachments that are not valid, then GC of every plugin',
    check: async (trial) => {
      writeList(trial);
      await succeeds(trial, 'add');
      log(trial);
      await succeeds(trial, 'gc');
      same(log(trial), ['second DEL', 'first DEL', 'first GC', 'second GC'], 'calls');
      same(await cached(trial), [], 'cached results');
      await succeeds(trial, 'del');
    },
  },
  {
    id: '174a',
    title: 'disableCheck "TRUE" makes CHECK run no plugin',
    check: async (trial) => {
      writeList(trial, { disableCheck: 'TRUE' });
      await succeeds(trial, 'add');
      log(trial);
      await succeeds(trial, 'check');
      same(log(trial), [], 'calls');
    },
  },
  {
    id: '174b',
    title: 'disableCheck "x" is refused',
    check: async (trial) => {
      writeList(trial, { disableCheck: 'x' });
      await fails(trial, 'add', /error parsing configuration list: invalid value "x" for disableCheck/);
      same(log(trial), [], 'calls');
    },
  },
  {
    id: '175a',
    title: 'the runtime chooses the newest of cniVersions that it knows',
    check: async (trial) => {
      writeList(trial, { cniVersion: '0.4.0', cniVersions: ['0.3.1', '1.1.0', '99.0.0'] });
      await succeeds(trial, 'add');
      same(sentTo(trial, 'first', 'ADD')?.['cniVersion'], '1.1.0', 'cniVersion the plugin is sent');
    },
  },
  {
    id: '175b',
    title: 'an entry of cniVersions that is no version is refused',
    check: async (trial) => {
      writeList(trial, { cniVersions: ['a.b'] });
      await fails(trial, 'add', /invalid cniVersions entry/);
      same(log(trial), [], 'calls');
    },
  },
  {
    id: '176a',
    title: 'plugins of the network’s folder follow those of the list, ordered by file name',
    check: async (trial) => {
      writeList(trial, { plugins: [{ type: 'first' }] });
      noting(trial, 'third');
      trial.write(`net.d/${NETWORK}/20.conf`, '{"type":"third"}');
      trial.write(`net.d/${NETWORK}/10.conf`, '{"type":"second"}');
      await succeeds(trial, 'add');
      same(log(trial), ['first ADD', 'second ADD', 'third ADD'], 'calls');
    },
  },
  {
    id: '176b',
    title: 'plugins may be in the network’s folder alone, unless the list forbids that folder',
    check: async (trial) => {
      writeList(trial, { plugins: undefined });
      trial.write(`net.d/${NETWORK}/10.conf`, '{"type":"second"}');
      await succeeds(trial, 'add');
      same(log(trial), ['second ADD'], 'calls');
      writeList(trial, { plugins: undefined, loadOnlyInlinedPlugins: true });
      await fails(trial, 'del', /loadOnlyInlinedPlugins/);
    },
  },
  {
    id: '177',
    title: 'STATUS stops at the first plugin that is not available',
    check: async (trial) => {
      writeList(trial);
      await succeeds(trial, 'status');
      same(log(trial), ['first STATUS', 'second STATUS'], 'calls');
      noting(trial, 'first', `[ "$CNI_COMMAND" = STATUS ] && { echo '{"code":50,"msg":"not today"}'; exit 1; }`);
      await fails(trial, 'status', /not today/);
      same(log(trial), ['first STATUS'], 'calls');
    },
  },
  {
    id: '178',
    title: 'a damaged cached result makes CHECK fail, and DEL succeeds with it',
    check: async (trial) => {
      writeList(trial);
      await succeeds(trial, 'add');
      await trial.sh(`for f in ${CACHE_DIR}/results/*; do echo '{bad' > "$f"; done`);
      await fails(trial, 'check', /cached result/);
      log(trial);
      await succeeds(trial, 'del');
      same(log(trial), ['second DEL', 'first DEL'], 'calls');
      same('prevResult' in (sentTo(trial, 'first', 'DEL') ?? {}), false, 'whether DEL has a prevResult');
      same(await cached(trial), [], 'cached results');
    },
  },
];

async function wholeLife(trial: Trial): Promise<void> {
  writeList(trial);
  await succeeds(trial, 'add');
  same(log(trial), ['first ADD', 'second ADD'], 'calls of ADD');
  const handed = sentTo(trial, 'second', 'ADD')?.['prevResult'] as { interfaces?: unknown } | undefined;
  same(handed?.interfaces, [{ name: 'first' }], 'interfaces the second plugin is sent');
  same('prevResult' in (sentTo(trial, 'first', 'ADD') ?? {}), false, 'whether the first plugin is sent a prevResult');
  const files = await cached(trial);
  sameText(files.join(' '), /^n1-[a-z0-9-]+-eth0$/, 'cached results');
  await succeeds(trial, 'check');
  same(log(trial), ['first CHECK', 'second CHECK'], 'calls of CHECK');
  await succeeds(trial, 'del');
  same(log(trial), ['second DEL', 'first DEL'], 'calls of DEL');
  const last = sentTo(trial, 'first', 'DEL')?.['prevResult'] as { interfaces?: unknown } | undefined;
  same(last?.interfaces, [{ name: 'second' }], 'interfaces DEL is sent');
  same(await cached(trial), [], 'cached results after DEL');
}

export const chainCases: readonly Case[] = casesOf('chain', rows);
