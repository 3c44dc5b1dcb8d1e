// How long the agent waits for nft, iptables and holders of locks. The limits are for real processors. Where the processor is emulated, as
// in the virtual machines of our tests, one factor stretches all of them.

/** The environment variable, which the suite `kernels` sets. */
export const TIME_FACTOR = 'WEFT_TEST_SLOWNESS';

let factor = 1;

/** Call at the start of the process, with the variable's value. Anything except a number of at least 1 counts as 1. */
export function setTimeFactor(text: string | undefined): void {
  const given = Number(text ?? 1);
  factor = given >= 1 && given <= 1000 ? given : 1;
}

/** A limit, stretched by the factor; in whatever unit it is given. */
export function stretched(limit: number): number {
  return Math.ceil(limit * factor);
}
