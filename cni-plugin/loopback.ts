// The loopback plugin: brings `lo` up in the pod (containernetworking/plugins plugins/main/loopback). Runtimes call it in addition to the
// main network, at the same time.

import { parseIp } from '../lib/ip.ts';
import { field, isJsonObject } from '../lib/json.ts';
import { openNetlink } from '../lib/netlink/connection.ts';
import { listAddresses } from '../lib/rtnetlink/address.ts';
import { getLink, setLink } from '../lib/rtnetlink/link.ts';
import { IFF_UP } from '../lib/rtnetlink/rtnetlink-constants.ts';
import { inNetns } from '../lib/sys/netns.ts';
import { failure, goText } from './protocol/error.ts';
import { type Invocation, type Plugin, requireNetns } from './protocol/plugin.ts';
import { emptyDns, type Result, type ResultIp } from './protocol/result.ts';
import { parsePrevResult } from './protocol/result-parse.ts';
import { ALL_VERSIONS } from './protocol/versions.ts';

const LO_INDEX = 1;

/** Sets `lo` up or down; returns the addresses that it has then. */
function switchLoopback(invocation: Invocation, up: boolean): ResultIp[] {
  const { sys } = invocation;
  return inNetns(sys, requireNetns(invocation), () => {
    const netlink = openNetlink(sys);
    try {
      netlink.run(setLink({ index: LO_INDEX, name: 'lo', up }));
      return listAddresses(netlink, { index: LO_INDEX }).map(({ ip, length }) => ({
        address: { ip, length },
        interface: 0,
      }));
    } catch (thrown) {
      throw failure(goText(thrown));
    } finally {
      netlink.close();
    }
  });
}

function add(invocation: Invocation): Result {
  const prevResult = field(invocation.config, 'prevResult');
  const previous = isJsonObject(prevResult) ? parsePrevResult(prevResult, invocation.version) : undefined;
  const ips = switchLoopback(invocation, true);
  if (previous !== undefined) return previous;
  const lo = { name: 'lo', mac: '00:00:00:00:00:00', sandbox: invocation.netns };
  const own = ips.length > 0 ? ips : [{ address: { ip: parseIp('127.0.0.1'), length: 8 }, interface: 0 }];
  return { interfaces: [lo], ips: own, routes: [], dns: emptyDns() };
}

/** When the netns is gone, its `lo` is gone too. */
function del(invocation: Invocation): void {
  const handle = invocation.netnsHandle;
  if (handle !== undefined && 'fd' in handle) switchLoopback(invocation, false);
}

function check(invocation: Invocation): void {
  const { sys } = invocation;
  const flags = inNetns(sys, requireNetns(invocation), () => {
    const netlink = openNetlink(sys);
    try {
      return getLink(netlink, { index: LO_INDEX })?.flags ?? 0;
    } finally {
      netlink.close();
    }
  });
  if ((flags & IFF_UP) === 0) throw failure('loopback interface is down');
}

export const loopback: Plugin = { name: 'loopback', supported: ALL_VERSIONS, add, del, check };
