// Checks of a node's port that leads to a pod, with clients in every place.

import { type Check, same } from './check.ts';
import { WEB_PORT } from './pod.ts';
import type { Site } from './site.ts';

export const HOST_PORT = 8080;
const UDP_HOST_PORT = 8053;
const ECHO_PORT = 53;
export const portMappings = [
  { protocol: 'TCP', containerPort: WEB_PORT, hostPort: HOST_PORT },
  { protocol: 'UDP', containerPort: ECHO_PORT, hostPort: UDP_HOST_PORT },
] as const;

/** Clients written for bash, so that nodes need no other client installed. */
const GET = 'exec 3<>/dev/tcp/$0/$1; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; sed "1,/^\\r*$/d" <&3';
const ECHO = 'exec 3<>/dev/udp/$0/$1; printf hello >&3; head -c 5 <&3';

/** Answers one datagram in the namespace $0. Uses Node, because busybox has no UDP. The shell ends once the socket is bound. */
const ECHO_SERVER = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (data, { port, address }) => socket.send(data, port, address, () => process.exit()));
socket.bind(${ECHO_PORT}, () => require('node:fs').writeFileSync('/run/echo-is-bound', ''));
setTimeout(process.exit, 3000);`;
const START_ECHO = `rm -f /run/echo-is-bound
nsenter --net="$0" -- "$1" -e "$2" >/dev/null 2>&1 &
until [ -e /run/echo-is-bound ] || ! kill -0 $!; do sleep 0.02; done`;

async function askUdp(site: Site): Promise<string> {
  const { netns } = await site.sandboxPlace('web-1');
  await site.node(1).run(['sh', '-c', START_ECHO, netns, process.execPath, ECHO_SERVER]);
  return await fromNode(site, 2, ECHO, site.node(1).address, UDP_HOST_PORT);
}

function client(script: string, ip: string, port: number): string[] {
  return ['timeout', '2', 'bash', '-c', script, ip, String(port)];
}

async function fromNode(site: Site, index: number, script: string, ip: string, port: number): Promise<string> {
  return (await site.node(index).exec(client(script, ip, port))).stdout.trim();
}

/** The checks. `web-1`, on node 1, has the mappings; `web-2` is on node 2. `when` makes the checks' names differ. */
export function hostPortChecks(when: string): Check<Site>[] {
  const address = (site: Site): string => site.node(1).address;
  const check = (
    from: string,
    ask: (site: Site) => Promise<string>,
    want = 'web-1',
    needs: readonly string[] = [],
  ): Check<Site> => ({
    name: `${when}: host port from ${from}`,
    needs: ['portmap', ...needs],
    run: async (site) => same('answer', await ask(site), want),
  });
  return [
    check('another node', (site) => fromNode(site, 2, GET, address(site), HOST_PORT)),
    check('outside the cluster', (site) => site.outside(client(GET, address(site), HOST_PORT))),
    check('127.0.0.1 of its node', (site) => fromNode(site, 1, GET, '127.0.0.1', HOST_PORT)),
    check('its node by the node’s address', (site) => fromNode(site, 1, GET, address(site), HOST_PORT)),
    check('a pod on another node', (site) => site.pod('web-2').fetch(address(site), HOST_PORT)),
    check('another pod on its node', (site) => site.pod('near-1').fetch(address(site), HOST_PORT)),
    check('its own pod (hairpin)', (site) => site.pod('web-1').fetch(address(site), HOST_PORT), 'web-1', ['hairpin']),
    check('another node, UDP', askUdp, 'hello'),
  ];
}
