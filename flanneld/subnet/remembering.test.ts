import { describe, expect, test } from 'vitest';
import { formatIp, parseIp, parsePrefix } from '../../lib/ip.ts';
import { type JsonValue, jsonObject, parseJson, stringifyJson } from '../../lib/json.ts';
import { parseNetConf } from '../../lib/net-conf.ts';
import { follow } from '../../test/support/follow.ts';
import { recordingLog } from '../../test/support/recording-log.ts';
import { never, nodeAttributes } from '../../test/support/store-contract.ts';
import type { Lease, LeaseSnapshot, SubnetManager } from './manager.ts';
import { createRememberingManager } from './remembering.ts';
import type { SavedState } from './saved-state.ts';
import { parseSavedState, renderSavedState } from './saved-state.ts';

const netConf = '{"Network":"10.244.0.0/16"}';
const own: Lease = { ...nodeAttributes(1), subnet: parsePrefix('10.244.1.0/24') };
const peer: Lease = { ...nodeAttributes(7), subnet: parsePrefix('10.244.7.0/24') };
const nodeAddresses = { publicIp: parseIp('192.168.0.5'), overwriteIp: parseIp('203.0.113.7') };
const snapshot: LeaseSnapshot = { leases: new Map([['p', peer]]), problems: [], ownKey: 'a', nodeAddresses };
const earlier: SavedState = { store: 'test', netConf, own, snapshot };

/** A store that answers only once `answer` is called. */
function makeStore(memory: SavedState | undefined) {
  const saved: SavedState[] = [];
  const asked: string[] = [];
  const { log, logged } = recordingLog();
  const gate = deferred<{ lease: Lease; snapshot: LeaseSnapshot }>();
  const inner: SubnetManager = {
    networkConfig: () => gate.promise.then(() => parseNetConf(netConf).config),
    nodeAddresses: () => gate.promise.then(() => ({ publicIp: parsePrefix('192.168.0.5/32').ip })),
    async acquire({ publicIp }, signal) {
      const answer = await Promise.race([gate.promise, aborted(signal)]);
      signal.throwIfAborted();
      if (answer === undefined) throw new Error('not aborted, not answered');
      asked.push(publicIp === undefined ? 'none' : formatIp(publicIp));
      return answer.lease;
    },
    async watch(onSnapshot, signal) {
      await Promise.race([gate.promise.then((answer) => onSnapshot(answer.snapshot)), aborted(signal)]);
      await aborted(signal);
    },
  };
  const memoryOf = {
    earlier: memory,
    save: (state: SavedState) => void saved.push(state),
    flush: () => Promise.resolve(),
  };
  const options = { store: 'test', memory: memoryOf, patienceMs: 30, log };
  return {
    manager: createRememberingManager(() => inner, options),
    saved,
    asked,
    logged,
    answer: gate.resolve,
    fail: gate.reject,
  };
}

function deferred<T>() {
  let settle: { resolve(value: T): void; reject(error: Error): void } | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => undefined);
  return {
    promise,
    resolve: (value: T): void => settle?.resolve(value),
    reject: (error: Error): void => settle?.reject(error),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve());
  });
}

