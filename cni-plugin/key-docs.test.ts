// Compares the tables for users with the keys that the plugins read from their configuration, and with the values they make of them.

import { describe, expect, test } from 'vitest';
import { isJsonObject, type JsonObject, type JsonValue, jsonObject, parseJson } from '../lib/json.ts';
import type { KeyDoc } from '../lib/key-doc.ts';
import { readLimits } from './bandwidth/bandwidth-config.ts';
import { isKnownConfig, parseBridgeConfig } from './bridge/bridge-config.ts';
import { parseFlannelConfig } from './flannel/flannel-config.ts';
import { ipamKeys, parseIpamConfig } from './host-local/host-local-config.ts';
import { bandwidthDocs, bridgeDocs, commonDocs, flannelDocs, hostLocalDocs, portmapDocs } from './key-docs.ts';
import { readConfig as readPortmap } from './portmap/portmap-config.ts';
import { rootFields } from './protocol/fields.ts';
import type { Invocation } from './protocol/plugin.ts';

/** An object that records the path of every key that is read from it. */
class AskedObject extends Map<string, JsonValue> {
  readonly #path: string;
  readonly #asked: Set<string>;

  constructor(object: JsonObject, path: string, asked: Set<string>) {
    super();
    this.#path = path;
    this.#asked = asked;
    for (const [key, value] of object) {
      this.set(key, isJsonObject(value) ? new AskedObject(value, `${path}${key}.`, asked) : value);
    }
  }

  override get(key: string): JsonValue | undefined {
    this.#asked.add(this.#path + key);
    return super.get(key);
  }
}

function invocation(config: JsonObject): Invocation {
  return { config, root: rootFields(config), args: '', name: 'n1', version: '1.0.0', note: () => undefined } as never;
}

const plugins: readonly {
  readonly name: string;
  readonly docs: Readonly<Record<string, KeyDoc>>;
  /** Makes a parser read everything: it has the objects and the required keys. */
  readonly sample: object;
  /** Another configuration, for keys that are not read with the first one. */
  readonly other?: object;
  /** Objects whose keys belong to other tables, or to the runtime. */
  readonly within?: readonly string[];
  parse(invocation: Invocation): unknown;
}[] = [
  {
    name: 'flannel',
    docs: flannelDocs,
    sample: { delegate: {}, ipam: {}, runtimeConfig: {} },
    parse: parseFlannelConfig,
  },
  {
    name: 'bridge',
    // The caller of IPAM reads whether to execute it.
    docs: without(bridgeDocs, 'execDelegates'),
    sample: { ipam: {}, dns: {}, args: { cni: {} }, runtimeConfig: {} },
    within: ['args', 'args.cni', 'runtimeConfig'],
    parse: parseBridgeConfig,
  },
  {
    name: 'host-local',
    docs: Object.fromEntries(
      Object.entries(hostLocalDocs).map(([key, doc]) => [key.includes('.') ? key : `ipam.${key}`, doc]),
    ),
    sample: { ipam: { subnet: '10.1.0.0/16' }, args: { cni: {} }, runtimeConfig: {} },
    within: ['ipam', 'args', 'args.cni', 'runtimeConfig'],
    parse: parseIpamConfig,
  },
  { name: 'portmap', docs: portmapDocs, sample: { runtimeConfig: {} }, within: ['runtimeConfig'], parse: readPortmap },
  {
    name: 'bandwidth',
    docs: bandwidthDocs,
    sample: { runtimeConfig: {} },
    other: { ingressRate: 8, ingressBurst: 8 },
    within: ['runtimeConfig'],
    parse: readLimits,
  },
];

function without(docs: Readonly<Record<string, KeyDoc>>, name: string): Readonly<Record<string, KeyDoc>> {
  return Object.fromEntries(Object.entries(docs).filter(([key]) => key !== name));
}

function object(value: object): JsonObject {
  const parsed = parseJson(JSON.stringify(value));
  return isJsonObject(parsed) ? parsed : jsonObject({});
}

/** `sample` with the value under a dotted path. */
function withKey(sample: object, path: string, value: unknown): JsonObject {
  const copy = structuredClone(sample) as Record<string, unknown>;
  const names = path.split('.');
  const last = names.pop() ?? '';
  let place = copy;
  for (const name of names) place = place[name] as Record<string, unknown>;
  place[last] = value;
  return object(copy);
}

describe.for(plugins)('the documentation of $name', ({ docs, sample, other = sample, within = [], parse }) => {
  const keys = Object.entries(docs).map(([key, doc]) => ({ key, doc }));

  test('has every key the plugin asks for, and no other', () => {
    const asked = new Set<string>();
    for (const each of [sample, other]) parse(invocation(new AskedObject(object(each), '', asked)));
    const isBelow = (path: string): boolean => Object.keys(docs).some((key) => path.startsWith(`${key}.`));
    const own = [...asked].filter((path) => !within.includes(path) && !isBelow(path));
    expect(own.sort()).toEqual(Object.keys(docs).sort());
  });

  test('names the default of each key', () => {
    const absent = parse(invocation(object(sample)));
    for (const { key, doc } of keys) {
      if (doc.default === undefined) continue;
      expect([key, parse(invocation(withKey(sample, key, doc.default)))]).toEqual([key, absent]);
    }
  });

  test('names the range of each key', () => {
    for (const { key, doc } of keys) {
      if (doc.range === undefined) continue;
      const [min, max] = doc.range;
      for (const value of [min, max]) expect(() => parse(invocation(withKey(sample, key, value)))).not.toThrow();
      for (const value of [min - 1, max + 1]) expect(() => parse(invocation(withKey(sample, key, value)))).toThrow();
    }
  });
});

describe('the documentation', () => {
  test('has no key of bridge that would make another vendor’s bridge run', () => {
    for (const key of [...Object.keys(bridgeDocs), ...Object.keys(commonDocs)]) {
      expect([key, isKnownConfig(object({ [key.split('.')[0] ?? '']: 1 }))]).toEqual([key, true]);
    }
  });

  test('has every key that only host-local reads', () => {
    const told = Object.keys(hostLocalDocs).map((key) => key.toLowerCase());
    expect(ipamKeys.filter((key) => key !== 'type' && !told.includes(key))).toEqual([]);
  });
});
