// Everything inside the pod's netns: settings, addresses, link up, routes, in one send. The order matters: without an address and
// arp_notify before the link comes up, no gratuitous ARP is sent.

import { broadcastOf, type Family, formatIp, formatPrefix, type Ip } from '../../lib/ip.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { NLM_F_CREATE } from '../../lib/netlink/constants.ts';
import type { NetlinkError, NetlinkRequest } from '../../lib/netlink/request.ts';
import { addAddress, listAddresses } from '../../lib/rtnetlink/address.ts';
import { setLink, writeIfinfomsg } from '../../lib/rtnetlink/link.ts';
import { addRoute, type RouteSpec } from '../../lib/rtnetlink/route.ts';
import {
  AF_INET,
  IFA_F_DADFAILED,
  IFA_F_NODAD,
  IFA_F_TENTATIVE,
  RTM_NEWLINK,
} from '../../lib/rtnetlink/rtnetlink-constants.ts';
import { sleepMs } from '../../lib/sys/clock.ts';
import { inNetns } from '../../lib/sys/netns.ts';
import type { Syscalls } from '../../lib/sys/syscalls.ts';
import { because, failure } from '../protocol/error.ts';
import type { Result, ResultIp, ResultRoute } from '../protocol/result.ts';
import { tryWriteSysctl } from '../sysctl.ts';

/** linux/if_link.h and linux/ip.h: the per-device settings of IPv4 can be set by netlink, those of IPv6 cannot. */
const IFLA_AF_SPEC = 26;
const IFLA_INET_CONF = 1;
const IPV4_DEVCONF_ARP_NOTIFY = 22;

export interface PodSpec {
  readonly netnsFd: number;
  readonly ifname: string;
  readonly index: number;
  readonly enableDad: boolean;
}

/** Announce the address when the link comes up. Same as: `sysctl net.ipv4.conf.IF.arp_notify=1`. */
function setArpNotify(index: number, ifname: string): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write(writer) {
      writeIfinfomsg(writer, index, 0, 0);
      writer.nest(IFLA_AF_SPEC, () =>
        writer.nest(AF_INET, () => writer.nest(IFLA_INET_CONF, () => writer.attrU32(IPV4_DEVCONF_ARP_NOTIFY, 1))),
      );
    },
    describe: () => `set link ${ifname} arp_notify 1`,
  };
}

function addressRequest(spec: PodSpec, ip: ResultIp): NetlinkRequest {
  const { address } = ip;
  const base = { index: spec.index, ip: address.ip, length: address.length };
  if (address.ip.family === 4) return addAddress({ ...base, broadcast: broadcastOf(address) }, spec.ifname);
  return addAddress(spec.enableDad ? base : { ...base, flags: IFA_F_NODAD }, spec.ifname);
}

/** The gateway for a route that names none: the first gateway of its family. */
function defaultGateway(ips: readonly ResultIp[], family: Family): Ip | undefined {
  return ips.find((ip) => ip.gateway?.family === family)?.gateway;
}

function routeSpec(route: ResultRoute, index: number, ips: readonly ResultIp[]): RouteSpec {
  const gateway = route.gw ?? defaultGateway(ips, route.dst.ip.family);
  return {
    destination: route.dst,
    oif: index,
    ...(gateway === undefined ? {} : { gateway }),
    ...(route.table === undefined ? {} : { table: route.table }),
    ...(route.priority === undefined || route.priority === 0 ? {} : { priority: route.priority }),
    ...(route.scope === undefined ? {} : { scope: route.scope }),
    ...(route.mtuBytes === undefined || route.mtuBytes === 0 ? {} : { mtu: route.mtuBytes }),
    ...(route.advmss === undefined || route.advmss === 0 ? {} : { advmss: route.advmss }),
  };
}

/**
 * Like RouteAddEcmp of Go's netlink: an equal route is refused, a second one to the same destination goes before the first (IPv4) or beside
 * it (IPv6).
 */
function routeRequest(route: RouteSpec, ifname: string): NetlinkRequest {
  const request = addRoute(route, ifname);
  return {
    type: request.type,
    flags: NLM_F_CREATE,
    write: (writer) => request.write(writer),
    describe: () => request.describe(),
  };
}

