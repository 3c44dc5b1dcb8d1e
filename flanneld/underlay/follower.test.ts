import { describe, expect, test } from 'vitest';
import { type Family, formatIp, parseIp, parsePrefix } from '../../lib/ip.ts';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import type { MessageReader } from '../../lib/netlink/reader.ts';
import type { MessageWriter } from '../../lib/netlink/writer.ts';
import { writeAddress } from '../../lib/rtnetlink/address.ts';
import { readEvent } from '../../lib/rtnetlink/event.ts';
import { writeIfinfomsg, writeLinkAttributes } from '../../lib/rtnetlink/link.ts';
import { writeRoute } from '../../lib/rtnetlink/route-message.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_PERMANENT,
  IFF_UP,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELROUTE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { ENODEV } from '../../lib/sys/errno.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { messageOf } from '../../test/support/netlink-bytes.ts';
import { recordingLog } from '../../test/support/recording-log.ts';
import { chooseInterface } from '../agent/take-lease.ts';
import type { InterfaceOptions } from '../cli/options.ts';
import { Readiness } from '../health/readiness.ts';
import type { NodeAddresses } from '../subnet/manager.ts';
import { type Place, UNDERLAY_CHECK, UnderlayFollower } from './follower.ts';

interface Nic {
  index: number;
  isUp: boolean;
  /** The flags of each address, in CIDR form. */
  flags: Record<string, number>;
}

const usual: InterfaceOptions = {
  iface: [],
  ifaceRegex: [],
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
};
const P = IFA_F_PERMANENT;
const IFLA_IFNAME = 3;

/** A node of two interfaces whose default route of each family leaves by the first that is up. */
class Node {
  readonly clock = new FakeClock();
  readonly readiness = new Readiness();
  readonly moves: string[] = [];
  readonly nics = new Map<string, Nic>();
  readonly logged: string[];
  readonly follower: UnderlayFollower;
  addresses: NodeAddresses | undefined = {};

  constructor({ families = [4], iface = [] }: { families?: Family[]; iface?: string[] } = {}) {
    this.plug('eth0', 2, ['10.0.0.1/24', 'fd00::1/64']);
    this.plug('eth1', 3, ['10.0.0.2/24', 'fd00::2/64']);
    const { log, logged } = recordingLog();
    this.logged = logged;
    const { netlink } = openFakeNetlink((request, replies) => {
      if (request.type === RTM_GETLINK) {
        const name = namedBy(request);
        const found = [...this.nics].filter(([each]) => name === undefined || each === name);
        if (found.length === 0 && name !== undefined) replies.error(ENODEV);
        for (const [each, nic] of found) replies.message(RTM_NEWLINK, linkWriter(each, nic));
      }
      if (request.type === RTM_GETADDR) this.#eachAddress((write) => replies.message(RTM_NEWADDR, write));
      if (request.type === RTM_GETROUTE) this.#eachDefault((write) => replies.message(RTM_NEWROUTE, write));
    });
    const networks = new Map(families.map((family) => [family, parsePrefix(NETWORKS[family])]));
    const choose = (addresses: NodeAddresses): Place => ({
      external: chooseInterface({ ...usual, iface }, addresses, networks, netlink),
      addresses,
    });
    const tools = { netlink, log, clock: this.clock };
    this.follower = new UnderlayFollower(choose({}), choose, () => this.addresses, this.readiness, tools);
    this.#listen();
  }

  /** The follower is asked again after every move, as the agent does. */
  #listen(): void {
    void this.follower.next().then(({ external: { name, ipv4, ipv6 } }) => {
      const ips = [ipv4, ipv6].flatMap((each) => (each === undefined ? [] : [formatIp(each.publicIp)]));
      this.moves.push([name, ...ips].join(' '));
      this.#listen();
    });
  }

  #eachAddress(say: (write: (writer: MessageWriter) => void) => void): void {
    for (const { index, flags } of this.nics.values()) {
      for (const [cidr, flag] of Object.entries(flags)) {
        const { ip, length } = parsePrefix(cidr);
        say((writer) => writeAddress(writer, { index, ip, length, flags: flag }));
      }
    }
  }

  #eachDefault(say: (write: (writer: MessageWriter) => void) => void): void {
    for (const { index, isUp } of this.nics.values()) {
      if (!isUp) continue;
      for (const cidr of ['0.0.0.0/0', '::/0']) {
        say((writer) => writeRoute(writer, { destination: parsePrefix(cidr), oif: index, priority: index }, 0, 4, 1));
      }
    }
  }

  plug(name: string, index: number, cidrs: string[]): void {
    this.nics.set(name, { index, isUp: true, flags: Object.fromEntries(cidrs.map((cidr) => [cidr, P])) });
  }

  nic(name: string): Nic {
    const nic = this.nics.get(name);
    if (nic === undefined) throw new Error(`no ${name}`);
    return nic;
  }

  lose(name: string, ...cidrs: string[]): void {
    for (const cidr of cidrs) delete this.nic(name).flags[cidr];
  }

  /** An event comes, and then time passes. */
  async after(ms: number): Promise<void> {
    this.follower.wake();
    await this.clock.advance(ms);
  }

  get problem(): string | undefined {
    return this.readiness.checks().find(({ name }) => name === UNDERLAY_CHECK)?.problem;
  }
}

