// Where the texts of a snapshot come from.

/** A text, or a function that reads it. If this fails, the snapshot has the error in its place. */
export type Source = () => string | Promise<string>;
export type Sources = readonly (readonly [name: string, source: Source])[];
