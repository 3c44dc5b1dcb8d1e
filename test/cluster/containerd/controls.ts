// Ways to break one part on purpose, to show that the checks that depend on it can fail, and that no others do.

import { join } from 'node:path';
import type { JsonObject } from '../../lab/cni/conflist.ts';
import { classicConflist } from '../../lab/node-spec.ts';
import type { Variant } from './site.ts';

export interface Control {
  /** The part's name, which checks have in `needs`. */
  readonly part: string;
  readonly what: string;
  /** The variant with that part broken. `bin` is the folder of the plugins under test. */
  variant(bin: string): Variant;
}

/** A portmap that maps nothing and only passes its previous result on. */
const NO_PORTMAP = `#!${process.execPath}
const { prevResult } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
if (process.env.CNI_COMMAND === 'ADD') process.stdout.write(JSON.stringify(prevResult));
`;

function conflistWith(delegate: JsonObject): JsonObject {
  const flannel = { type: 'flannel', delegate: { hairpinMode: true, isDefaultGateway: true, ...delegate } };
  return { ...classicConflist, plugins: [flannel, { type: 'portmap', capabilities: { portMappings: true } }] };
}

/** Drops packets in the underlay, as a firewall between the nodes would. */
function dropBetweenNodes(match: string): Variant {
  const input = `table netdev broken {
  chain in { type filter hook ingress device eth0 priority 0; ${match} drop; }
}
`;
  return {
    async afterStart(nodes) {
      for (const node of nodes) await node.run(['nft', '-f', '-'], { input });
    },
  };
}

/** The controls for the checks of a node's life. */
export const podControls: readonly Control[] = [
  {
    part: 'portmap',
    what: 'portmap does nothing',
    variant: () => ({ instead: { name: 'portmap', text: NO_PORTMAP } }),
  },
  {
    part: 'hairpin',
    what: 'the bridge’s ports have hairpin off',
    variant: () => ({ nodes: { conflist: conflistWith({ hairpinMode: false }) } }),
  },
  {
    part: 'overlay',
    what: 'VXLAN packets are dropped between nodes',
    variant: () => dropBetweenNodes('udp dport 8472'),
  },
  {
    part: 'masquerade',
    what: 'neither the agent nor the bridge masquerades',
    variant: () => ({ nodes: { agent: { args: ['--ip-masq=false'] }, conflist: conflistWith({ ipMasq: false }) } }),
  },
  {
    part: 'release',
    what: 'flannel’s DEL does nothing and says it is done',
    variant: (bin) => {
      const text = `#!/bin/sh\n[ "$CNI_COMMAND" = DEL ] || exec ${join(bin, 'flannel')}\n`;
      return { instead: { name: 'flannel', text } };
    },
  },
];

/** The controls for the checks that run on every backend. */
export const backendControls: readonly Control[] = [
  {
    part: 'underlay',
    what: 'nodes hear nothing of each other',
    variant: () => dropBetweenNodes('meta protocol { ip, ip6 }'),
  },
  {
    part: 'rules',
    what: 'the agent makes no rules',
    variant: () => ({ nodes: { agent: { args: ['--ip-masq=false', '--iptables-forward-rules=false'] } } }),
  },
];
