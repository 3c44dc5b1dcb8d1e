// The sub-commands of flanneld: what each is for, and the flags it reads.

export interface SubCommandSpec {
  readonly name: Exclude<SubCommand, 'run'>;
  readonly summary: string;
  /** Names of the flags it reads. It accepts the agent's other flags, too, so that a script may pass the same list to all. */
  readonly flags: readonly string[];
  /** Words that follow the name, as the help spells them; those in brackets may be left out. */
  readonly words?: readonly string[];
}

export type SubCommand =
  | 'run'
  | 'withdraw'
  | 'cleanup'
  | 'gc'
  | 'status'
  | 'doctor'
  | 'doctor path'
  | 'preflight'
  | 'snapshot'
  | 'rotate-key'
  | 'load-fast-path'
  | 'version';

const doctorFlags: readonly string[] = [
  ...['net-config-path', 'subnet-file', 'cni-conf', 'cni-conf-dir', 'cni-bin-dir', 'cni-state-dir', 'netns-dir'],
  ...['node-name', 'subnet-dir', 'kube-subnet-mgr', 'iface', 'json'],
];

/** The sub-commands in the order of the help text. */
export const subCommands: readonly SubCommandSpec[] = [
  {
    name: 'withdraw',
    summary: 'remove the CNI configuration, so that no new pod starts on this node until flanneld is ready again',
    flags: ['cni-conf-dir'],
  },
  {
    name: 'cleanup',
    summary: 'remove everything of Weft from this node; refused while the agent runs',
    flags: ['cni-conf-dir', 'cni-bin-dir', 'cni-state-dir', 'subnet-file', 'subnet-dir', 'node-name', 'force'],
  },
  {
    name: 'gc',
    summary:
      'free addresses, saved configurations and veths of pods that are provably gone, and say what is kept and why',
    flags: ['cni-conf', 'cni-conf-dir', 'cni-state-dir', 'netns-dir', 'dry-run', 'json'],
  },
  {
    name: 'status',
    summary:
      'show what the running agent knows: lease, device, peers, problems, repairs; exit code 0 when the node is ready',
    flags: ['subnet-file', 'json'],
  },
  {
    name: 'doctor',
    summary:
      'find what is wrong on this node and towards its peers, and say what ends it; uses the flags of the running agent; `doctor path` follows one packet',
    flags: [...doctorFlags, 'peer', 'all'],
  },
  {
    name: 'doctor path',
    summary:
      'follow a packet through this node hop by hop, and say where it stops and why; FROM and TO are pods (address, namespace/name or ' +
      'container id), nodes or addresses, PORT is 443 or 53/udp',
    flags: doctorFlags,
    words: ['FROM', 'TO', '[PORT]'],
  },
  {
    name: 'preflight',
    summary:
      'before Weft is installed or replaces flannel: test whether this node has what Weft needs, and say what is missing; ADDRESS is another ' +
      'node’s, to which packets of full size are sent',
    flags: [
      ...doctorFlags,
      'kubeconfig-file',
      'kube-api-url',
      'kube-annotation-prefix',
      'healthz-ip',
      'healthz-port',
      'host-root',
    ],
    words: ['[ADDRESS...]'],
  },
  {
    name: 'snapshot',
    summary:
      'print this node’s state as JSON for an issue report: versions, configuration, kernel objects, rules, counters; no secrets',
    flags: doctorFlags,
  },
  {
    name: 'rotate-key',
    summary: 'make the running agent take a new WireGuard key, which peers learn from its lease',
    flags: ['subnet-file'],
  },
  {
    name: 'load-fast-path',
    summary:
      'load the programs of the fast path and pin them in /sys/fs/bpf for an agent with fewer rights; exits 0 in any case, as packets go ' +
      'the classic way without them',
    flags: [],
  },
  { name: 'version', summary: 'print the version', flags: [] },
];

/** Flags for sub-commands only. The agent refuses them, and so does a sub-command that does not read them. */
export const subCommandFlags: readonly string[] = ['json', 'peer', 'all', 'dry-run', 'force', 'host-root'];

/** Whether a word of a command line names a sub-command, so that the process is no agent. */
export function isSubCommand(word: string): boolean {
  return subCommands.some(({ name }) => name === word);
}
