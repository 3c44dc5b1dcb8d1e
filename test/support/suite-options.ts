// The options of the suite that is running, as its entry in scripts/suites.mjs declares them.

/** Set by scripts/vitest-suite.mjs; absent in `npm test`, where every option has the value that the test gives it. */
const text = process.env['WEFT_SUITE'];
const values = new Map(Object.entries(JSON.parse(text ?? '{}') as Record<string, string>));

/** The value given on the command line, or the suite's default. */
export function suiteOption(name: string): string | undefined {
  return values.get(name);
}

/** As a number; `otherwise` when the option was not given. */
export function suiteNumber(name: string, otherwise: number): number {
  const value = values.get(name);
  return value === undefined ? otherwise : Number(value);
}
