// Where the texts of a snapshot come from.

/** A text, or what it takes to get it. Rejecting or throwing is written down in its place. */
export type Source = () => string | Promise<string>;
export type Sources = readonly (readonly [name: string, source: Source])[];