const NETWORKS: Readonly<Record<Family, string>> = { 4: '10.244.0.0/16', 6: 'fd00:10:244::/48' };

function namedBy(request: MessageReader): string | undefined {
  const attributes = request.attributes(16);
  while (attributes.next()) if (attributes.type === IFLA_IFNAME) return attributes.text();
  return undefined;
}

function linkWriter(name: string, { index, isUp }: Nic): (writer: MessageWriter) => void {
  return (writer) => {
    writeIfinfomsg(writer, index, isUp ? IFF_UP : 0, 0);
    writeLinkAttributes(writer, name, { mtu: 1500 });
  };
}

describe('nothing moves', () => {
  test('while interface and address work, whatever else changes', async () => {
    const node = new Node();
    await node.after(100);
    node.plug('eth2', 4, ['10.0.0.3/24']);
    node.nic('eth0').flags = { '10.0.0.9/24': P, ...node.nic('eth0').flags };
    await node.after(60_000);
    expect([node.moves, node.problem]).toEqual([[], undefined]);
  });

  test('when the address is missing for a moment (DHCP), although another interface has one', async () => {
    const node = new Node();
    node.lose('eth0', '10.0.0.1/24');
    node.nic('eth0').isUp = false;
    await node.after(1900);
    expect(node.problem).toBe('eth0 is down');
    node.plug('eth0', 2, ['10.0.0.1/24']);
    await node.after(60_000);
    expect([node.moves, node.problem]).toEqual([[], undefined]);
  });

  test('when one is missing again and again, each time for a moment', async () => {
    const node = new Node();
    for (let time = 0; time < 10; time++) {
      node.nic('eth0').isUp = false;
      await node.after(1500);
      node.nic('eth0').isUp = true;
      await node.after(1500);
    }
    expect(node.moves).toEqual([]);
  });

  test.for([
    ['169.254.7.7/16', '10.0.0.1/24', [4]],
    ['fe80::1/64', 'fd00::1/64', [6]],
    ['fe80::1/64', 'fd00::1/64', [4, 6]],
  ] as const)('to %s, which is of the link only, when %s has gone', async ([local, cidr, families]) => {
    const node = new Node({ families: [...families], iface: ['eth0'] });
    node.nic('eth0').flags[local] = P;
    node.lose('eth0', cidr);
    await node.after(60_000);
    expect([node.moves, node.problem]).toEqual([[], `eth0 has lost the address ${cidr.replace(/\/.*/, '')}`]);
  });

  test('when a router deprecates an address that still works, and there is no better one', async () => {
    const node = new Node({ families: [6], iface: ['eth0'] });
    node.nic('eth0').flags['fd00::1/64'] = IFA_F_DEPRECATED;
    node.nic('eth0').flags['fe80::1/64'] = P;
    await node.after(60_000);
    expect([node.moves, node.problem]).toEqual([[], undefined]);
  });

  test('while the cluster state does not say which address is wanted', async () => {
    const node = new Node();
    node.addresses = undefined;
    await node.after(60_000);
    expect(node.moves).toEqual([]);
  });

  test('after it is stopped', async () => {
    const node = new Node();
    await node.follower.stop();
    node.nics.delete('eth0');
    await node.after(60_000);
    expect([node.moves, node.clock.pending]).toEqual([[], 0]);
  });
});

describe('at once', () => {
  test('another address of the interface is taken, and the other family stays', async () => {
    const node = new Node({ families: [4, 6] });
    node.lose('eth0', 'fd00::1/64');
    node.nic('eth0').flags['fd00::9/64'] = P;
    await node.after(20);
    expect(node.moves).toEqual(['eth0 10.0.0.1 fd00::9']);
    expect(node.logged.join('\n')).toContain('"why":"eth0 has lost the address fd00::1"');
  });

  test.for([
    ['deprecated', IFA_F_DEPRECATED],
    ['also an address of another node', IFA_F_DADFAILED],
  ] as const)('a better one is taken when the present one is %s', async ([why, flag]) => {
    const node = new Node({ families: [6] });
    node.nic('eth0').flags = { 'fd00::1/64': flag, 'fd00::9/64': P };
    await node.after(20);
    expect(node.moves).toEqual(['eth0 fd00::9']);
    expect(node.logged.join('\n')).toContain(why);
  });

  test('another interface is taken when the interface is gone', async () => {
    const node = new Node();
    node.nics.delete('eth0');
    await node.after(20);
    expect(node.moves).toEqual(['eth1 10.0.0.2']);
  });

  test('an address that the cluster state names is taken, and given up when it is no longer named', async () => {
    const node = new Node();
    node.addresses = { publicIp: parseIp('203.0.113.7') };
    await node.after(20);
    node.addresses = { overwriteIp: parseIp('203.0.113.8') };
    await node.after(20);
    node.addresses = {};
    await node.after(20);
    await node.after(60_000);
    expect(node.moves).toEqual(['eth0 203.0.113.7', 'eth0 10.0.0.1', 'eth0 10.0.0.1']);
  });
});

