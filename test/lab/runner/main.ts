// The runner: the only process of a node that runs all the time. It sets the node up and then serves the lab's owner over a Unix
// socket. A program that is started from outside would need nsenter, which takes 1.6 ms each time.

import { closeSync, readFileSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { openKoffiSyscalls } from '../../../lib/sys/koffi.ts';
import { runCommand } from '../command.ts';
import { type NodeSpec, RUNNER_SOCKET, type RunnerMethods } from '../contract.ts';
import { type Handlers, serveRpc } from '../rpc.ts';
import { AgentService } from './agent.ts';
import { bootNode, configureNetwork } from './boot.ts';
import { ping } from './ping.ts';
import { PodRuntime } from './pods.ts';
import { openSpawn } from './spawn.ts';

/** The runner writes a line to this descriptor when it listens. The host program reads it. */
const READY_FD = 3;

const spec = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as NodeSpec;
await bootNode(spec);
// Starts the thread pool before this thread first enters a pod's namespace. Otherwise its threads would be created in that
// namespace.
await readFile('/proc/version');

const agent = new AgentService(spec.agent);
const sys = openKoffiSyscalls();
const pods = new PodRuntime(sys, openSpawn(sys));

const handlers: Handlers<RunnerMethods> = {
  network: async () => {
    await configureNetwork(spec);
    return null;
  },
  exec: ({ argv, netns, ...options }) =>
    runCommand(netns === undefined ? argv : ['nsenter', `--net=${netns}`, '--', ...argv], options),
  agentStart: () => agent.start(),
  agentReady: () => agent.ready(),
  agentStop: ({ timeoutMs }) => agent.stop(timeoutMs),
  agentKill: () => agent.kill(),
  agentState: () => Promise.resolve(agent.state()),
  agentHttp: ({ path }) => agent.http(path),
  podAdd: (request) => pods.add(request),
  podDel: ({ name }) => pods.del(name),
  podCheck: ({ name }) => pods.check(name),
  podList: () => Promise.resolve(pods.list()),
  cniStatus: () => pods.status(),
  cniGc: () => pods.gc(),
  probe: (request) => ping(sys, request),
};

await serveRpc(RUNNER_SOCKET, handlers);
writeSync(READY_FD, 'ready\n');
closeSync(READY_FD);
