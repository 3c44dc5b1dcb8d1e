// What can only be tested with a real netlink socket: who sent an answer, how long to wait for it, and what the kernel filters.

import { stat } from 'node:fs/promises';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { netlinkOver, openNetlink } from '../../lib/netlink/connection.ts';
import { NETLINK_ROUTE, NLMSG_ERROR } from '../../lib/netlink/constants.ts';
import { openNetlinkSocket } from '../../lib/netlink/netlink-socket.ts';
import { MessageReader } from '../../lib/netlink/reader.ts';
import type { NetlinkTransport } from '../../lib/netlink/transport.ts';
import { MessageWriter } from '../../lib/netlink/writer.ts';
import { listAddresses } from '../../lib/rtnetlink/address.ts';
import { listFdb } from '../../lib/rtnetlink/fdb.ts';
import { getLink, type LinkRef, listLinks } from '../../lib/rtnetlink/link.ts';
import { listNeighs } from '../../lib/rtnetlink/neigh.ts';
import { listNexthops } from '../../lib/rtnetlink/nexthop.ts';
import { listRoutes } from '../../lib/rtnetlink/route.ts';
import { ENODEV, ETIMEDOUT } from '../../lib/sys/errno.ts';
import { closeFd } from '../../lib/sys/file.ts';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { inNetns, openNetns } from '../../lib/sys/netns.ts';
import { AF_NETLINK, bindNetlink, openSocket, SOCK_RAW } from '../../lib/sys/socket.ts';
import { holdNetns } from '../support/held-netns.ts';

const sys = openKoffiSyscalls();

beforeAll(async () => {
  // Starts the thread pool here, so that none of its threads is born inside another namespace.
  await stat('/');
});

/** Sends `bytes` from another socket to the one with this port id, as any privileged process could. */
function forge(portId: number, bytes: Uint8Array): void {
  const fd = openSocket(sys, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    bindNetlink(sys, fd);
    sys.arena.scope(() => {
      const message = sys.arena.copy(bytes);
      const to = sys.arena.alloc(12);
      to.setU16(0, AF_NETLINK);
      to.setU32(4, portId);
      const sent = sys.call(sys.nr.sendto, fd, message.address, bytes.length, 0, to.address, to.length);
      expect(sent).toBe(bytes.length);
    });
  } finally {
    closeFd(sys, fd);
  }
}

test('an answer that another process forged is ignored', () => {
  const transport = openNetlinkSocket(sys, NETLINK_ROUTE);
  const netlink = netlinkOver(transport);
  onTestFinished(() => netlink.close());
  const bytes = new Uint8Array(36);
  const writer = new MessageWriter(bytes);
  writer.begin(NLMSG_ERROR, 0, 1);
  writer.u32(-ENODEV);
  for (let i = 0; i < 4; i++) writer.u32(0);
  writer.end();
  new DataView(bytes.buffer).setUint32(12, transport.portId, true);
  // If it counted as the answer to the first request, it would say that there is no loopback device.
  forge(transport.portId, bytes);
  expect(getLink(netlink, { index: 1 })?.name).toBe('lo');
});

test('a missing answer is waited for until the deadline', () => {
  const transport = openNetlinkSocket(sys, NETLINK_ROUTE, { deadlineMs: 30 });
  onTestFinished(() => transport.close());
  const started = performance.now();
  const received = transport.exchange(64, 64, (exchange) => exchange.receive());
  expect(received).toBe(-ETIMEDOUT);
  expect(performance.now() - started).toBeGreaterThanOrEqual(29);
});

test('a device that does not exist is undefined, by name and by index', () => {
  const netlink = openNetlink(sys);
  onTestFinished(() => netlink.close());
  const absent: LinkRef[] = [{ name: 'weft-absent' }, { index: 0x7fff_fff0 }];
  expect(absent.map((link) => getLink(netlink, link))).toEqual([undefined, undefined]);
});

test('a closed connection is not used again, and may be closed again', () => {
  const netlink = openNetlink(sys);
  netlink.close();
  netlink.close();
  expect(() => listLinks(netlink)).toThrow('netlink socket used after close');
});

/** Counts the objects that the kernel sends, before our own code filters them. */
function counted(transport: NetlinkTransport, count: { objects: number }): NetlinkTransport {
  return {
    portId: transport.portId,
    close: () => transport.close(),
    exchange: (outBytes, inBytes, body) =>
      transport.exchange(outBytes, inBytes, (exchange) =>
        body({
          out: exchange.out,
          in: exchange.in,
          send: (length) => exchange.send(length),
          receive() {
            const length = exchange.receive();
            const message = new MessageReader(exchange.in, length);
            while (message.next()) if (message.type > NLMSG_ERROR + 1) count.objects++;
            return length;
          },
        }),
      ),
  };
}

describe('the kernel’s filters', () => {
  const script = `
    for n in 1 2; do
      ip link add vx$n type vxlan id $n dstport 8472 nolearning
      ip link set vx$n up
      ip addr add 10.$n.0.1/24 dev vx$n
      ip neigh add 10.$n.0.2 lladdr 02:00:00:00:00:0$n dev vx$n nud permanent
      bridge fdb add 02:00:00:00:00:0$n dev vx$n dst 192.0.2.$n self permanent
      ip nexthop add id $n via 10.$n.0.2 dev vx$n
      ip route add 10.$n.9.0/24 nhid $n proto 138
      ip route add 10.$n.8.0/24 via 10.$n.0.2 proto 4
    done
    ip link add br0 type bridge; ip link set vx1 master br0`;

  test('limit every list as far as they can, so that little is sent', async () => {
    const held = await holdNetns();
    onTestFinished(held.remove);
    held.run('sh', '-ec', script);
    const count = { objects: 0 };
    const fd = openNetns(sys, held.path);
    onTestFinished(() => closeFd(sys, fd));
    const netlink = inNetns(sys, fd, () => netlinkOver(counted(openNetlinkSocket(sys, NETLINK_ROUTE), count)));
    onTestFinished(() => netlink.close());
    const index = getLink(netlink, { name: 'vx2' })?.index ?? 0;
    const master = getLink(netlink, { name: 'br0' })?.index ?? 0;

    const listed = (list: () => unknown[]): { returned: number; sent: number } => {
      count.objects = 0;
      const returned = list().length;
      return { returned, sent: count.objects };
    };
    expect(listed(() => listLinks(netlink, { kind: 'vxlan' }))).toEqual({ returned: 2, sent: 2 });
    expect(listed(() => listLinks(netlink, { master }))).toEqual({ returned: 1, sent: 1 });
    expect(listed(() => listAddresses(netlink, { index, family: 4 }))).toEqual({ returned: 1, sent: 1 });
    expect(listed(() => listNeighs(netlink, { index, family: 4 }))).toEqual({ returned: 1, sent: 1 });
    expect(listed(() => listFdb(netlink, { index }))).toEqual({ returned: 1, sent: 1 });
    expect(listed(() => listNexthops(netlink, { oif: index }))).toEqual({ returned: 1, sent: 1 });
    const ours = { family: 4, oif: index, table: 254, protocol: 138 } as const;
    expect(listed(() => listRoutes(netlink, ours))).toEqual({ returned: 1, sent: 1 });
  });
});