test('another interface is taken when the address stays missing, and kept when it is back', async () => {
  const node = new Node();
  node.nic('eth0').isUp = false;
  await node.after(2100);
  expect(node.moves).toEqual(['eth1 10.0.0.2']);
  node.nic('eth0').isUp = true;
  await node.after(60_000);
  expect(node.moves).toHaveLength(1);
});

test('without a candidate it says so, and tries again without an event', async () => {
  const node = new Node({ iface: ['eth0'] });
  node.lose('eth0', '10.0.0.1/24');
  await node.after(5000);
  expect(node.problem).toMatch(
    /^eth0 has lost the address 10\.0\.0\.1; .*--iface=eth0: eth0 has no usable IPv4 address/,
  );
  expect(node.logged.filter((line) => line.startsWith('no external interface'))).toHaveLength(1);
  node.nic('eth0').flags['10.0.0.5/24'] = P;
  await node.clock.advance(1000);
  expect(node.moves).toEqual(['eth0 10.0.0.5']);
});

test('a wrong address in the cluster state is reported, and nothing moves', async () => {
  const node = new Node();
  node.addresses = { publicIp: parseIp('10.244.0.7') };
  await node.after(5000);
  expect(node.moves).toEqual([]);
  expect(node.problem).toMatch(/10\.244\.0\.7 of eth0 lies inside the cluster network/);
  node.addresses = {};
  await node.after(20);
  expect([node.moves, node.problem]).toEqual([[], undefined]);
});

describe('isConcerned', () => {
  const link = (type: number, index: number): MessageReader =>
    messageOf(type, (writer) => writeIfinfomsg(writer, index, IFF_UP, 0));
  const address = (type: number, cidr: string): MessageReader =>
    messageOf(type, (writer) => writeAddress(writer, { index: 9, ...parsePrefix(cidr) }));
  const route = (type: number, cidr: string): MessageReader =>
    messageOf(type, (writer) => writeRoute(writer, { destination: parsePrefix(cidr), oif: 2 }, 0, 4, 1));
  const others = [
    link(RTM_NEWLINK, 77),
    link(RTM_DELLINK, 77),
    address(RTM_NEWADDR, 'fe80::77/64'),
    address(RTM_DELADDR, '10.0.0.77/24'),
    route(RTM_NEWROUTE, '0.0.0.0/0'),
    route(RTM_DELROUTE, '::/0'),
  ];
  const never = [route(RTM_NEWROUTE, '10.0.0.0/24'), link(RTM_NEWNEIGH, 2)];
  const own = [
    link(RTM_NEWLINK, 2),
    link(RTM_DELLINK, 2),
    address(RTM_NEWADDR, '10.0.0.1/24'),
    address(RTM_DELADDR, 'fd00::1/64'),
  ];
  const heard = ({ follower }: Node, messages: MessageReader[]): boolean[] =>
    messages.map((message) => {
      const event = readEvent(message);
      return event !== undefined && follower.isConcerned(event);
    });

  test('is true for the own interface and addresses while they work', async () => {
    const node = new Node({ families: [4, 6] });
    await node.after(20);
    expect(heard(node, own)).toEqual(own.map(() => true));
    expect(heard(node, [...others, ...never])).toEqual([...others, ...never].map(() => false));
  });

  test('is true for everything that may help when they do not work', async () => {
    const node = new Node({ iface: ['eth0'] });
    node.nics.delete('eth0');
    await node.after(20);
    expect(heard(node, [...own, ...others])).toEqual([...own, ...others].map(() => true));
    expect(heard(node, never)).toEqual(never.map(() => false));
  });

  test('is true for the interface that was plugged in again under another index', async () => {
    const node = new Node({ iface: ['eth0'] });
    node.nics.delete('eth0');
    await node.after(20);
    node.plug('eth0', 12, ['10.0.0.1/24']);
    await node.after(1100);
    expect([node.moves, node.problem]).toEqual([[], undefined]);
    expect(heard(node, [link(RTM_DELLINK, 12), link(RTM_DELLINK, 2)])).toEqual([true, false]);
  });
});
