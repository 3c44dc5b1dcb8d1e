// The sub-commands of flanneld: what each is for, and the flags it reads.

export interface SubCommandSpec {
  readonly name: Exclude<SubCommand, 'run'>;
  readonly summary: string;
  /** Names of the flags it reads. It accepts the agent's other flags, too, so that a script may pass the same list to all. */
  readonly flags: readonly string[];
}

export type SubCommand = 'run' | 'withdraw' | 'cleanup' | 'gc' | 'status' | 'version';

/** In the order of the help text. */
export const subCommands: readonly SubCommandSpec[] = [
  {
    name: 'withdraw',
    summary: 'take the CNI configuration away: no new pods on this node until flanneld is ready again',
    flags: ['cni-conf-dir'],
  },
  {
    name: 'cleanup',
    summary: 'remove everything of Weft from this node; refuses while the agent runs',
    flags: ['cni-conf-dir', 'cni-bin-dir', 'cni-state-dir', 'subnet-file', 'subnet-dir', 'node-name', 'force'],
  },
  {
    name: 'gc',
    summary:
      'free addresses, saved configurations and veths of pods that are provably gone; says what is kept, and why',
    flags: ['cni-conf', 'cni-conf-dir', 'cni-state-dir', 'netns-dir', 'dry-run', 'json'],
  },
  {
    name: 'status',
    summary: 'show what the running agent knows: lease, device, peers, problems, repairs; exits 0 when ready',
    flags: ['subnet-file', 'json'],
  },
  { name: 'version', summary: 'print the version', flags: [] },
];

/** Flags for sub-commands only. The agent refuses them, and so does a sub-command that does not read them. */
export const subCommandFlags: readonly string[] = ['json', 'dry-run', 'force'];
