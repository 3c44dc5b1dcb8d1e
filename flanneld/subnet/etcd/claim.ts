// Takes a subnet in etcd: chooses a free one and writes it in a transaction that fails if another node was faster. It does
// the work of flannel's local manager (pkg/subnet/etcd/local_manager.go), but tries again after a lost race, works without
// IPv4, and needs no daily renewal.

import { backoffMs } from '../../../lib/backoff.ts';
import { OpError } from '../../../lib/errors.ts';
import type { IpPrefix } from '../../../lib/ip.ts';
import { formatPrefix, overlaps, sameIp } from '../../../lib/ip.ts';
import type { NetConf } from '../../../lib/net-conf.ts';
import type { SubnetPool } from '../../../lib/subnet-pool.ts';
import { findLengthProblem, ipv6SubnetPool, subnetPool } from '../../../lib/subnet-pool.ts';
import type { Logger } from '../../health/log.ts';
import { sleepUnlessAborted } from '../bell.ts';
import { chooseOwnSubnet } from '../choose-subnet.ts';
import type { Lease, LeaseAttributes } from '../manager.ts';
import { changedAt, createdAt, deleteOperation, putOperation } from './etcd-json.ts';
import type { EtcdGateway } from './gateway.ts';
import type { Entry } from './key-mirror.ts';
import { readEntry } from './key-mirror.ts';
import type { Subnets } from './lease-key.ts';
import { formatLeaseKey, renderLeaseValue } from './lease-key.ts';

/** This node's lease as it must be in etcd. */
export interface Claim {
  readonly name: string;
  readonly value: string;
  readonly lease: Lease;
  /** Id of the etcd lease that ends the key; `0` for a reservation, which never ends. */
  readonly leaseId: string;
  /** The store's revision when it last had this claim. */
  readonly revision: bigint;
  /** The revision at which its key was made. Of two leases that claim the same, the one with the older revision keeps it. */
  readonly created: bigint;
}

export interface ClaimContext {
  readonly gateway: EtcdGateway;
  /** Ends in `/subnets/`. */
  readonly prefix: string;
  readonly config: NetConf;
  /** The subnets in an earlier run's subnet.env; taken again when they are free. */
  readonly previous: { readonly subnet?: IpPrefix | undefined; readonly ipv6Subnet?: IpPrefix | undefined };
  /** What this node last wrote, in this run or an earlier one. With it the lease is found even after the node's address changed. */
  readonly earlier: Lease | undefined;
  readonly ttlSec: number;
  readonly random: () => number;
  readonly log: Logger;
}

const ATTEMPTS = 40;
const backoff = { firstMs: 20, capMs: 1000, jitter: 0.9 };

/** Rejects with OpError `no subnet is free` or `lost race`, with ConfigError for a bad configuration, with EtcdError. */
export async function claimSubnets(
  context: ClaimContext,
  attributes: LeaseAttributes,
  signal: AbortSignal,
): Promise<Claim> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    signal.throwIfAborted();
    const claim = await tryClaim(context, attributes, signal);
    if (claim !== undefined) return claim;
    // Differs from flannel (D11), which gives up after a few lost races.
    context.log.debug({ attempt }, 'another node took the chosen subnet first, will choose again');
    await sleepUnlessAborted(backoffMs(backoff, attempt, context.random()), signal);
  }
  throw claimError('lost race', `${ATTEMPTS} times`);
}

async function tryClaim(
  context: ClaimContext,
  attributes: LeaseAttributes,
  signal: AbortSignal,
): Promise<Claim | undefined> {
  const { gateway, prefix } = context;
  const { kvs, revision } = await gateway.list(prefix, signal);
  // Oldest first: of several leases with our address the oldest is ours.
  const entries = kvs.map((kv) => readEntry(prefix, kv)).sort(byCreateRevision);
  const found = findOwn(entries, attributes, context.earlier);
  const own = found && isUsable(context, entries, found) ? found : undefined;
  const lease: Lease = { ...attributes, ...chooseSubnets(context, entries, own) };
  const name = formatLeaseKey(lease);
  const wanted = { name, value: renderLeaseValue(lease), lease };
  return own?.name === name
    ? await renewClaim(context, own, { ...wanted, revision }, signal)
    : await makeClaim(context, own, wanted, signal);
}

