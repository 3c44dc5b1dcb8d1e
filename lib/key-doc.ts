// Describes a key of a configuration for users. The reference in manifests/ is made from such tables.

export interface KeyDoc {
  /** The type in JSON's words: `string`, `boolean`, `integer`, `list of CIDRs` … */
  readonly type: string;
  /** For an integer: the smallest and the largest value allowed. */
  readonly range?: readonly [number, number];
  /** The value that an absent key means, as JSON. Tests compare it with the parser. */
  readonly default?: string | number | boolean;
  /** One line. Where there is no default, it also says what happens without the key. */
  readonly help: string;
}
