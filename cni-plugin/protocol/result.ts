// The result of an ADD in the shape of the newest version, and its text in every version (SPEC.md 1.1.0 "Success"). Older shapes are made
// from it when it is printed: pkg/types/{020,040,100} of libcni.

import { formatIp, formatPrefix, type Ip, type IpPrefix } from '../../lib/ip.ts';
import { failure } from './error.ts';
import { escapeForGo } from './go-json.ts';
import { atLeast, resultFamily } from './versions.ts';

export interface ResultInterface {
  readonly name: string;
  readonly mac: string;
  readonly mtuBytes?: number | undefined;
  /** The netns that has the interface; absent for an interface of the host. */
  readonly sandbox?: string | undefined;
  readonly socketPath?: string | undefined;
  readonly pciId?: string | undefined;
}

export interface ResultIp {
  /** The address with the length of its subnet. */
  readonly address: IpPrefix;
  readonly gateway?: Ip | undefined;
  /** Index into `interfaces`. */
  readonly interface?: number | undefined;
}

export interface ResultRoute {
  readonly dst: IpPrefix;
  readonly gw?: Ip | undefined;
  readonly mtuBytes?: number | undefined;
  readonly advmss?: number | undefined;
  readonly priority?: number | undefined;
  readonly table?: number | undefined;
  readonly scope?: number | undefined;
}

export interface Dns {
  readonly nameservers: readonly string[];
  readonly domain: string;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface Result {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultIp[];
  readonly routes: readonly ResultRoute[];
  readonly dns: Dns;
}

/** A result without anything in it. */
export function emptyDns(): Dns {
  return { nameservers: [], domain: '', search: [], options: [] };
}

export function isEmptyDns(dns: Dns): boolean {
  return dns.domain === '' && dns.nameservers.length + dns.search.length + dns.options.length === 0;
}

type Json = { readonly [key: string]: unknown } | undefined;

function present<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

function mapPresent<T>(list: readonly T[], shape: (item: T) => Json): readonly Json[] | undefined {
  return list.length === 0 ? undefined : list.map(shape);
}

function textOrAbsent(text: string): string | undefined {
  return text === '' ? undefined : text;
}

function gatewayText(gateway: Ip | undefined): string | undefined {
  return gateway === undefined ? undefined : formatIp(gateway);
}

/** dns of versions before 1.0, which print `{}` when there is none. */
function structDns(dns: Dns): Json {
  return {
    nameservers: present(dns.nameservers),
    domain: textOrAbsent(dns.domain),
    search: present(dns.search),
    options: present(dns.options),
  };
}

/** 1.x: keys sorted, because Go's marshaller goes through a map; numbers that are 0 are left out. */
function shape1(result: Result, version: string): Json {
  const { dns } = result;
  return {
    cniVersion: version,
    dns: isEmptyDns(dns)
      ? undefined
      : {
          domain: textOrAbsent(dns.domain),
          nameservers: present(dns.nameservers),
          options: present(dns.options),
          search: present(dns.search),
        },
    interfaces: mapPresent(result.interfaces, (item) => ({
      mac: textOrAbsent(item.mac),
      mtu: item.mtuBytes === 0 ? undefined : item.mtuBytes,
      name: item.name,
      pciID: textOrAbsent(item.pciId ?? ''),
      sandbox: textOrAbsent(item.sandbox ?? ''),
      socketPath: textOrAbsent(item.socketPath ?? ''),
    })),
    ips: mapPresent(result.ips, (item) => ({
      address: formatPrefix(item.address),
      gateway: gatewayText(item.gateway),
      interface: item.interface,
    })),
    routes: mapPresent(result.routes, (item) => ({
      advmss: item.advmss === 0 ? undefined : item.advmss,
      dst: formatPrefix(item.dst),
      gw: gatewayText(item.gw),
      mtu: item.mtuBytes === 0 ? undefined : item.mtuBytes,
      priority: item.priority === 0 ? undefined : item.priority,
      scope: item.scope,
      table: item.table,
    })),
  };
}

function shape04(result: Result, version: string): Json {
  return {
    cniVersion: version,
    interfaces: mapPresent(result.interfaces, (item) => ({
      name: item.name,
      mac: textOrAbsent(item.mac),
      sandbox: textOrAbsent(item.sandbox ?? ''),
    })),
    ips: mapPresent(result.ips, (item) => ({
      version: String(item.address.ip.family),
      interface: item.interface,
      address: formatPrefix(item.address),
      gateway: gatewayText(item.gateway),
    })),
    routes: mapPresent(result.routes, (item) => ({ dst: formatPrefix(item.dst), gw: gatewayText(item.gw) })),
    dns: structDns(result.dns),
  };
}

function family02(result: Result, family: 4 | 6): Json {
  const ip = result.ips.find((item) => item.address.ip.family === family);
  if (ip === undefined) return undefined;
  const routes = result.routes.filter((item) => item.dst.ip.family === family);
  return {
    ip: formatPrefix(ip.address),
    gateway: gatewayText(ip.gateway),
    routes: mapPresent(routes, (item) => ({ dst: formatPrefix(item.dst), gw: gatewayText(item.gw) })),
  };
}

function shape02(result: Result, version: string): Json {
  if (result.ips.length === 0) throw failure('cannot convert: no valid IP addresses');
  return {
    cniVersion: version,
    ip4: family02(result, 4),
    ip6: family02(result, 6),
    dns: structDns(result.dns),
  };
}

/** Throws the errors of `renderResult` before anything is made: versions 0.1.0 and 0.2.0 cannot express a result without an address. */
export function checkConvertible(version: string, hasAddresses: boolean): void {
  if (resultFamily(version) === undefined)
    throw failure(`no result has the form of version ${JSON.stringify(version)}`);
  if (!hasAddresses && !atLeast(version, '0.3.0')) throw failure('cannot convert: no valid IP addresses');
}

/** The result's text in `version`, with 4 spaces and without a final line end. Throws CniError 999 when this version cannot express it. */
export function renderResult(result: Result, version: string): string {
  let shape: Json;
  switch (resultFamily(version)) {
    case '1.0':
      shape = shape1(result, version);
      break;
    case '0.4':
      shape = shape04(result, version);
      break;
    case '0.2':
      shape = shape02(result, version);
      break;
    case undefined:
      throw failure(`no result has the form of version ${JSON.stringify(version)}`);
  }
  return escapeForGo(JSON.stringify(shape, null, 4));
}
