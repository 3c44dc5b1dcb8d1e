// A toy backend, written by ARCHITECTURE's recipe for adding one: it sends pods' packets by pigeon. Its peers are kept in a loft, which
// sends no events about changes, so their object kind is polled. The backend has no device.

import type { Backend, BackendType, OverlaySpec } from '../../flanneld/backend/backend.ts';
import { type RoutePeer, routePlanner } from '../../flanneld/backend/route-peer.ts';
import { type Action, type ObjectKind, type Refusal, wanted } from '../../flanneld/dataplane/objects/kind.ts';
import { formatIp, formatPrefix } from '../../lib/ip.ts';
import { readInteger } from '../../lib/json-fields.ts';

/** What the backend reads from net-conf.json. */
export interface ToyConf {
  /** How many bytes a pigeon carries. */
  readonly load: number;
}

/** The loft maps each subnet to the public IP its pigeon flies to. It is kept outside of the agent. */
export type Loft = Map<string, string>;

const TYPE = 'toy';

interface Pigeon {
  readonly subnet: string;
  readonly home: string;
}

interface Order extends Action {
  readonly pigeon: Pigeon;
  readonly isRemoval: boolean;
}

/** The kind of object that a peer needs. `refuses` says for which subnets the loft refuses a change. */
function pigeonKind(loft: Loft, refuses: (subnet: string) => boolean): ObjectKind<Pigeon, Pigeon, Order> {
  const order = (pigeon: Pigeon, isRemoval: boolean): Order => {
    const text = `pigeon ${isRemoval ? 'retire' : 'train'} ${pigeon.subnet}${isRemoval ? '' : ` ${pigeon.home}`}`;
    return { pigeon, isRemoval, describe: () => text, command: () => text };
  };
  return {
    name: 'pigeon',
    wantedKey: ({ subnet }) => subnet,
    presentKey: ({ subnet }) => subnet,
    isRight: (have, want) => have.home === want.home,
    isOurs: () => true,
    list: () => [...loft].map(([subnet, home]) => ({ subnet, home })),
    asWanted: (want) => want,
    put: (want) => order(want, false),
    remove: (have) => order(have, true),
    spell: ({ subnet }) => `pigeon ${subnet}`,
    difference: ({ home }) => `flew to ${home}`,
    execute(orders): Promise<Refusal[]> {
      const refused = orders.filter(({ pigeon }) => refuses(pigeon.subnet));
      for (const one of orders) {
        if (refused.includes(one)) continue;
        if (one.isRemoval) loft.delete(one.pigeon.subnet);
        else loft.set(one.pigeon.subnet, one.pigeon.home);
      }
      return Promise.resolve(refused.map((action) => ({ action, text: `${action.describe()}: no such pigeon` })));
    },
  };
}

/** The backend's entry for the registry. A real backend has no parameters: `loft` stands for what is outside of the agent. */
export function toy(loft: Loft, refuses: (subnet: string) => boolean = () => false): BackendType<ToyConf> {
  return {
    type: TYPE,
    keys: { Load: { type: 'integer', range: [68, 9000], default: 1400, help: 'how many bytes a pigeon carries' } },
    readKeys: (place) => ({ load: readInteger(place, 'Load', 68, 9000) ?? 1400 }),
    make: (conf) => toyBackend(conf, loft, refuses),
  };
}

function toyBackend({ load }: ToyConf, loft: Loft, refuses: (subnet: string) => boolean): Backend {
  return {
    type: TYPE,
    advertise: () => Promise.resolve({ backendType: TYPE }),
    overlays: (_, families) =>
      families.map((settings): OverlaySpec<RoutePeer> => {
        const pigeon = pigeonKind(loft, refuses);
        return {
          name: TYPE,
          check: 'pigeons',
          settings,
          mtu: () => load,
          kinds: [pigeon],
          objects: ({ subnet, publicIp }) => [
            wanted(pigeon, { subnet: formatPrefix(subnet), home: formatIp(publicIp) }),
          ],
          plan: routePlanner({ ...settings, types: [TYPE] }),
        };
      }),
  };
}
