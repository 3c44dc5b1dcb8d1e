// Reads a result: prevResult in a configuration, or the output of a delegate. The shape of every version becomes the newest one.

import { type Ip, type IpPrefix, parseIp, parsePrefix } from '../../lib/ip.ts';
import type { JsonObject } from '../../lib/json.ts';
import { failure } from './error.ts';
import { type Fields, intField, objectField, objectsField, stringField, stringsField } from './fields.ts';
import { type Dns, emptyDns, type Result, type ResultInterface, type ResultIp, type ResultRoute } from './result.ts';
import { familyVersions, resultFamily } from './versions.ts';

/** The version of a result is its own cniVersion, or `fallback` where it has none. */
export function parseResult(object: JsonObject, fallback: string): Result {
  const fields: Fields = { path: '', object };
  const version = stringField(fields, 'cniVersion') || fallback;
  switch (resultFamily(version)) {
    case '1.0':
    case '0.4':
      return parseLists(fields);
    case '0.2':
      return parseFamilies(fields);
    case undefined:
      throw failure(`no result has the form of version ${JSON.stringify(version)}`);
  }
}

/**
 * The prevResult of a configuration of `version`. Throws CniError 999 when it belongs to another family of versions: the runtime converts
 * it before sending, so a mismatch is a mistake.
 */
export function parsePrevResult(object: JsonObject, version: string): Result {
  const own = stringField({ path: '', object }, 'cniVersion') || version;
  const family = resultFamily(version);
  if (family === undefined) throw failure(`could not parse prevResult: no result has the form of version "${version}"`);
  if (resultFamily(own) !== family) {
    throw failure(
      `could not parse prevResult: result type supports ${familyVersions(family)} but unmarshalled CNIVersion is "${own}"`,
    );
  }
  try {
    return parseResult(object, version);
  } catch (thrown) {
    throw failure(`could not parse prevResult: ${(thrown as Error).message}`);
  }
}

function optionalIp(fields: Fields, key: string): Ip | undefined {
  const text = stringField(fields, key);
  return text === '' ? undefined : parseIp(text);
}

function prefixField(fields: Fields, key: string): IpPrefix {
  return parsePrefix(stringField(fields, key));
}

function parseDns(fields: Fields): Dns {
  const dns = objectField(fields, 'dns');
  return dns === undefined ? emptyDns() : readDns(dns);
}

/** The four keys of a `dns` object. */
export function readDns(dns: Fields): Dns {
  return {
    nameservers: stringsField(dns, 'nameservers'),
    domain: stringField(dns, 'domain'),
    search: stringsField(dns, 'search'),
    options: stringsField(dns, 'options'),
  };
}

function parseInterface(fields: Fields): ResultInterface {
  return {
    name: stringField(fields, 'name'),
    mac: stringField(fields, 'mac'),
    mtuBytes: intField(fields, 'mtu'),
    sandbox: stringField(fields, 'sandbox'),
    socketPath: stringField(fields, 'socketPath'),
    pciId: stringField(fields, 'pciID'),
  };
}

function parseIpEntry(fields: Fields): ResultIp {
  return {
    address: prefixField(fields, 'address'),
    gateway: optionalIp(fields, 'gateway'),
    interface: intField(fields, 'interface'),
  };
}

/** A route of a result or of an IPAM configuration, which have the same keys. */
export function parseRoute(fields: Fields): ResultRoute {
  return {
    dst: prefixField(fields, 'dst'),
    gw: optionalIp(fields, 'gw'),
    mtuBytes: intField(fields, 'mtu'),
    advmss: intField(fields, 'advmss'),
    priority: intField(fields, 'priority'),
    table: intField(fields, 'table'),
    scope: intField(fields, 'scope'),
  };
}

function parseLists(fields: Fields): Result {
  return {
    interfaces: objectsField(fields, 'interfaces').map(parseInterface),
    ips: objectsField(fields, 'ips').map(parseIpEntry),
    routes: objectsField(fields, 'routes').map(parseRoute),
    dns: parseDns(fields),
  };
}

/** 0.1.0 and 0.2.0: one object for each family, with the routes inside it. */
function parseFamilies(fields: Fields): Result {
  const ips: ResultIp[] = [];
  const routes: ResultRoute[] = [];
  for (const key of ['ip4', 'ip6']) {
    const family = objectField(fields, key);
    if (family === undefined) continue;
    const gateway = optionalIp(family, 'gateway');
    ips.push({ address: prefixField(family, 'ip'), gateway });
    for (const route of objectsField(family, 'routes')) {
      const { dst, gw } = parseRoute(route);
      routes.push({ dst, gw: gw ?? gateway });
    }
  }
  return { interfaces: [], ips, routes, dns: parseDns(fields) };
}
