// The versions of the CNI specification, oldest first, and the choice of the one to use with an executable.

export const ALL_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof ALL_VERSIONS)[number];

/** The newest supported version up to 1.0.0, which most configurations in the field use. */
export function ordinaryVersion(spoken: readonly CniVersion[]): CniVersion {
  const usual = ALL_VERSIONS.slice(0, ALL_VERSIONS.indexOf('1.0.0') + 1);
  return usual.findLast((version) => spoken.includes(version)) ?? '1.0.0';
}
