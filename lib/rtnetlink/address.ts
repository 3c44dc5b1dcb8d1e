// Addresses of devices: struct ifaddrmsg and IFA_ attributes (rtnetlink(7), linux/if_addr.h).

import { type Family, formatIp, type Ip } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import type { MessageReader } from '../netlink/reader.ts';
import type { NetlinkRequest } from '../netlink/request.ts';
import type { MessageWriter } from '../netlink/writer.ts';
import {
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from './rtnetlink-constants.ts';
import { type RequestKind, SpecRequest } from './spec-request.ts';
import { addressFamily, familyOf, type Mutable, spellDev, words } from './spelling.ts';

export interface Address {
  readonly index: number;
  readonly family: Family;
  /** The device's own address. */
  readonly ip: Ip;
  /** Prefix length. */
  readonly length: number;
  readonly broadcast?: Ip;
  /** RT_SCOPE_ */
  readonly scope: number;
  /** IFA_F_ */
  readonly flags: number;
  /** IPv4 only; the device's name unless another label was given. */
  readonly label?: string;
}

export interface AddressSpec {
  readonly index: number;
  readonly ip: Ip;
  readonly length: number;
  readonly broadcast?: Ip;
  readonly scope?: number;
  readonly flags?: number;
  readonly label?: string;
}

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;

/** struct ifaddrmsg: u8 family, u8 prefixlen, u8 flags, u8 scope, u32 index. */
const IFADDRMSG = 8;

export function writeAddress(writer: MessageWriter, address: AddressSpec): void {
  const flags = address.flags ?? 0;
  writer.u8(addressFamily(address.ip.family));
  writer.u8(address.length);
  writer.u8(flags & 0xff);
  writer.u8(address.scope ?? 0);
  writer.u32(address.index);
  writer.attrIp(IFA_LOCAL, address.ip);
  writer.attrIp(IFA_ADDRESS, address.ip);
  if (address.broadcast !== undefined) writer.attrIp(IFA_BROADCAST, address.broadcast);
  if (address.label !== undefined) writer.attrText(IFA_LABEL, address.label);
  // The header has room for eight flags only.
  if (flags > 0xff) writer.attrU32(IFA_FLAGS, flags);
}

/** EEXIST when the address exists. Same as: `ip addr add IP/LEN dev DEV`. */
export function addAddress(address: AddressSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(ADDRESS, 'add', address, dev);
}

/** Same as: `ip addr replace IP/LEN dev DEV`. */
export function replaceAddress(address: AddressSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(ADDRESS, 'replace', address, dev);
}

/** EADDRNOTAVAIL when the address does not exist. Same as: `ip addr del IP/LEN dev DEV`. */
export function deleteAddress(address: AddressSpec, dev?: string): NetlinkRequest {
  return new SpecRequest(ADDRESS, 'delete', address, dev);
}

const ADDRESS: RequestKind<AddressSpec> = {
  newType: RTM_NEWADDR,
  deleteType: RTM_DELADDR,
  write: writeAddress,
  spell: (address, _, dev) => words('address', spellPrefix(address), spellDev(address.index, dev)),
  command: (address, _, dev, toolVerb) =>
    words(
      'ip addr',
      toolVerb,
      spellPrefix(address),
      address.broadcast === undefined ? '' : `broadcast ${formatIp(address.broadcast)}`,
      spellDev(address.index, dev),
      spellScope(address.scope),
      address.label === undefined ? '' : `label ${address.label}`,
      ((address.flags ?? 0) & IFA_F_NODAD) !== 0 ? 'nodad' : '',
      ((address.flags ?? 0) & IFA_F_NOPREFIXROUTE) !== 0 ? 'noprefixroute' : '',
    ),
};

function spellPrefix(address: AddressSpec): string {
  return `${formatIp(address.ip)}/${address.length}`;
}

function spellScope(scope: number | undefined): string {
  if (scope === RT_SCOPE_HOST) return 'scope host';
  return scope === RT_SCOPE_LINK ? 'scope link' : '';
}

export interface AddressFilter {
  readonly index?: number;
  readonly family?: Family;
}

/** Same as: `ip addr show [dev DEV]`. */
export function listAddresses(netlink: Netlink, filter: AddressFilter = {}): Address[] {
  const { index, family } = filter;
  const request: NetlinkRequest = {
    type: RTM_GETADDR,
    flags: 0,
    write(writer) {
      writer.u32(family === undefined ? 0 : addressFamily(family));
      writer.u32(index ?? 0);
    },
    describe: () => words('list addresses', spellDev(index, undefined)),
  };
  return netlink.dump(request, (message) => {
    const address = decodeAddress(message);
    if (address === undefined || (index !== undefined && address.index !== index)) return undefined;
    return family !== undefined && address.family !== family ? undefined : address;
  });
}

/** Decodes RTM_NEWADDR and RTM_DELADDR; undefined for other families. Throws MalformedReply. */
export function decodeAddress(message: MessageReader): Address | undefined {
  const at = message.struct(IFADDRMSG);
  const { view } = message;
  const family = familyOf(view.getUint8(at));
  if (family === undefined) return undefined;
  const rest: Mutable<Pick<Address, 'flags' | 'broadcast' | 'label'>> = { flags: view.getUint8(at + 2) };
  let local: Ip | undefined;
  let other: Ip | undefined;
  const attributes = message.attributes(IFADDRMSG);
  while (attributes.next()) {
    if (attributes.type === IFA_LOCAL) local = attributes.ip();
    else if (attributes.type === IFA_ADDRESS) other = attributes.ip();
    else if (attributes.type === IFA_BROADCAST) rest.broadcast = attributes.ip();
    else if (attributes.type === IFA_LABEL) rest.label = attributes.text();
    else if (attributes.type === IFA_FLAGS) rest.flags = attributes.u32();
  }
  // On a point-to-point device IFA_ADDRESS is the far end. An IPv6 address without a far end has IFA_ADDRESS only.
  const ip = local ?? other;
  if (ip === undefined) return undefined;
  return {
    index: view.getUint32(at + 4, true),
    family,
    ip,
    length: view.getUint8(at + 1),
    scope: view.getUint8(at + 3),
    ...rest,
  };
}
