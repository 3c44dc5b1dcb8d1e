// The bandwidth plugin: token buckets for both directions. The one on the host's end of a container's veth limits what goes to the
// container; the one on an ifb, through which everything from the container is sent, limits the other direction
// (containernetworking/plugins plugins/meta/bandwidth). Names and numbers are the Go plugin's, so that either may finish what the other
// began.

import { field, isJsonObject } from '../../lib/json.ts';
import { type Netlink, openNetlink } from '../../lib/netlink/connection.ts';
import { createIfb, type Ifb, listIfbs, setAlias } from '../../lib/rtnetlink/ifb.ts';
import { deleteLink, getLink, type Link } from '../../lib/rtnetlink/link.ts';
import {
  addIngress,
  addRedirect,
  deleteIngress,
  getIngressKind,
  getTokenBucket,
  replaceTokenBucket,
  tokenBucket,
} from '../../lib/rtnetlink/qdisc.ts';
import { EEXIST } from '../../lib/sys/errno.ts';
import { deleteLinkByName, deleteLinkSoon } from '../bridge/delete-link.ts';
import { validAttachments } from '../protocol/attachments.ts';
import { because, failure } from '../protocol/error.ts';
import type { Invocation, Plugin } from '../protocol/plugin.ts';
import type { Result, ResultInterface } from '../protocol/result.ts';
import { parsePrevResult } from '../protocol/result-parse.ts';
import { ALL_VERSIONS, atLeast } from '../protocol/versions.ts';
import { withUndo } from '../undo.ts';
import { type Limit, readLimits } from './bandwidth-config.ts';
import { hostDevice, IFB_PREFIX, ifbName } from './devices.ts';

function previousResult(invocation: Invocation, missing: string): Result {
  const prevResult = field(invocation.config, 'prevResult');
  if (!isJsonObject(prevResult)) throw failure(missing);
  return parsePrevResult(prevResult, invocation.version);
}

function withNetlink<T>(invocation: Invocation, body: (netlink: Netlink) => T): T {
  const netlink = openNetlink(invocation.sys);
  try {
    return body(netlink);
  } finally {
    netlink.close();
  }
}

function add(invocation: Invocation): Result {
  const { ingress, egress } = readLimits(invocation);
  const previous = previousResult(invocation, 'must be called as chained plugin');
  if (ingress === undefined && egress === undefined) return previous;
  return withNetlink(invocation, (netlink) => {
    const host = hostDevice(invocation, netlink, previous);
    if (ingress !== undefined) limit(netlink, host, ingress, 'cannot limit what the pod receives');
    if (egress === undefined) return previous;
    const ifb = withUndo(invocation.note, (onFailure) => limitEgress(invocation, netlink, host, egress, onFailure));
    return { ...previous, interfaces: [...previous.interfaces, ifb] };
  });
}

function limit(netlink: Netlink, device: Link, { rate, burst }: Limit, what: string): void {
  const { index, name } = device;
  attempt(what, () => netlink.run(replaceTokenBucket(index, tokenBucket(rate, burst), name)));
}

/** Puts what was tried in front of the kernel's text. */
function attempt<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (thrown) {
    throw because(what, thrown);
  }
}

function limitEgress(
  invocation: Invocation,
  netlink: Netlink,
  host: Link,
  egress: Limit,
  onFailure: (undo: () => void) => void,
): ResultInterface {
  const ifb = ensureIfb(invocation, netlink, host, onFailure);
  redirect(netlink, host, ifb);
  limit(netlink, ifb, egress, 'cannot limit what the pod sends');
  return { name: ifb.name, mac: ifb.mac ?? '' };
}

/** The container's ifb. If an earlier ADD of the same container left one, that one is used. */
function ensureIfb(invocation: Invocation, netlink: Netlink, host: Link, onFailure: (undo: () => void) => void): Link {
  const name = ifbName(invocation);
  const { mtu } = host;
  const left = getLink(netlink, { name });
  if (left !== undefined) return left;
  const ifb = attempt(`cannot make ${name}`, () => createIfb(netlink, { name, mtu, up: true }));
  onFailure(() => netlink.run(deleteLink({ index: ifb.index, name })));
  // The alias tells GC which network the device belongs to. If a kernel refuses the alias, only GC for this device is lost.
  netlink.execute([setAlias(ifb.index, name, aliasOf(invocation, invocation.containerId))]);
  return ifb;
}

