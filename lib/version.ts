// The version that this build of the agent or of the CNI executable reports.

/** Is inserted by the build: a digest of the program's sources. */
declare const WEFT_BUILD_ID: string | undefined;

/** `0.1.0+9f3c…`; without a digest when run from sources. */
export const version = `0.1.0${typeof WEFT_BUILD_ID === 'string' && WEFT_BUILD_ID !== '' ? `+${WEFT_BUILD_ID}` : ''}`;