function writeSettings(sys: Syscalls, spec: PodSpec, hasIpv6: boolean): void {
  const conf = `ipv6/conf/${spec.ifname}`;
  if (spec.enableDad) {
    tryWriteSysctl(sys, `${conf}/enhanced_dad`, '1');
    tryWriteSysctl(sys, `${conf}/accept_dad`, '1');
  } else {
    tryWriteSysctl(sys, `${conf}/accept_dad`, '0');
  }
  if (!hasIpv6) return;
  for (const name of ['lo', spec.ifname]) tryWriteSysctl(sys, `ipv6/conf/${name}/disable_ipv6`, '0');
  tryWriteSysctl(sys, `${conf}/keep_addr_on_down`, '1');
}

interface Step {
  readonly request: NetlinkRequest;
  /** What failed, for the error; undefined when a failure does not matter. */
  readonly problem: (() => string) | undefined;
}

function steps(spec: PodSpec, result: Result): Step[] {
  const { ifname, index } = spec;
  const list: Step[] = [];
  if (result.ips.length > 0) list.push({ request: setArpNotify(index, ifname), problem: undefined });
  for (const ip of result.ips) {
    const problem = (): string => `cannot give "${ifname}" the address ${formatPrefix(ip.address)}`;
    list.push({ request: addressRequest(spec, ip), problem });
  }
  list.push({ request: setLink({ index, name: ifname, up: true }), problem: () => `cannot set "${ifname}" up` });
  for (const route of result.routes) {
    const wanted = routeSpec(route, index, result.ips);
    list.push({ request: routeRequest(wanted, ifname), problem: () => routeProblem(wanted, ifname) });
  }
  return list;
}

function routeProblem({ destination, gateway }: RouteSpec, ifname: string): string {
  const via = gateway === undefined ? '' : ` via ${formatIp(gateway)}`;
  return `failed to add route '${formatPrefix(destination)}${via} dev ${ifname}'`;
}

function checkFailures(list: readonly Step[], failures: readonly NetlinkError[]): void {
  for (const failed of failures) {
    const problem = list.find((step) => step.request === failed.request)?.problem;
    if (problem !== undefined) throw because(problem(), failed);
  }
}

/** Sets the pod's interface up with its addresses and routes. Throws CniError 999 naming the step. */
export function configurePod(sys: Syscalls, spec: PodSpec, result: Result): void {
  const hasIpv6 = result.ips.some((ip) => ip.address.ip.family === 6);
  inNetns(sys, spec.netnsFd, () => {
    const netlink = openNetlink(sys);
    try {
      if (result.ips.length > 0) writeSettings(sys, spec, hasIpv6);
      const list = steps(spec, result);
      checkFailures(list, netlink.execute(list.map((step) => step.request)));
      if (hasIpv6 && spec.enableDad) settle(sys, netlink, spec);
    } finally {
      netlink.close();
    }
  });
}

const SETTLE_PAUSE_MS = 50;
const SETTLE_LIMIT_MS = 5000;

/** Waits for duplicate address detection, if the configuration keeps it. */
function settle(sys: Syscalls, netlink: Netlink, spec: PodSpec): void {
  for (let waitedMs = 0; ; waitedMs += SETTLE_PAUSE_MS) {
    const addresses = listAddresses(netlink, { index: spec.index, family: 6 });
    const duplicate = addresses.find((address) => (address.flags & IFA_F_DADFAILED) !== 0);
    if (duplicate !== undefined) {
      throw failure(
        `${formatIp(duplicate.ip)} of ${spec.ifname} is in use elsewhere: duplicate address detection found it`,
      );
    }
    if (!addresses.some((address) => (address.flags & IFA_F_TENTATIVE) !== 0)) return;
    if (waitedMs >= SETTLE_LIMIT_MS) {
      throw failure(`duplicate address detection on ${spec.ifname} has not ended after ${SETTLE_LIMIT_MS / 1000} s`);
    }
    sleepMs(sys, SETTLE_PAUSE_MS);
  }
}
