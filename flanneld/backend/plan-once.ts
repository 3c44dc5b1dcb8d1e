// Computes plans again only when the leases have changed, because the loops ask for them much more often.

import type { Plan, PlannedPeer } from '../dataplane/plan.ts';
import type { PeerProblem } from '../health/peer-problem.ts';
import type { LeaseSnapshot } from '../subnet/manager.ts';

/** Returns a function that gives the same plan for the same leases. */
export function planOnce<P extends PlannedPeer>(
  make: (snapshot: LeaseSnapshot) => Plan<P>,
): (snapshot: LeaseSnapshot) => Plan<P> {
  let known: { readonly leases: LeaseSnapshot['leases']; readonly plan: Plan<P> } | undefined;
  return (snapshot) => {
    if (known?.leases !== snapshot.leases) known = { leases: snapshot.leases, plan: make(snapshot) };
    return known.plan;
  };
}

/** The same for peers that are read from the leases one by one; a lease that cannot be used becomes a problem. */
export function plannerOf<P extends PlannedPeer>(
  read: (snapshot: LeaseSnapshot) => { readonly peers: readonly P[]; readonly problems: readonly PeerProblem[] },
): (snapshot: LeaseSnapshot) => Plan<P> {
  return planOnce((snapshot) => {
    const { peers, problems } = read(snapshot);
    const byKey = new Map(peers.map((peer) => [peer.key, peer]));
    return { peers: byKey, problems: [...snapshot.problems, ...problems], doubts: [] };
  });
}