function aliasOf({ name }: Invocation, containerId: string): string {
  return `${name} ${containerId}`.slice(0, 255);
}

/** Sends what comes from the container through the ifb, and nowhere else. */
function redirect(netlink: Netlink, host: Link, ifb: Link): void {
  const { index, name } = host;
  attempt(`cannot catch what comes from ${name}`, () => {
    const [failed] = netlink.execute([addIngress(index, name)]);
    if (failed === undefined) return;
    // A clsact qdisc belongs to another program and holds its filters.
    if (failed.errno !== EEXIST || getIngressKind(netlink, index) !== 'ingress') throw failed;
    // An earlier ADD made this hook, and its filter may lead to an ifb that is gone.
    netlink.run(deleteIngress(index, name));
    netlink.run(addIngress(index, name));
  });
  attempt(`cannot lead what comes from ${name} to ${ifb.name}`, () =>
    netlink.run(addRedirect(index, ifb.index, name, ifb.name)),
  );
}

/** The token bucket on the veth goes with the veth. Differs from the Go plugin: a wrong configuration does not keep the ifb. */
function del(invocation: Invocation): void {
  deleteLinkByName(invocation.sys, ifbName(invocation));
}

function check(invocation: Invocation): void {
  const { ingress, egress } = readLimits(invocation);
  const previous = previousResult(invocation, 'must be called as chained plugin');
  if (ingress === undefined && egress === undefined) return;
  withNetlink(invocation, (netlink) => {
    const host = hostDevice(invocation, netlink, previous);
    if (ingress !== undefined) checkBucket(netlink, host, ingress);
    if (egress === undefined) return;
    const ifb = getLink(netlink, { name: ifbName(invocation) });
    if (ifb === undefined) throw failure(`${ifbName(invocation)} is gone: what the pod sends is not limited`);
    checkBucket(netlink, ifb, egress);
  });
}

function checkBucket(netlink: Netlink, device: Link, { rate, burst }: Limit): void {
  const wanted = tokenBucket(rate, burst);
  const found = getTokenBucket(netlink, device.index);
  if (found === undefined) throw failure(`${device.name} has no token bucket: nothing is limited there`);
  if (found.rate !== wanted.rate) throw differs(device, 'rate', found.rate, wanted.rate);
  if (found.limit !== wanted.limit) throw differs(device, 'limit', found.limit, wanted.limit);
  if (found.buffer !== wanted.buffer) throw differs(device, 'buffer', found.buffer, wanted.buffer);
}

function differs({ name }: Link, what: string, found: number, wanted: number): Error {
  return failure(`the token bucket of ${name} has ${what} ${found}, configured is ${wanted}`);
}

/**
 * Removes the network's ifbs whose container is not in the valid list, if this plugin has made and named them. An ifb with neither our
 * alias nor a limit was left by an ADD that was killed.
 */
function gc(invocation: Invocation): void {
  const valid = validAttachments(invocation.config);
  if (valid === undefined) return;
  const kept = new Set(valid.map(({ containerId }) => aliasOf(invocation, containerId)));
  withNetlink(invocation, (netlink) => {
    const isLost = ({ index, alias }: Ifb): boolean =>
      alias === ''
        ? getTokenBucket(netlink, index) === undefined
        : alias.startsWith(`${invocation.name} `) && !kept.has(alias);
    for (const ifb of listIfbs(netlink)) {
      if (ifb.name.startsWith(IFB_PREFIX) && isLost(ifb)) deleteLinkSoon(invocation.sys, netlink, ifb);
    }
  });
}

export const bandwidth: Plugin = {
  name: 'bandwidth',
  supported: ALL_VERSIONS.filter((version) => atLeast(version, '0.3.0')),
  add,
  del,
  check,
  gc,
};
