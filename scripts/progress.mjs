// Shows one line for each step, with its time. On a terminal the line is redrawn while the step runs; elsewhere it is printed at the end.

const NAME_WIDTH = 10;
const DETAIL_WIDTH = 52;
const REDRAW_MS = 100;

/**
 * Progress on `out`. `step` runs `body` and shows `name`, the result of `body`, and how long it took. It waits for its body by `hold` (see
 * owner.mjs): a step that is interrupted never settles. `stop` leaves the line of the step as it is.
 */
export function createProgress(hold, out = process.stdout) {
  let timer;
  return {
    async step(name, body) {
      const start = performance.now();
      const draw = (detail, mark) => `  ${mark} ${line(name, detail, performance.now() - start)}`;
      if (out.isTTY) timer = setInterval(() => out.write(`\r\x1b[K${draw('…', '·')}`), REDRAW_MS);
      const finish = (text) => {
        clearInterval(timer);
        out.write(`${out.isTTY ? '\r\x1b[K' : ''}${text}\n`);
      };
      try {
        const detail = await hold(body());
        finish(draw(detail, '✓'));
      } catch (error) {
        finish(draw('failed', '✗'));
        throw error;
      }
    },
    stop() {
      clearInterval(timer);
    },
  };
}

function line(name, detail, milliseconds) {
  const seconds = (milliseconds / 1000).toFixed(2).padStart(7);
  return `${name.padEnd(NAME_WIDTH)} ${detail.padEnd(DETAIL_WIDTH)} ${seconds} s`;
}
