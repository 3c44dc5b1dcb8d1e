// Whether the kernel forwards pods' packets. IPv4 has a setting for each incoming device, IPv6 one for all.

import { type Draft, run } from '../draft.ts';
import { sysctlName } from '../view/node-facts.ts';
import type { View } from '../view/view.ts';

export function checkForwarding(view: View): Draft[] {
  const { bridge, families } = view;
  // Forwarding may be off until the first pod is attached: the CNI executable turns it on.
  if (bridge.ports.length === 0) return [];
  return families.flatMap(({ family }) => {
    const knobs = closed(view, family);
    return knobs.length === 0 ? [] : [finding(view, family, knobs)];
  });
}

/** The sysctls that are 0; only the one that sets all others, if that is 0. */
function closed({ sysctls, bridge, underlay, families }: View, family: 4 | 6): string[] {
  const general = family === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
  const devices = [bridge.link?.name, underlay?.name, ...families.map(({ tunnel }) => tunnel?.link?.name)];
  const own = devices.flatMap((name) => (name === undefined ? [] : `net.ipv4.conf.${sysctlName(name)}.forwarding`));
  const isOff = (name: string): boolean => sysctls.get(name) === '0';
  if (isOff(general)) return [general];
  return family === 4 ? [...new Set(own)].filter(isOff) : [];
}

function finding({ node }: View, family: 4 | 6, knobs: readonly string[]): Draft {
  const [first = ''] = knobs;
  return {
    id: 'ip-forward-off',
    cause: `this node does not forward IPv${family} packets of its pods`,
    evidence: knobs.map((knob) => `${knob} is 0`).join(', '),
    fix: run(
      node,
      `sysctl -w ${knobs.map((knob) => `${knob}=1`).join(' ')}`,
      `find and remove what sets it to 0: grep -rs ${first.replaceAll('/', '.')} /etc/sysctl.d /etc/sysctl.conf`,
    ),
  };
}