function byCreateRevision(a: Entry, b: Entry): number {
  const [older, newer] = [a.kv.createRevision, b.kv.createRevision];
  if (older === newer) return 0;
  return older < newer ? -1 : 1;
}

/** An administrator made a reservation, so one that does not fit the configuration any more is not changed and not used. */
function isUsable(context: ClaimContext, entries: readonly Entry[], own: Entry): boolean {
  if (own.kv.leaseId !== '0' || formatLeaseKey(chooseSubnets(context, entries, own)) === own.name) return true;
  context.log.warn({ lease: own.name }, 'reservation does not fit the configuration and is not used');
  return false;
}

/** Finds the lease that we wrote last, else (flannel's rule) the one with our address. */
function findOwn(
  entries: readonly Entry[],
  attributes: LeaseAttributes,
  earlier: Lease | undefined,
): Entry | undefined {
  const name = earlier && formatLeaseKey(earlier);
  const value = earlier && renderLeaseValue(earlier);
  return (
    entries.find((entry) => entry.name === name && entry.kv.value === value) ??
    entries.find(({ lease }) => lease !== undefined && hasSameOwner(lease, attributes))
  );
}

/** Compares the IPv4 addresses where both have one. Differs from flannel (D12), for which all IPv6-only nodes are the same. */
export function hasSameOwner(a: LeaseAttributes, b: LeaseAttributes): boolean {
  if (a.publicIp && b.publicIp) return sameIp(a.publicIp, b.publicIp);
  return a.publicIpv6 !== undefined && b.publicIpv6 !== undefined && sameIp(a.publicIpv6, b.publicIpv6);
}

function chooseSubnets(
  { config, previous, random }: ClaimContext,
  entries: readonly Entry[],
  own: Entry | undefined,
): Subnets {
  const pools = [subnetPool(config), ipv6SubnetPool(config)] as const;
  const others = entries.filter((entry) => entry !== own);
  const fitting = others.filter(({ subnets }) => refusalOf(pools, subnets) === undefined);
  // Neither a younger lease nor one that all nodes refuse can take our subnet from us.
  const elders = own && fitting.filter(({ kv }) => kv.createRevision < own.kv.createRevision);
  const taken = {
    all: others.flatMap(({ subnets }) => prefixesOf(subnets)),
    fitting: fitting.flatMap(({ subnets }) => prefixesOf(subnets)),
    byElders: elders?.flatMap(({ subnets }) => prefixesOf(subnets)),
  };
  const choose = (pool: SubnetPool | undefined, had: IpPrefix | undefined, before: IpPrefix | undefined) => {
    if (pool === undefined) return undefined;
    const subnet = chooseOwnSubnet(pool, had, before, taken, random());
    if (subnet === undefined) throw claimError('no subnet is free', formatPrefix(pool.network));
    return subnet;
  };
  const subnet = choose(pools[0], own?.subnets?.subnet, previous.subnet);
  const ipv6Subnet = choose(pools[1], own?.subnets?.ipv6Subnet, previous.ipv6Subnet);
  return { ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) };
}

/** Why all nodes refuse a lease of these subnets (their length is not the configured one); undefined when they accept it. */
export function refusalOf(
  pools: readonly (SubnetPool | undefined)[],
  subnets: Subnets | undefined,
): string | undefined {
  return prefixesOf(subnets)
    .map((prefix) => findLengthProblem(pools, prefix))
    .find((problem) => problem !== undefined);
}

