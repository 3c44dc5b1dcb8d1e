import { describe, expect, test } from 'vitest';
import { openKoffiSyscalls } from '../sys/koffi.ts';
import type { CachedResult } from './cached-result.ts';
import {
  type Facts,
  judge,
  lookAtNetns,
  type NetnsState,
  NOT_CACHED,
  netnsStateOf,
  type Surroundings,
} from './verdict.ts';

const alive: Facts = {
  owner: 'c1\r\neth0',
  netns: { kind: 'there', path: '/run/netns/cni-1' },
  isBeingAdded: false,
  mayBeAddedUnseen: false,
};
const gone = { kind: 'gone', path: '/run/netns/cni-1' } as const;
const unseen = { kind: 'unknown', why: 'not visible from here' } as const;
const node: Surroundings = { bridge: 'cni0', isBridged: true, blind: undefined, ports: [], pins: [] };
const port = { name: 'veth9', mac: undefined, netnsId: 3, isOnBridge: true, mayBePods: true };
const pin = { paths: ['/run/netns/x'], netnsId: undefined };
const explained = 'every port and every pinned netns of this node is another’s';

describe('judge', () => {
  test.for<{ name: string; facts: Partial<Facts>; on?: Partial<Surroundings>; isDead: boolean; why: string }>([
    { name: 'whose netns is there', facts: {}, isDead: false, why: 'its netns /run/netns/cni-1 is there' },
    { name: 'whose netns is gone', facts: { netns: gone }, isDead: true, why: 'its netns /run/netns/cni-1 is gone' },
    {
      name: 'whose netns is gone, beside a port of nobody',
      facts: { netns: gone },
      on: { ports: [port] },
      isDead: false,
      why: 'its netns /run/netns/cni-1 is gone, but port veth9 on cni0 is no known pod’s and may be its',
    },
    {
      name: 'whose netns is gone, beside a netns of nobody',
      facts: { netns: gone },
      on: { pins: [pin] },
      isDead: true,
      why: 'its netns /run/netns/cni-1 is gone',
    },
    {
      name: 'whose netns is gone while its ADD runs',
      facts: { netns: gone, isBeingAdded: true },
      isDead: false,
      why: 'its ADD is running',
    },
    { name: 'nothing is known of, where nothing is left', facts: { netns: NOT_CACHED }, isDead: true, why: explained },
    {
      name: 'nothing is known of, beside a port of nobody',
      facts: { netns: NOT_CACHED },
      on: { ports: [{ ...port, isOnBridge: false }] },
      isDead: false,
      why: `${NOT_CACHED.why}, but port veth9 on no bridge is no known pod’s and may be its`,
    },
    {
      name: 'nothing is known of, beside a netns of nobody',
      facts: { netns: NOT_CACHED },
      on: { pins: [pin] },
      isDead: false,
      why: `${NOT_CACHED.why}, but netns /run/netns/x is no known pod’s and may be its`,
    },
    {
      name: 'whose netns cannot be seen',
      facts: { netns: unseen },
      on: { blind: unseen.why },
      isDead: false,
      why: unseen.why,
    },
    {
      name: 'that only a file of flannel’s plugin names',
      facts: { netns: NOT_CACHED, mayBeAddedUnseen: true },
      isDead: false,
      why: `${NOT_CACHED.why}, but flannel’s plugin may be at work on it`,
    },
    {
      name: 'that names nobody',
      facts: { owner: '', netns: NOT_CACHED },
      on: { pins: [pin], blind: 'no view' },
      isDead: true,
      why: 'it names nobody: its ADD was killed',
    },
    {
      name: 'that names nobody, beside a port of nobody',
      facts: { owner: '', netns: NOT_CACHED },
      on: { ports: [port] },
      isDead: false,
      why: 'it names nobody: its ADD was killed, but port veth9 on cni0 is no known pod’s and may be its',
    },
    {
      name: 'nothing is known of, where pods have no ports',
      facts: { netns: NOT_CACHED },
      on: { isBridged: false },
      isDead: false,
      why: NOT_CACHED.why,
    },
    {
      name: 'whose netns is gone, where pods have no ports',
      facts: { netns: gone },
      on: { isBridged: false },
      isDead: true,
      why: 'its netns /run/netns/cni-1 is gone',
    },
  ])('a holder $name', ({ facts, on, isDead, why }) => {
    expect(judge({ ...alive, ...facts }, { ...node, ...on }, () => undefined)).toEqual({ isDead, why });
  });

  test('keeps an attachment with any sign of life, and names attachment and sign', () => {
    expect(judge({ ...alive, netns: gone }, node, () => 'MAC m is on cni0')).toEqual({
      isDead: false,
      why: 'its netns /run/netns/cni-1 is gone, but MAC m is on cni0',
    });
  });

  test('looks for no sign of an attachment that is kept anyway', () => {
    const look = (): string => {
      throw new Error('looked');
    };
    expect(judge(alive, node, look).isDead).toBe(false);
    expect(judge({ ...alive, netns: gone, isBeingAdded: true }, node, look).isDead).toBe(false);
  });
});

describe('netnsStateOf', () => {
  const cached = (netns: readonly string[]): CachedResult => {
    return { network: 'n1', containerId: 'c1', ifname: 'eth0', netns, hostInterfaces: [], podMacs: [], ips: [] };
  };
  const look = (path: string): NetnsState =>
    path === '/hidden' ? { kind: 'unknown', why: 'hidden' } : { kind: path === '/there' ? 'there' : 'gone', path };

  test.for([
    { name: 'nothing known', netns: [], want: 'unknown' },
    { name: 'one that is gone', netns: ['/a'], want: 'gone' },
    { name: 'two that are gone', netns: ['/a', '/b'], want: 'gone' },
    { name: 'one of two that is there', netns: ['/a', '/there'], want: 'there' },
    { name: 'one of two that is hidden', netns: ['/a', '/hidden'], want: 'unknown' },
  ])('is the best of $name', ({ netns, want }) => {
    expect(netnsStateOf(cached(netns), look).kind).toBe(want);
  });
});

test.for([
  { name: 'what is missing', path: '/run/weft-no/such', want: 'gone' },
  { name: 'what lies below a file', path: '/etc/hostname/x', want: 'gone' },
  { name: 'a process’s, though it is there', path: '/proc/self/ns/net', want: 'unknown' },
  { name: 'a process’s, though it is not there', path: '/proc/0/ns/net', want: 'unknown' },
  {
    name: 'a file, as a namespace may be mounted on it where we do not see it',
    path: '/etc/hostname',
    want: 'unknown',
  },
  { name: 'what is no whole path', path: 'a', want: 'unknown' },
])('lookAtNetns tells of $name', ({ path, want }) => {
  expect(lookAtNetns(openKoffiSyscalls(), path).kind).toBe(want);
});
