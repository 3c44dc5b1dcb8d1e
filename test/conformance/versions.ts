// The versions of the CNI specification, oldest first, and which of them an executable is spoken to in.

export const ALL_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof ALL_VERSIONS)[number];

/** The newest version spoken, but not beyond 1.0.0: what most configurations in the field are written in. */
export function ordinaryVersion(spoken: readonly CniVersion[]): CniVersion {
  const usual = ALL_VERSIONS.slice(0, ALL_VERSIONS.indexOf('1.0.0') + 1);
  return usual.findLast((version) => spoken.includes(version)) ?? '1.0.0';
}
