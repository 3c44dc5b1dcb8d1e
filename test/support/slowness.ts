// One factor for every time limit of the tests: on an emulated processor everything takes about ten times as long.

/** Set by `npm run suite -- kernels`. */
const FACTOR = Number(process.env['WEFT_TEST_SLOWNESS'] || 1);

/** A limit in milliseconds, stretched by the factor. */
export function slowed(limitMs: number): number {
  return limitMs * FACTOR;
}