export function prefixesOf(subnets: Subnets | undefined): IpPrefix[] {
  return [subnets?.subnet, subnets?.ipv6Subnet].filter((prefix) => prefix !== undefined);
}

/** Keeps the key, and its etcd lease if that still lives. Differs from flannel (D15): a reservation stays a reservation. */
async function renewClaim(
  { gateway, prefix, ttlSec }: ClaimContext,
  own: Entry,
  wanted: Omit<Claim, 'leaseId' | 'created'>,
  signal: AbortSignal,
): Promise<Claim | undefined> {
  const { leaseId, createRevision: created } = own.kv;
  const isKept = leaseId === '0' || (await gateway.keepLeaseAlive(leaseId, signal)) > 0;
  if (isKept && own.kv.value === wanted.value) return { ...wanted, leaseId, created };
  const key = prefix + own.name;
  const newId = isKept ? leaseId : await gateway.grantLease(ttlSec, signal);
  const put = putOperation(key, wanted.value, isKept ? 'keep' : newId);
  const revision = await gateway.transact(key, [changedAt(key, own.kv.modRevision)], [put], signal);
  if (revision !== undefined) return { ...wanted, leaseId: newId, revision, created };
  if (!isKept) await gateway.revokeLease(newId, signal);
  return undefined;
}

/** Makes a new key, and in the same transaction deletes an old one of ours that no longer fits. */
async function makeClaim(
  { gateway, prefix, config, ttlSec, log }: ClaimContext,
  old: Entry | undefined,
  wanted: Omit<Claim, 'leaseId' | 'revision' | 'created'>,
  signal: AbortSignal,
): Promise<Claim | undefined> {
  const key = prefix + wanted.name;
  if (old !== undefined) log.warn({ lease: old.name }, 'own lease does not fit the configuration, will take another');
  const leaseId = await gateway.grantLease(ttlSec, signal);
  const compare = [createdAt(key, 0n), ...(old ? [changedAt(old.kv.key, old.kv.modRevision)] : [])];
  const then = [putOperation(key, wanted.value, leaseId), ...(old ? [deleteOperation(old.kv.key)] : [])];
  const revision = await gateway.transact(key, compare, then, signal);
  if (revision !== undefined && !(await hasElder({ gateway, prefix, config }, wanted, revision, signal))) {
    return { ...wanted, leaseId, revision, created: revision };
  }
  await gateway.revokeLease(leaseId, signal);
  return undefined;
}

/**
 * Whether an older key overlaps ours. The transaction compares only equal keys, but two dual-stack nodes may have taken
 * the same IPv4 subnet with different IPv6 ones. Then the younger key gives way.
 */
async function hasElder(
  { gateway, prefix, config }: Pick<ClaimContext, 'gateway' | 'prefix' | 'config'>,
  { name, lease }: Pick<Claim, 'name' | 'lease'>,
  revision: bigint,
  signal: AbortSignal,
): Promise<boolean> {
  const { kvs } = await gateway.list(prefix, signal);
  const pools = [subnetPool(config), ipv6SubnetPool(config)];
  const elders = kvs.filter((kv) => kv.createRevision < revision).map((kv) => readEntry(prefix, kv));
  const fitting = elders.filter(({ subnets }) => refusalOf(pools, subnets) === undefined);
  return findOverlap(fitting, name, lease) !== undefined;
}

/** An entry of another name whose subnets overlap those of `own`. */
export function findOverlap(entries: Iterable<Entry>, name: string, own: Subnets): Entry | undefined {
  const ours = prefixesOf(own);
  for (const entry of entries) {
    if (entry.name === name) continue;
    if (prefixesOf(entry.subnets).some((theirs) => ours.some((mine) => overlaps(mine, theirs)))) return entry;
  }
  return undefined;
}

function claimError(code: string, detail: string): OpError {
  return new OpError({ subsystem: 'etcd', op: 'acquire', object: 'a subnet', code, detail });
}
