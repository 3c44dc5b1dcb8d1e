// Makes sites for the subnet managers' contract in a real etcd, each under a key prefix of its own.

import type { EtcdManagerOptions } from '../../../flanneld/subnet/etcd/etcd.ts';
import { createEtcdManager, etcdDefaults } from '../../../flanneld/subnet/etcd/etcd.ts';
import { deleteOperation, putOperation } from '../../../flanneld/subnet/etcd/etcd-json.ts';
import type { GatewayOptions } from '../../../flanneld/subnet/etcd/gateway.ts';
import { EtcdGateway } from '../../../flanneld/subnet/etcd/gateway.ts';
import { formatLeaseKey, renderLeaseValue } from '../../../flanneld/subnet/etcd/lease-key.ts';
import { readTlsFiles } from '../../../flanneld/subnet/etcd/tls-files.ts';
import { httpRequest } from '../../../flanneld/subnet/http.ts';
import type { SubnetManager } from '../../../flanneld/subnet/manager.ts';
import { parsePrefix } from '../../../lib/ip.ts';
import { type JsonValue, jsonObject, stringifyJson } from '../../../lib/json.ts';
import type { EtcdCluster, EtcdMember } from '../../support/etcd.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { slowed } from '../../support/slowness.ts';
import type { ContractSite } from '../../support/store-contract.ts';
import { never } from '../../support/store-contract.ts';

export interface EtcdSite extends Omit<ContractSite, 'manager'> {
  readonly prefix: string;
  readonly gateway: EtcdGateway;
  readonly logged: readonly string[];
  /** A manager for any node: etcd knows nodes only by their addresses. */
  manager(change?: Partial<EtcdManagerOptions>): SubnetManager;
  put(key: string, value: string, leaseId?: string): Promise<void>;
  /** The stored values, by their key below `<prefix>/subnets/`, each with the id of its etcd lease. */
  stored(): Promise<ReadonlyMap<string, { value: string; leaseId: string }>>;
}

/** The key for subnets such as `10.244.1.0/24 fd00::/64`. */
export function keyOf(subnets: string): string {
  const prefixes = subnets.split(' ').map(parsePrefix);
  const [subnet, ipv6Subnet] = [prefixes.find(({ ip }) => ip.family === 4), prefixes.find(({ ip }) => ip.family === 6)];
  return formatLeaseKey({ ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) });
}

let sites = 0;

export async function makeEtcdSite(
  cluster: EtcdCluster,
  netConf: object,
  user?: GatewayOptions['user'],
): Promise<EtcdSite> {
  const { endpoints, tls } = cluster;
  const prefix = `/weft/${process.pid}-${sites++}`;
  const connection = { endpoints, tls, user, timeoutMs: slowed(3000) };
  const gateway = new EtcdGateway(connection);
  const { log, logged } = recordingLog();
  const put = async (key: string, value: string, leaseId = '0'): Promise<void> => {
    await gateway.transact(key, [], [putOperation(prefix + key, value, leaseId)], never);
  };
  await put('/config', JSON.stringify(netConf));
  return {
    prefix,
    gateway,
    logged,
    put,
    manager(change) {
      const options = { ...etcdDefaults, ...connection, prefix, previous: {}, earlier: undefined, log };
      return createEtcdManager({ ...options, random: Math.random, ...change });
    },
    keyOf: (_node, subnets) => keyOf(subnets),
    async putPeer(_node, subnets, attributes) {
      const leaseId = await gateway.grantLease(3600, never);
      await put(`/subnets/${keyOf(subnets)}`, renderLeaseValue(attributes), leaseId);
    },
    async spoil(_node, subnets) {
      await put(`/subnets/${keyOf(subnets)}`, '{"PublicIP":"10.0.0.1; rm -rf /"}');
    },
    async remove(_node, subnets) {
      await gateway.transact('', [], [deleteOperation(`${prefix}/subnets/${keyOf(subnets)}`)], never);
    },
    async stored() {
      const { kvs } = await gateway.list(`${prefix}/subnets/`, never);
      const start = `${prefix}/subnets/`.length;
      return new Map(kvs.map(({ key, value, leaseId }) => [key.slice(start), { value, leaseId }]));
    },
  };
}

/** Makes a call of etcd's API that the agent itself never makes. */
export async function askEtcd(
  cluster: EtcdCluster,
  path: string,
  body: Record<string, JsonValue> = {},
  at = 0,
): Promise<string> {
  const endpoint = cluster.endpoints[at];
  const options = await readTlsFiles(cluster.tls);
  const call = { method: 'POST' as const, url: new URL(`/v3/${path}`, endpoint), options, timeoutMs: 5000 };
  const answer = await httpRequest({ ...call, body: stringifyJson(jsonObject(body)), signal: never });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.body}`);
  return answer.body;
}

export async function leaderOf(cluster: EtcdCluster): Promise<EtcdMember> {
  for (const [at, member] of cluster.members.entries()) {
    const { header, leader } = JSON.parse(await askEtcd(cluster, 'maintenance/status', {}, at));
    if (header.member_id === leader) return member;
  }
  throw new Error('no leader');
}
