// How a key of a configuration is described to users; the reference in manifests/ is made from such tables.

export interface KeyDoc {
  /** In JSON's words: `string`, `boolean`, `integer`, `list of CIDRs` … */
  readonly type: string;
  /** Of an integer, both included. */
  readonly range?: readonly [number, number];
  /** What an absent key means, as JSON would have it. Tests hold it to the parser. */
  readonly default?: string | number | boolean;
  /** One line; where there is no default of its own, what happens without the key. */
  readonly help: string;
}
