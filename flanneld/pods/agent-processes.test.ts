import { expect, test } from 'vitest';
import { agentArguments } from './agent-processes.ts';

test.for([
  { name: 'as a script', argv: ['node', '/opt/weft/flanneld', '--kube-subnet-mgr', ''], want: true },
  { name: 'with options of Node', argv: ['/usr/bin/node', '--require', 'x.cjs', './flanneld'], want: true },
  { name: 'a sub-command', argv: ['node', '/opt/weft/flanneld', '--json', 'status'], want: false },
  { name: 'the version', argv: ['node', '/opt/weft/flanneld', '-version'], want: false },
  { name: 'flannel’s own', argv: ['/opt/bin/flanneld', '--kube-subnet-mgr'], want: false },
  { name: 'a log being read', argv: ['tail', '-f', '/var/log/flanneld'], want: false },
  { name: 'another script', argv: ['node', 'server.js'], want: false },
  { name: 'a kernel thread', argv: [''], want: false },
])('which processes are an agent: $name', ({ argv, want }) => {
  expect(agentArguments(argv) !== undefined).toBe(want);
});

test('the flags of an agent follow the name of the program', () => {
  expect(agentArguments(['/usr/bin/node', '--require', 'x.cjs', './flanneld', '--iface=eth0', ''])).toEqual([
    '--iface=eth0',
    '',
  ]);
});