describe('a store that does not answer', () => {
  test('is replaced by its last known state until it answers', async () => {
    const { manager, answer, logged, saved } = makeStore(earlier);
    expect((await manager.networkConfig(never)).network).toEqual(parsePrefix('10.244.0.0/16'));
    expect(await manager.nodeAddresses?.(never)).toEqual(nodeAddresses);
    const { until } = follow(manager);
    expect(await until(() => true)).toEqual(snapshot);
    const recalled = { ...nodeAttributes(2), publicIp: nodeAddresses.overwriteIp, subnet: own.subnet };
    expect(await manager.acquire(nodeAttributes(2), never)).toEqual(recalled);
    expect(logged.join('\n')).toContain('cluster state does not answer, its last answer is used');
    const news = { ...snapshot, leases: new Map([['q', peer]]) };
    answer({ lease: own, snapshot: news });
    await until(({ leases }) => leases.has('q'));
    expect(saved.at(-1)?.snapshot).toBe(news);
  });

  test('learns in the end the node’s last address, not those in between', async () => {
    const { manager, answer, asked, logged } = makeStore(earlier);
    const { ended } = follow(manager);
    for (const host of [2, 3, 4]) await manager.acquire(nodeAttributes(host), never);
    answer({ lease: own, snapshot });
    await expect.poll(() => logged.join('\n')).toContain('cluster state answers again {"what":"lease"}');
    expect(asked).toEqual(['192.168.0.4']);
    const stillWatching = new Promise((resolve) => setImmediate(() => resolve('still watching')));
    expect(await Promise.race([ended, stillWatching])).toBe('still watching');
  });

  test('is waited for when no state was saved', async () => {
    const { manager, answer } = makeStore(undefined);
    const acquiring = manager.acquire(nodeAttributes(2), never);
    const { snapshots, until } = follow(manager);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(snapshots).toEqual([]);
    answer({ lease: peer, snapshot });
    expect(await acquiring).toBe(peer);
    await until(({ leases }) => leases.has('p'));
  });

  test('ends the watch when its answer is another subnet or a refusal', async () => {
    const other = makeStore(earlier);
    await other.manager.acquire(nodeAttributes(2), never);
    const changed = follow(other.manager);
    other.answer({ lease: peer, snapshot });
    await expect(changed.ended).rejects.toThrow(
      /acquire 10\.244\.7\.0\/24: changed \(the agent used 10\.244\.1\.0\/24/,
    );
    const refusing = makeStore(earlier);
    await refusing.manager.acquire(nodeAttributes(2), never);
    const refused = follow(refusing.manager);
    refusing.fail(new Error('out of subnets'));
    await expect(refused.ended).rejects.toThrow('out of subnets');
  });
});

describe('the saved state', () => {
  test('is read back as it was written', () => {
    expect(parseSavedState(renderSavedState(earlier))).toEqual(earlier);
    const nothing = { store: 'test', netConf: undefined, own: undefined, snapshot: undefined };
    expect(parseSavedState(renderSavedState(nothing))).toEqual(nothing);
  });

  const leaseWith = (backendData: JsonValue): Lease => ({ ...peer, created: '7', backendData });
  const nested = (depth: number): JsonValue => parseJson('['.repeat(depth) + ']'.repeat(depth));

  test('loses no lease because of the content of another', () => {
    const hostile: readonly JsonValue[] = [
      nested(125),
      nested(128),
      jsonObject({ VNI: 1, VtepMAC: nested(125) }),
      jsonObject({ VNI: 1, VtepMAC: '02:00:00:00:00:07', Junk: nested(125) }),
      'x'.repeat(60_000),
    ];
    const leases = new Map([...hostile.entries()].map(([at, data]) => [`bad-${at}`, leaseWith(data)] as const));
    const text = renderSavedState({ ...earlier, snapshot: { ...snapshot, leases: new Map([...leases, ['p', peer]]) } });
    expect(text.length).toBeLessThan(3000);
    const read = parseSavedState(text);
    expect(read.snapshot?.leases.get('p')).toEqual(peer);
    expect(read.snapshot?.leases.size).toBe(6);
    expect(read.snapshot?.problems).toEqual([]);
    // One lease is valid except for an unknown key. It keeps all keys that matter.
    expect(read.snapshot?.leases.get('bad-3')).toEqual(leaseWith(jsonObject({ VNI: 1, VtepMAC: '02:00:00:00:00:07' })));
  });

  test('keeps the data for the extension backend’s commands, however deep, and the order of creation', () => {
    const deep = { ...leaseWith(nested(125)), backendType: 'extension' };
    const read = parseSavedState(
      renderSavedState({ ...earlier, own: deep, snapshot: { ...snapshot, leases: new Map([['deep', deep]]) } }),
    );
    expect(read.snapshot?.leases.get('deep')).toEqual(deep);
    expect(read.own).toEqual(deep);
  });

  test('loses only the lease that cannot be read, and names it', () => {
    const good = stringifyJson(jsonObject({ Key: 'p', Subnet: '10.244.7.0/24' }));
    const bad = ['{', '7', '{"Key":"q"}', `{"Subnet":${'['.repeat(200)}`];
    const text = stringifyJson(jsonObject({ Store: 'test', Own: '{', Leases: [...bad, good, 1] }));
    const { own: lost, snapshot: read } = parseSavedState(text);
    expect(lost).toBeUndefined();
    expect([...(read?.leases.keys() ?? [])]).toEqual(['p']);
    expect(read?.problems.map(({ key }) => key)).toEqual([1, 2, 3, 4, 6].map((at) => `remembered lease ${at}`));
  });

  test('is read when an earlier version wrote it', () => {
    const text =
      '{"Store":"test","Own":{"Subnet":"10.244.1.0/24"},"Leases":[{"Key":"p","Subnet":"10.244.7.0/24","PublicIP":"192.168.0.7"}]}';
    const { own: ours, snapshot: read } = parseSavedState(text);
    expect(ours?.subnet).toEqual(parsePrefix('10.244.1.0/24'));
    expect(read?.leases.get('p')?.publicIp).toEqual(parseIp('192.168.0.7'));
  });

  test.for(['', '[]', '{"Leases":1}', '{"NodeAddresses":{"PublicIP":"x"}}'])('%s is refused', (text) => {
    expect(() => parseSavedState(text)).toThrow(/^saved leases: /);
  });
});
