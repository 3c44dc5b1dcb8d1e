// The program at the node's end of each pod's veth: it sends the pod's packets straight to the tunnel's device or into another pod of this
// node, past bridge, routing and netfilter. The tunnel's device encapsulates them as before; in the mode `full` the program does so itself.

import type { AssembledProgram, Assembler } from '../../../lib/bpf/assembler.ts';
import { PACKET_HOST, skb } from '../../../lib/bpf/skb.ts';
import { podValue } from '../../../lib/pods/fast-path-pods.ts';
import {
  checkDevice,
  checkHeader,
  checkHeartbeat,
  checkSize,
  checkUntracked,
  compareMac,
  count,
  type FamilyLayout,
  keepPeer,
  loadSetting,
  lookUpPod,
  lookUpSubnet,
  programOf,
  slow,
} from './common-parts.ts';
import { encapsulate } from './encapsulate.ts';
import { writeHeaders } from './headers.ts';
import { peerValue } from './layout.ts';

export function fromPodProgram(): AssembledProgram {
  return programOf(fromPod);
}

function fromPod(assembler: Assembler, layout: FamilyLayout): void {
  const { family } = layout;
  checkHeader(assembler, layout);
  checkHeartbeat(assembler, `IPv${family}`);
  lookUpPod(assembler, layout, layout.source, 'source', `IPv${family}: source`);
  assembler
    .mov('r9', 'r0') // the pod that the source belongs to
    .load('u32', 'r1', 'r9', podValue.ifindex)
    .load('u32', 'r2', 'r6', skb.ifindex)
    .jump('r1', '!=', 'r2', slow('source'));
  isHere(assembler, layout);
  toPeer(assembler, layout, `IPv${family}: to peer`);
  toPod(assembler, layout, `IPv${family}: to pod`);
}

/** Jumps to `IPv4: to pod` (or `IPv6: to pod`) when the destination is in this node's subnet; else goes on. */
function isHere(assembler: Assembler, layout: FamilyLayout): void {
  for (let word = 0; word < layout.addressWords; word++) {
    loadSetting(assembler, 'r1', layout, 'mask', word);
    loadSetting(assembler, 'r2', layout, 'subnet', word);
    assembler
      .load('u32', 'r3', 'r7', layout.destination + 4 * word)
      .and('r3', 'r1')
      .jump('r3', '!=', 'r2', `IPv${layout.family}: to peer`);
  }
  assembler.goto(`IPv${layout.family}: to pod`);
}

function toPeer(assembler: Assembler, layout: FamilyLayout, path: string): void {
  const { family, destination } = layout;
  assembler.label(path);
  compareMac(assembler, 0, 'r9', podValue.bridgeMac, 'not-routed'); // the packet must be addressed to the bridge, which routes
  lookUpSubnet(assembler, layout, `peers${family}`, destination, 'destination');
  keepPeer(assembler.mov('r9', 'r0')); // the peer
  checkSize(assembler, layout, path);
  checkUntracked(assembler, layout, path);
  if (family === 4) encapsulate(assembler, layout, `${path}: by the device`);
  assembler.label(`${path}: by the device`);
  loadSetting(assembler, 'r1', layout, 'tunnelIfindex');
  checkDevice(assembler, 'r1');
  writeHeaders(assembler, layout, 'r9', peerValue.macs);
  assembler.mov('r1', 1).atomicAdd('r9', peerValue.sent, 'r1');
  count(assembler, 'to-peer', `${path}: counted`);
  loadSetting(assembler, 'r1', layout, 'tunnelIfindex');
  assembler.mov('r2', 0).callHelper('redirect').exit();
}

/**
 * Hands the packet to another pod of the node. Both are in one Ethernet, so the packet does not change; the kernel is only told that it is
 * for the pod.
 */
function toPod(assembler: Assembler, layout: FamilyLayout, path: string): void {
  assembler.label(path);
  lookUpPod(assembler, layout, layout.destination, 'destination', `${path}: destination`);
  assembler
    .load('u32', 'r1', 'r0', podValue.ifindex)
    .load('u32', 'r2', 'r9', podValue.ifindex)
    .jump('r1', '==', 'r2', slow('same-pod'))
    .mov('r9', 'r0'); // the destination pod
  compareMac(assembler, 0, 'r9', podValue.macs, 'not-bridged');
  checkSize(assembler, layout, path);
  checkUntracked(assembler, layout, path);
  checkDevice(assembler.load('u32', 'r1', 'r9', podValue.ifindex), 'r1');
  assembler
    .mov('r1', 'r6')
    .mov('r2', PACKET_HOST)
    .callHelper('skb_change_type')
    .jump('r0', '!=', 0, slow('unwritable'));
  count(assembler, 'to-pod', `${path}: counted`);
  assembler.load('u32', 'r1', 'r9', podValue.ifindex).mov('r2', 0).callHelper('redirect_peer').exit();
}
