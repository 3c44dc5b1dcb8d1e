// Runs in pods of scripts/deploy/probes.mjs, by the Node of our image. What it found is its last words (the container's termination
// message), which the API server shows with the pod, so no log has to be fetched and no command executed.
//   serve            answers every request with the pod's name
//   once TARGET…     every target must answer within 30 s
//   watch TARGET…    asks the targets all the time; ends when one has not answered for 3 s
// A target is NAME=URL.
const { createServer, get } = require('node:http');
const { writeFileSync } = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');

const PORT = 8080;
const ONCE_MS = 30_000;
const LOST_MS = 3000;
const EVERY_MS = 250;
const ANSWER_MS = 1000;

function end(code, text) {
  // The runtime keeps 4096 bytes.
  writeFileSync('/dev/termination-log', text.slice(0, 4000));
  process.exit(code);
}

/** Resolves to undefined when it answers, else to why it does not. Each request has a connection of its own. */
function ask(url) {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: ANSWER_MS }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`));
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', (error) => resolve(error.code ?? error.message));
  });
}

async function once(targets) {
  const until = Date.now() + ONCE_MS;
  const failed = await Promise.all(
    targets.map(async ({ name, url }) => {
      for (;;) {
        const why = await ask(url);
        if (why === undefined) return [];
        if (Date.now() > until) return [`${name} (${url}): ${why}`];
        await sleep(EVERY_MS);
      }
    }),
  );
  const lines = failed.flat();
  end(lines.length === 0 ? 0 : 1, lines.length === 0 ? `${targets.length} answered` : lines.join('\n'));
}

async function watch(targets) {
  await Promise.all(
    targets.map(async ({ name, url }) => {
      for (let last = Date.now(); ; ) {
        const why = await ask(url);
        if (why === undefined) last = Date.now();
        else if (Date.now() - last > LOST_MS)
          end(1, `${name} (${url}) has not answered for ${LOST_MS / 1000} s: ${why}`);
        await sleep(EVERY_MS);
      }
    }),
  );
}

const [mode, ...words] = process.argv.slice(2);
const targets = words.map((word) => ({
  name: word.slice(0, word.indexOf('=')),
  url: word.slice(word.indexOf('=') + 1),
}));
process.on('SIGTERM', () => process.exit(0));
if (mode === 'serve') createServer((_, response) => response.end(process.env.POD_NAME)).listen(PORT);
else (mode === 'once' ? once(targets) : watch(targets)).catch((error) => end(1, String(error)));
