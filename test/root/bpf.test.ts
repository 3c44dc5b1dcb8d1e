// Tests lib/bpf on the real kernel. Maps keep what is written, programs are refused with the verifier's reason, links come and go with
// their devices, and pins outlive their descriptors.

import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { Assembler, linkProgram } from '../../lib/bpf/assembler.ts';
import { attachIngress, linkInfo, listPrograms, replaceLinkProgram } from '../../lib/bpf/bpf-link.ts';
import {
  type BpfMap,
  createMap,
  deleteElement,
  listElements,
  lookupElement,
  type MapSpec,
  mapInfo,
  updateElement,
  updateElements,
} from '../../lib/bpf/map.ts';
import { isBpffs, openPinned, pinObject } from '../../lib/bpf/pin.ts';
import { possibleProcessors } from '../../lib/bpf/processors.ts';
import { loadProgram, programInfo, runProgram } from '../../lib/bpf/program.ts';
import { openNetlink } from '../../lib/netlink/connection.ts';
import { deleteLink } from '../../lib/rtnetlink/link.ts';
import { createVeth } from '../../lib/rtnetlink/veth.ts';
import { closeFd, removeFile } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNewNetns } from '../../lib/sys/netns.ts';
import { inOwnBpffs } from '../support/own-bpffs.ts';

const sys = openKoffiSyscalls();
const descriptors: number[] = [];
afterEach(() => {
  for (const fd of descriptors.splice(0)) closeFd(sys, fd);
});

function opened(fd: number): number {
  descriptors.push(fd);
  return fd;
}

function makeMap(spec: Partial<MapSpec> = {}): BpfMap {
  const map = createMap(sys, { name: 'test', type: 'hash', keyBytes: 4, valueBytes: 8, maxEntries: 2000, ...spec });
  opened(map.fd);
  return map;
}

const word = (value: number): Uint8Array => Uint8Array.of(value, value >> 8, value >> 16, value >> 24);
const long = (value: number): Uint8Array => Uint8Array.of(...word(value), 0, 0, 0, 0);

/** A program that returns a number. */
function returning(verdict: number, name = 'test'): number {
  const program = new Assembler().mov('r0', verdict).exit().assemble();
  return opened(loadProgram(sys, { name, bytes: linkProgram(program, new Map(), new Map()) }));
}

describe('a map', () => {
  test('keeps, replaces and forgets elements', () => {
    const map = makeMap();
    updateElement(sys, map, word(1), long(10));
    updateElement(sys, map, word(2), long(20));
    updateElement(sys, map, word(1), long(11));
    expect(lookupElement(sys, map, word(1))).toEqual(long(11));
    expect(deleteElement(sys, map, word(1))).toBe(true);
    expect(deleteElement(sys, map, word(1))).toBe(false);
    expect(lookupElement(sys, map, word(1))).toBeUndefined();
    expect(listElements(sys, map)).toEqual([{ key: word(2), value: long(20) }]);
  });

  test('takes and lists more elements than one call has room for', () => {
    const map = makeMap();
    const entries = Array.from({ length: 1999 }, (_, index) => ({ key: word(index), value: long(index * 3) }));
    updateElements(sys, map, entries);
    const byKey = (a: { key: Uint8Array }, b: { key: Uint8Array }) => Buffer.compare(b.key, a.key);
    expect(listElements(sys, map).sort(byKey)).toEqual(entries.sort(byKey));
  });

  test('is empty when nothing was written', () => {
    expect(listElements(sys, makeMap())).toEqual([]);
  });

  test('says that it is full, and refuses bytes of another length', () => {
    const map = makeMap({ maxEntries: 1 });
    updateElement(sys, map, word(1), long(1));
    expect(() => updateElement(sys, map, word(2), long(2))).toThrow('bpf update map test: E2BIG');
    expect(() => updateElement(sys, map, word(1), word(1))).toThrow('bpf: 4 bytes in place of 8');
    expect(() => lookupElement(sys, map, long(1))).toThrow('bpf: 8 bytes in place of 4');
  });

  test('of processors has a value for each', () => {
    const map = makeMap({ type: 'percpu-array', maxEntries: 3 });
    const processors = possibleProcessors(sys);
    expect(lookupElement(sys, map, word(2), processors)).toEqual(new Uint8Array(8 * processors));
  });

  test('is known by its layout', () => {
    const map = makeMap();
    expect(mapInfo(sys, map).isAsSpecified).toBe(true);
    expect(mapInfo(sys, { fd: map.fd, spec: { ...map.spec, valueBytes: 16 } }).isAsSpecified).toBe(false);
    expect(() => makeMap({ name: 'no spaces' })).toThrow('bpf: no name for an object: "no spaces"');
  });
});

