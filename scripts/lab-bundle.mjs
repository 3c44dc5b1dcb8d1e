// Bundles the lab's programs into dist/lab: the host program, the runner, `npm start` and `npm run lab`.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const programs = {
  host: 'host/main.ts',
  runner: 'runner/main.ts',
  demo: 'demo/main.ts',
  cli: 'cli/main.ts',
  launcher: 'support/launcher.ts',
  probe: '../faults/probe/main.ts',
  'packet-end': '../../bench/packet/program.ts',
  'ping-pong': '../../bench/throughput/ping-pong.ts',
  'probes-crowd': '../../bench/probes/crowd.ts',
};

/** Writes the bundles that changed and returns the folder. Files are replaced in one step, since other labs may be starting from them. */
export async function bundleLab() {
  const { build } = await import('esbuild');
  const folder = join(root, 'dist/lab');
  const entryPoints = Object.fromEntries(
    Object.entries(programs).map(([name, file]) => [name, join(root, 'test/lab', file)]),
  );
  const { outputFiles } = await build({
    entryPoints,
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    sourcemap: 'inline',
    write: false,
    logLevel: 'warning',
  });
  mkdirSync(folder, { recursive: true });
  for (const { path, text } of outputFiles) replaceIfChanged(path, text);
  return folder;
}

function replaceIfChanged(path, text) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  const temporary = join(path, '..', `.${basename(path)}.${process.pid}`);
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}
