// A program that owns a lab and does nothing else. Tests kill it. Usage: node launcher.mjs NODES [keep]

import { startLab } from '../lab.ts';

const [nodes = '1', keep] = process.argv.slice(2);
const lab = await startLab({
  nodes: Number(nodes),
  agent: false,
  pluginFolder: '/etc/alternatives',
  keepable: keep === 'keep',
});
for (const node of lab.nodes) await node.run(['ip', 'netns', 'add', 'cni-left']);
process.stdout.write(`up ${lab.pid}\n`);
// The connections to the lab keep this process running.
