// Runs in a pod on the network of one node, and measures from there: it makes pods on another node, and asks the pods that serve. What it
// found it writes into the ConfigMap `result`. When the program that started it is gone, it removes the namespace and ends.
const { setTimeout: sleep } = require('node:timers/promises');
const { api, sandboxes } = require('./kube.cjs');
const { nowUs } = require('./common.cjs');
const { clockOffset, getJson } = require('./measure.cjs');

const STEP_MS = 120_000;
const ORPHAN_MS = 60_000;
const setup = JSON.parse(process.env.SETUP);
const pods = `/api/v1/namespaces/${setup.namespace}/pods`;
const configMaps = `/api/v1/namespaces/${setup.namespace}/configmaps`;
const MERGE = 'application/merge-patch+json';

const failures = [];
const notes = [];

async function until(what, find) {
  const end = Date.now() + STEP_MS;
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${STEP_MS / 1000} s`);
    await sleep(2);
  }
}

function firstPod(name) {
  const spec = JSON.parse(JSON.stringify(setup.pod));
  spec.nodeName = setup.farNode;
  spec.containers[0].command = ['node', '/program/serve.cjs', 'first', name, setup.collector];
  return { metadata: { name, labels: { bench: 'first' } }, spec };
}

/** Makes one pod, waits for its first packet, removes it. The collector has this node's clock. */
async function newPod(name, ahead) {
  const before = await sandboxes(setup.kubelet);
  if (before === undefined && notes.length === 0)
    notes.push('the far node’s kubelet does not answer, so sandboxes are not timed');
  const createdUs = nowUs();
  await api('POST', pods, firstPod(name));
  const seen = await until(`the first packet of ${name}`, async () => (await getJson(setup.collector)).firsts[name]);
  const after = before && (await sandboxes(setup.kubelet));
  await api('DELETE', `${pods}/${name}?gracePeriodSeconds=0`);
  await untilGone(name);
  return {
    firstPacketMs: (seen.receivedUs - createdUs) / 1000,
    // The pod's clock is the far node's, which is ahead of ours.
    oneWayMs: (seen.receivedUs - (seen.sentUs - ahead)) / 1000,
    sandboxMs: after && after.count === before.count + 1 ? (after.sum - before.sum) * 1000 : null,
  };
}

async function untilGone(name) {
  await until(`the end of ${name}`, async () => {
    const { items } = await api('GET', `${pods}?labelSelector=bench%3Dfirst`);
    return items.some(({ metadata }) => name === undefined || metadata.name === name) ? undefined : true;
  });
}

/** Makes all at once; resolves to the time until the last has sent its first packet, and until all are gone. */
async function churn(round) {
  const names = Array.from({ length: setup.churn }, (_, at) => `churn-${round}-${at}`);
  const start = performance.now();
  await Promise.all(names.map((name) => api('POST', pods, firstPod(name))));
  await until('the first packets of all', async () => {
    const { firsts } = await getJson(setup.collector);
    return names.every((name) => firsts[name] !== undefined) ? true : undefined;
  });
  const up = performance.now();
  await Promise.all(names.map((name) => api('DELETE', `${pods}/${name}?gracePeriodSeconds=0`)));
  await untilGone();
  return { upMs: up - start, goneMs: performance.now() - up };
}

async function measure(report) {
  const samples = {};
  const add = (key, value) => {
    samples[key] ??= [];
    samples[key].push(value);
  };
  const clock = await clockOffset(setup.far);
  for (let round = 0; round < setup.rounds; round += 1) {
    await report('new pods', round, setup.rounds);
    const one = await newPod(`first-${round}`, (await clockOffset(setup.far, 50)).aheadUs);
    for (const [key, value] of Object.entries(one)) add(key, value);
  }
  for (let round = 0; round < setup.churns; round += 1) {
    await report(`${setup.churn} pods at once`, round, setup.churns);
    for (const [key, value] of Object.entries(await churn(round))) add(key, value);
  }
  // In turns, so that what disturbs the nodes meets all paths.
  const paths = await usablePaths();
  for (let round = 0; round < setup.rounds; round += 1) {
    await report('paths', round, setup.rounds);
    for (const path of paths) for (const kind of ['tcp', 'udp']) add(`${kind}/${path.key}`, await along(path, kind));
  }
  return { samples, clock };
}

/** One measurement along a path, by the pod where it begins; null when it failed. */
async function along({ key, from, address, counter }, kind) {
  const query = kind === 'udp' ? `count=${setup.exchanges}` : `counter=${counter}&ms=${setup.streamMs}`;
  try {
    return (await getJson(from, `/${kind}?address=${address}&${query}`, STEP_MS)).measured;
  } catch (error) {
    failures.push(`${kind} ${key}: ${error.message}`);
    return null;
  }
}

/** All paths; the one by a Service only where something translates it. */
async function usablePaths() {
  const isUsable = async ({ key, from, address }) =>
    key !== 'service' ||
    (await getJson(from, `/udp?address=${address}&count=1`, 5000).then(
      () => true,
      () => false,
    ));
  const usable = [];
  for (const path of setup.paths) {
    if (await isUsable(path)) usable.push(path);
    else notes.push('the Service does not answer, so it is not measured: is there a kube-proxy?');
  }
  return usable;
}

async function write(data) {
  await api('PATCH', `${configMaps}/result`, { data }, MERGE);
}

/** Ends everything when the heart of the program outside has not beaten for a minute. */
async function watchStarter() {
  let [last, since] = ['', Date.now()];
  for (;;) {
    await sleep(5000);
    const beat = (await api('GET', `${configMaps}/heart`).catch(() => undefined))?.data?.beat;
    if (beat !== undefined && beat !== last) [last, since] = [beat, Date.now()];
    if (Date.now() - since < ORPHAN_MS) continue;
    // The namespace owns what is outside of it. An API server that does not answer now is asked again.
    const path = `/api/v1/namespaces/${setup.namespace}`;
    const isRemoved = await api('DELETE', path).then(
      () => true,
      () => false,
    );
    if (isRemoved) process.exit(3);
  }
}

async function main() {
  void watchStarter();
  const report = (label, done, total) => write({ progress: JSON.stringify({ label, done, total }) });
  try {
    const found = await measure(report);
    await write({ result: JSON.stringify({ ...found, failures, notes }) });
  } catch (error) {
    await write({ result: JSON.stringify({ samples: {}, failures: [...failures, error.message], notes }) });
  }
  setInterval(() => undefined, 60_000);
}

process.on('SIGTERM', () => process.exit(0));
void main();
