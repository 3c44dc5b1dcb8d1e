// What this build of the agent or of the CNI executable calls itself.

/** Put in by the build: a digest of what went into the program. */
declare const WEFT_BUILD_ID: string | undefined;

/** `0.1.0+9f3c…`; without a digest when run from sources. */
export const version = `0.1.0${typeof WEFT_BUILD_ID === 'string' && WEFT_BUILD_ID !== '' ? `+${WEFT_BUILD_ID}` : ''}`;
