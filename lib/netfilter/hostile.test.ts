// Whatever bytes the kernel answers, the result is a list or an error that names the request.

import { surviveAnyAnswer } from '../../test/support/hostile-answers.ts';
import type { Netlink } from '../netlink/connection.ts';
import { listUdpConnections } from './conntrack.ts';
import { listCounted, listCounters } from './counters.ts';
import { getElement, listElements } from './elements.ts';
import { listRules, listSets, readGeneration } from './nftables.ts';

const table = { family: 'inet', name: 't' } as const;
const ref = { table, set: 's' };

surviveAnyAnswer([
  { name: 'listSets', type: 0x0a09, ask: (n: Netlink) => listSets(n, table), text: 'get sets of inet t' },
  { name: 'listRules', type: 0x0a06, ask: (n: Netlink) => listRules(n, table), text: 'get rules of inet t' },
  { name: 'readGeneration', type: 0x0a0f, ask: readGeneration, text: 'get ruleset generation' },
  { name: 'listElements', type: 0x0a0c, ask: (n: Netlink) => listElements(n, ref), text: 'list elements of inet t s' },
  { name: 'listCounted', type: 0x0a0c, ask: (n: Netlink) => listCounted(n, ref), text: 'list elements of inet t s' },
  { name: 'listCounters', type: 0x0a12, ask: (n: Netlink) => listCounters(n, table), text: 'list counters of inet t' },
  {
    name: 'getElement',
    type: 0x0a0c,
    ask: (n: Netlink) => getElement(n, ref, new Uint8Array(8)),
    text: 'get element of inet t s',
  },
  {
    name: 'listUdpConnections',
    type: 0x0100,
    ask: (n: Netlink) => listUdpConnections(n, 4, 53),
    text: 'list connections to udp port 53',
  },
]);