describe('a program', () => {
  test('is refused with the verifier’s words', () => {
    const program = new Assembler().load('u64', 'r0', 'r1', 4096).exit().assemble();
    const load = () => loadProgram(sys, { name: 'test', bytes: linkProgram(program, new Map(), new Map()) });
    expect(load).toThrow(/^bpf: load program test: EACCES \(.*invalid bpf_context access off=4096 size=8/s);
  });

  test('reads and counts by its maps', () => {
    const map = makeMap({ name: 'counts', type: 'array', maxEntries: 1 });
    const program = new Assembler()
      .loadMapValue('r2', 'counts', 0)
      .mov('r1', 5)
      .atomicAdd('r2', 0, 'r1')
      .mov('r0', 0)
      .exit()
      .assemble();
    const bytes = linkProgram(program, new Map([['counts', map.fd]]), new Map());
    const fd = opened(loadProgram(sys, { name: 'adds', bytes }));
    expect(programInfo(sys, fd)).toMatchObject({ name: 'adds', mapIds: [mapInfo(sys, map).id] });
    expect(runProgram(sys, fd, new Uint8Array(60), { ifindex: 1 }, 3)).toMatchObject({ verdict: 0 });
    expect(lookupElement(sys, map, word(0))).toEqual(long(15));
  });
});

describe('a link', () => {
  test('attaches behind others, changes its program, and ends with its descriptor', () => {
    const [first, second, third] = [returning(-1), returning(-1, 'second'), returning(-1, 'third')];
    const id = (fd: number) => programInfo(sys, fd).id;
    inNewNetns(sys, () => {
      const ifindex = 1;
      const link = attachIngress(sys, first, ifindex);
      const behind = opened(attachIngress(sys, second, ifindex));
      expect(listPrograms(sys, ifindex, 'ingress')).toEqual([id(first), id(second)]);
      replaceLinkProgram(sys, link, third);
      expect(listPrograms(sys, ifindex, 'ingress')).toEqual([id(third), id(second)]);
      expect(linkInfo(sys, behind)).toEqual({ programId: id(second), ifindex });
      closeFd(sys, link);
      expect(listPrograms(sys, ifindex, 'ingress')).toEqual([id(second)]);
    });
  });

  test('belongs to no device when its own is gone', () => {
    const program = returning(-1);
    inNewNetns(sys, () => {
      const netlink = openNetlink(sys);
      onTestFinished(() => netlink.close());
      const { link } = createVeth(netlink, { name: 'a', peer: { name: 'b' } });
      const attached = opened(attachIngress(sys, program, link.index));
      expect(linkInfo(sys, attached)?.ifindex).toBe(link.index);
      netlink.run(deleteLink({ index: link.index }));
      expect(linkInfo(sys, attached)?.ifindex).toBe(0);
      expect(listPrograms(sys, link.index, 'ingress')).toEqual([]);
    });
  });
});

describe('a pin', () => {
  test('keeps a map, a program and an attached link while nobody has them open', () => {
    const [map, program] = [makeMap(), returning(-1)];
    const programId = programInfo(sys, program).id;
    inNewNetns(sys, () =>
      inOwnBpffs(sys, (path) => {
        expect([isBpffs(sys, path), isBpffs(sys, '/tmp'), isBpffs(sys, '/nonexistent')]).toEqual([true, false, false]);
        updateElement(sys, map, word(1), long(7));
        pinObject(sys, map.fd, `${path}/map`);
        const link = attachIngress(sys, program, 1);
        pinObject(sys, link, `${path}/link`);
        expect(() => pinObject(sys, map.fd, `${path}/map`)).toThrow(`bpf pin ${path}/map: EEXIST`);
        for (const fd of [link, ...descriptors.splice(0)]) closeFd(sys, fd);

        const again = opened(openPinned(sys, `${path}/map`) ?? -1);
        expect(lookupElement(sys, { fd: again, spec: map.spec }, word(1))).toEqual(long(7));
        expect(listPrograms(sys, 1, 'ingress')).toEqual([programId]);
        const adopted = opened(openPinned(sys, `${path}/link`) ?? -1);
        expect(linkInfo(sys, adopted)).toEqual({ programId, ifindex: 1 });
        removeFile(sys, `${path}/link`);
        closeFd(sys, descriptors.pop() ?? -1);
        expect(listPrograms(sys, 1, 'ingress')).toEqual([]);
        expect(openPinned(sys, `${path}/link`)).toBeUndefined();
      }),
    );
  });
});
