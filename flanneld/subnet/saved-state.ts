// The last known cluster state, saved in a file beside subnet.env. With it an agent that starts while the API server or etcd does not
// answer continues where the last agent stopped. Like the kernel's state, the file does not survive a reboot.

import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { breathe } from '../../lib/clock-node.ts';
import { errorText } from '../../lib/errors.ts';
import { makeFolders } from '../../lib/files-node.ts';
import { formatIp } from '../../lib/ip.ts';
import type { JsonObject } from '../../lib/json.ts';
import { field, jsonObject, stringifyJson } from '../../lib/json.ts';
import type { JsonPlace } from '../../lib/json-fields.ts';
import { parsePlace, readList, readObject, readString } from '../../lib/json-fields.ts';
import { readTextIfPresent } from '../../lib/sys/file.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import type { Logger } from '../health/log.ts';
import { readAddress } from './lease-file.ts';
import type { Lease, LeaseSnapshot, NodeAddresses } from './manager.ts';
import { readSavedLease, readSavedLeases, renderSavedLease } from './saved-lease.ts';

export interface SavedState {
  /** The store it came from; the state of another store is not used. */
  readonly store: string;
  /** The text of the network configuration, if it is kept in the store. */
  readonly netConf: string | undefined;
  /** This node's lease as it was published. */
  readonly own: Lease | undefined;
  readonly snapshot: LeaseSnapshot | undefined;
}

/** 20 000 dual-stack leases. */
const MAX_BYTES = 16 * 1024 * 1024;

/** The path for an agent that writes `subnetFile`. */
export function savedStateFile(subnetFile: string): string {
  return join(dirname(subnetFile), 'weft-leases.json');
}

/** The saved state of `store`; undefined when there is none or it is unreadable. */
export function readSavedState(sys: Syscalls, file: string, store: string, log: Logger): SavedState | undefined {
  try {
    const text = readTextIfPresent(sys, file, MAX_BYTES);
    if (text === undefined) return undefined;
    const state = parseSavedState(text);
    return state.store === store ? state : undefined;
  } catch (error) {
    log.warn({ file, err: errorText(error) }, 'saved cluster state ignored');
    return undefined;
  }
}

/** An unreadable lease becomes a problem in the snapshot; anything else that is wrong throws ConfigError. */
export function parseSavedState(text: string): SavedState {
  const root = parsePlace('saved leases', text);
  const isKnown = field(root.object, 'Leases') !== undefined;
  const ownKey = readString(root, 'OwnKey');
  const addresses = readObject(root, 'NodeAddresses');
  const nodeAddresses = addresses && readNodeAddresses(addresses);
  const rest = { ...(ownKey !== undefined && { ownKey }), ...(nodeAddresses && { nodeAddresses }) };
  return {
    store: readString(root, 'Store') ?? '',
    netConf: readString(root, 'NetConf'),
    own: readOwn(root),
    snapshot: isKnown ? { ...readSavedLeases(readList(root, 'Leases') ?? []), ...rest } : undefined,
  };
}

/** Our own lease; undefined when it is missing or unreadable, and then the node waits for the store. */
function readOwn(root: JsonPlace): Lease | undefined {
  const own = field(root.object, 'Own');
  try {
    return own === undefined || own === null ? undefined : readSavedLease(own)[1];
  } catch {
    return undefined;
  }
}

const addressKeys = [
  ['publicIp', 'PublicIP', 4],
  ['publicIpv6', 'PublicIPv6', 6],
  ['overwriteIp', 'OverwriteIP', 4],
  ['overwriteIpv6', 'OverwriteIPv6', 6],
] as const;

function readNodeAddresses(place: JsonPlace): NodeAddresses {
  return Object.fromEntries(
    addressKeys.flatMap(([key, name, family]) => {
      const ip = readAddress(place, name, family);
      return ip === undefined ? [] : [[key, ip]];
    }),
  );
}

function nodeAddressesToJson(addresses: NodeAddresses): JsonObject {
  const texts = addressKeys.map(([key, name]) => [name, addresses[key] && formatIp(addresses[key])] as const);
  return jsonObject(Object.fromEntries(texts));
}

export function renderSavedState(state: SavedState): string {
  return [...savedStateParts(state)].join('');
}

/** How many leases are rendered in one piece: less than a millisecond of work. */
const PART = 100;

/**
 * The text in pieces, so that the text of thousands of leases is never in memory as a whole, and other work can be done in between.
 */
function* savedStateParts({ store, netConf, own, snapshot }: SavedState): Generator<string, void> {
  const state = {
    Store: store,
    NetConf: netConf,
    Own: own && renderSavedLease('', own),
    OwnKey: snapshot?.ownKey,
    NodeAddresses: snapshot?.nodeAddresses && nodeAddressesToJson(snapshot.nodeAddresses),
  };
  const head = stringifyJson(jsonObject(state)).slice(0, -1);
  // A copy, because the leases must not be read with pauses in between.
  const leases = snapshot && [...snapshot.leases];
  yield leases === undefined ? head : `${head},"Leases":[`;
  for (let at = 0; leases !== undefined && at < leases.length; at += PART) {
    const texts = leases.slice(at, at + PART).map(([key, lease]) => stringifyJson(renderSavedLease(key, lease)));
    yield (at === 0 ? '' : ',') + texts.join(',');
  }
  yield leases === undefined ? '}\n' : ']}\n';
}

/**
 * How much longer each lease makes the pause between two saves: 5000 leases take 50 ms of processor time, so they are saved every 100 s.
 */
const PAUSE_MS_A_LEASE = 20;

/** Writes the newest state after a pause, one write at a time. A failure is only logged. */
export class StateWriter {
  readonly #file: string;
  readonly #log: Logger;
  readonly #gapMs: number;
  #next: SavedState | undefined;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isFirst = true;

  constructor(file: string, log: Logger, gapMs: number) {
    this.#file = file;
    this.#log = log;
    this.#gapMs = gapMs;
  }

  save(state: SavedState): void {
    this.#next = state;
    const pauseMs = Math.max(this.#gapMs, (state.snapshot?.leases.size ?? 0) * PAUSE_MS_A_LEASE);
    // The first state is written at once, because the agent may not live long.
    this.#timer ??= setTimeout(() => void this.#write(), this.#isFirst ? 0 : pauseMs).unref();
    this.#isFirst = false;
  }

  /** Writes the state now if it has not been written yet. */
  async flush(): Promise<void> {
    await this.#writing;
    clearTimeout(this.#timer);
    await this.#write();
  }

  async #write(): Promise<void> {
    this.#timer = undefined;
    this.#writing ??= this.#writeNext();
    await this.#writing;
  }

  async #writeNext(): Promise<void> {
    const state = this.#next;
    this.#next = undefined;
    try {
      if (state !== undefined) await replaceFile(this.#file, savedStateParts(state));
    } catch (error) {
      this.#log.warn({ file: this.#file, err: error }, 'cluster state could not be saved');
    }
    this.#writing = undefined;
    if (this.#next !== undefined) this.save(this.#next);
  }
}

async function replaceFile(path: string, parts: Iterable<string>): Promise<void> {
  makeFolders(dirname(path));
  const temporary = `${path}.tmp`;
  rmSync(temporary, { force: true, recursive: true });
  const file = openSync(temporary, 'wx', 0o600);
  try {
    // The folder is in memory. Writing through Node's threads would take longer than the writes.
    for (const part of parts) {
      writeFileSync(file, part);
      await breathe();
    }
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}
