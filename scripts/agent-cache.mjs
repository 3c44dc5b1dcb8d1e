// Makes V8's code cache of the agent's program for dist/flanneld-agent.cache. It has every function of the modules that a start usually
// runs, so that V8 need not compile them again at each start; of the other modules it has only what runs when they are loaded. The same
// program gives the same bytes with the same version of Node.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { Session } from 'node:inspector';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInThisContext, Script } from 'node:vm';

const self = fileURLToPath(import.meta.url);

/**
 * Beginnings of the paths of modules of which a start with the Kubernetes store, VXLAN and nftables runs nothing, or little. In the cache
 * they would take memory, and time to read them.
 */
const SELDOM_RUN = `
flanneld/backend/alloc flanneld/backend/extension flanneld/backend/host-gw flanneld/backend/ipip flanneld/backend/moving
flanneld/backend/on-link flanneld/backend/route-peer flanneld/backend/udp flanneld/backend/wireguard flanneld/fastpath/
flanneld/firewall/guard-report flanneld/firewall/iptables flanneld/health/metrics flanneld/health/status/ flanneld/pods/cleanup/
flanneld/pods/refusal/ flanneld/probes/classify flanneld/probes/echo-witness flanneld/probes/frame flanneld/subnet/directory
flanneld/subnet/etcd/ flanneld/subnet/lease-dir lib/bpf/ lib/genetlink/ lib/netfilter/conntrack lib/netfilter/counters
lib/netfilter/legacy-table lib/netfilter/trace-event lib/pods/ lib/rtnetlink/bpf-filter lib/sys/tun-node lib/xfrm/
node_modules/@kubernetes/client-node/src/azure_auth node_modules/@kubernetes/client-node/src/exec_auth
node_modules/@kubernetes/client-node/src/gcp_auth node_modules/@kubernetes/client-node/src/oidc_auth node_modules/commander/lib/help
node_modules/commander/lib/suggestSimilar node_modules/js-yaml/lib/dumper node_modules/js-yaml/lib/snippet
node_modules/on-exit-leak-free/ node_modules/pino-std-serializers/ node_modules/pino/lib/multistream node_modules/prom-client/
node_modules/safe-stable-stringify/`
  .trim()
  .split(/\s+/);

/** Each process has its own seed for the hashes of texts, which would order tables in the cache. This one is used where it is made. */
const SEED = '--hash-seed=1';

/**
 * The content of the file: a line that says for which Node, processor and program it is, and V8's data. `map` is the program's source map,
 * `engine` a script that sets the flags of V8 that the agent sets, and `flags` are those on its command line. Rejects when V8 would not
 * take the data.
 */
export async function agentCache({ program, map, engine, flags }) {
  const ranges = map === undefined ? [[0, program.length]] : await usualRanges(program, map);
  const data = await runSelf([SEED, ...flags], { program, engine, ranges });
  const answer = await runSelf(flags, { program, engine, data: data.toString('base64') });
  if (answer.toString() !== 'taken')
    throw new Error('build: V8 does not take its own code cache of dist/flanneld-agent.js');
  const digest = createHash('sha256').update(program).digest('hex');
  return Buffer.concat([Buffer.from(`${process.version} ${process.arch} ${digest}\n`), data]);
}

/** Which bytes of the program are of modules that a start usually runs: [from, to) in ascending order. */
async function usualRanges(program, { sources, mappings }) {
  // Imported here and not at the top, because set-up may have to install it first.
  const { decode } = await import('@jridgewell/sourcemap-codec');
  const paths = sources.map((source) => source.replace(/^(\.\.\/)+/, ''));
  const gone = SELDOM_RUN.find((start) => !paths.some((path) => path.startsWith(start)));
  if (gone !== undefined)
    throw new Error(`build: SELDOM_RUN names ${gone}, but dist/flanneld-agent.js has no such module`);
  const isUsual = paths.map((path) => !SELDOM_RUN.some((start) => path.startsWith(start)));
  const lineStarts = [0, ...[...program.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const ranges = [];
  let open;
  for (const [line, segments] of decode(mappings).entries()) {
    for (const [column, source] of segments) {
      if (source === undefined) continue;
      const at = lineStarts[line] + column;
      if (isUsual[source]) open ??= at;
      if (isUsual[source] || open === undefined) continue;
      ranges.push([open, at]);
      open = undefined;
    }
  }
  return open === undefined ? ranges : [...ranges, [open, program.length]];
}

/** Runs this file as a program with `flags` for Node. Resolves to what it prints. */
function runSelf(flags, input) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, self], { stdio: ['pipe', 'pipe', 'inherit'], env: {} });
    const printed = [];
    child.stdout.on('data', (chunk) => printed.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(printed));
      else reject(new Error(`build: the code cache of dist/flanneld-agent.js could not be made: exit ${code}`));
    });
    child.stdin.end(JSON.stringify(input));
  });
}

async function serve() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { program, engine, ranges, data } = JSON.parse(Buffer.concat(chunks).toString());
  runInThisContext(`(function (require) {${engine}\n})`)(createRequire(self));
  if (data === undefined) process.stdout.write(compiled(program, ranges));
  else process.stdout.write(isTaken(program, Buffer.from(data, 'base64')) ? 'taken' : 'refused');
}

function isTaken(program, cachedData) {
  return new Script(program, { filename: 'flanneld-agent.js', cachedData }).cachedDataRejected === false;
}

/**
 * V8's data with the functions in these ranges. V8 compiles a function when it is first called. It also does when a debugger asks where in
 * a range one could stop, and only so without calling it.
 */
function compiled(program, ranges) {
  // V8 notes the flags in its data, and this one is not among those of the agent.
  setFlagsFromString('--hash-seed=0');
  const session = new Session();
  session.connect();
  let scriptId;
  session.on('Debugger.scriptParsed', ({ params }) => {
    if (params.url.endsWith('flanneld-agent.js')) ({ scriptId } = params);
  });
  session.post('Debugger.enable');
  const script = new Script(program, { filename: 'flanneld-agent.js' });
  // Makes the function that the program is, and does not call it. Before, the script belongs to no context, and no debugger is told of it.
  script.runInThisContext();
  const lineStarts = [0, ...[...program.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const placeOf = (at) => {
    const lineNumber = lineStarts.findLastIndex((start) => start <= at);
    return { scriptId, lineNumber, columnNumber: at - lineStarts[lineNumber] };
  };
  const errors = [];
  for (const [from, to] of ranges) {
    session.post('Debugger.getPossibleBreakpoints', { start: placeOf(from), end: placeOf(to) }, (error) => {
      if (error !== null) errors.push(error);
    });
  }
  if (errors.length > 0) throw errors[0];
  session.post('Debugger.disable');
  session.disconnect();
  return script.createCachedData();
}

if (process.argv[1] === self) await serve();
