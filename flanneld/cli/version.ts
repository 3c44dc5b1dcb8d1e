// What this build calls itself.

/** Put in by the build: a digest of what was bundled. */
declare const WEFT_BUILD_ID: string | undefined;

/** `0.1.0+9f3c…`; without a digest when run from sources. */
export const version = `0.1.0${typeof WEFT_BUILD_ID === 'string' && WEFT_BUILD_ID !== '' ? `+${WEFT_BUILD_ID}` : ''}`;
