// Whatever bytes the kernel answers, the result is a list or an error that names the request.

import { surviveAnyAnswer } from '../../test/support/hostile-answers.ts';
import { parseIp } from '../ip.ts';
import type { Netlink } from '../netlink/connection.ts';
import { listAddresses } from './address.ts';
import { listFdb } from './fdb.ts';
import { listIfbs } from './ifb.ts';
import { getLink, listLinks } from './link.ts';
import { listNeighs } from './neigh.ts';
import { isForwarding } from './netconf.ts';
import { listNexthops } from './nexthop.ts';
import { getTokenBucket } from './qdisc.ts';
import { getRoute, listRoutes } from './route.ts';
import { RTM_NEWADDR, RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNEXTHOP, RTM_NEWROUTE } from './rtnetlink-constants.ts';
import { listRules } from './rule.ts';

const QUESTIONS = [
  { name: 'listLinks', type: RTM_NEWLINK, ask: (n: Netlink) => listLinks(n), text: 'list links' },
  { name: 'getLink', type: RTM_NEWLINK, ask: (n: Netlink) => getLink(n, { name: 'x' }), text: 'get link x' },
  { name: 'listAddresses', type: RTM_NEWADDR, ask: (n: Netlink) => listAddresses(n), text: 'list addresses' },
  {
    name: 'listNeighs',
    type: RTM_NEWNEIGH,
    ask: (n: Netlink) => listNeighs(n, { index: 1 }),
    text: 'list neighs dev if1',
  },
  { name: 'listFdb', type: RTM_NEWNEIGH, ask: (n: Netlink) => listFdb(n, { index: 1 }), text: 'list fdb dev if1' },
  { name: 'listNexthops', type: RTM_NEWNEXTHOP, ask: (n: Netlink) => listNexthops(n), text: 'list nexthops' },
  {
    name: 'listRoutes',
    type: RTM_NEWROUTE,
    ask: (n: Netlink) => listRoutes(n, { family: 4 }),
    text: 'list IPv4 routes',
  },
  {
    name: 'getRoute',
    type: RTM_NEWROUTE,
    ask: (n: Netlink) => getRoute(n, parseIp('10.0.0.1')),
    text: 'get route to 10.0.0.1',
  },
  { name: 'listRules', type: 32, ask: (n: Netlink) => listRules(n, 4), text: 'list IPv4 rules' },
  {
    name: 'isForwarding',
    type: 80,
    ask: (n: Netlink) => isForwarding(n, 4),
    text: 'get IPv4 configuration of all devices',
  },
  { name: 'listIfbs', type: RTM_NEWLINK, ask: (n: Netlink) => listIfbs(n), text: 'list links type ifb' },
  { name: 'getTokenBucket', type: 36, ask: (n: Netlink) => getTokenBucket(n, 1), text: 'get qdisc dev if1 root' },
];

surviveAnyAnswer(QUESTIONS);
