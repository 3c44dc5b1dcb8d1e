// Shows what is being measured and what is left: on a terminal in one line that is redrawn, elsewhere in a line for each new thing.

export interface Progress {
  /** Reports that `label` is at step `done` of `total`, for example `latency: ADD and DEL`, 120, 364. */
  step(label: string, done: number, total: number): void;
}

export interface ProgressLine extends Progress {
  /** Removes the line from the terminal, before something else is printed. */
  clear(): void;
}

interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** `rest` says what comes after this part: ` · then packet, peers: about 60 s`. */
export function progressLine(
  output: Output,
  prefix: string,
  rest: string,
  now = () => performance.now(),
): ProgressLine {
  let label = '';
  let startMs = 0;
  return {
    step(next, done, total) {
      if (next !== label) {
        label = next;
        startMs = now();
        if (output.isTTY !== true) output.write(`${prefix}${label}${total > 1 ? `: ${total} steps` : ''}\n`);
      }
      if (output.isTTY === true) {
        output.write(`\r\x1b[K${prefix}${label}${describeStep(done, total, now() - startMs)}${rest}`);
      }
    },
    clear() {
      label = '';
      if (output.isTTY === true) output.write('\r\x1b[K');
    },
  };
}

/** `: 120 of 364, 24 s left`; the time only when it can be estimated. */
function describeStep(done: number, total: number, sinceMs: number): string {
  if (total <= 1) return '';
  const left = done > 0 ? `, ${Math.ceil(((sinceMs / done) * (total - done)) / 1000)} s left` : '';
  return `: ${done} of ${total}${left}`;
}
