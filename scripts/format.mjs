// `npm run format`: formats, applies safe fixes, and makes manifests/REFERENCE.md again.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
const STEPS = [['node_modules/@biomejs/biome/bin/biome', 'check', '--write'], ['scripts/reference.mjs']];

export function main() {
  const failed = STEPS.find(
    (step) => spawnSync(process.execPath, step, { cwd: repository, stdio: 'inherit' }).status !== 0,
  );
  return failed === undefined ? 0 : 1;
}
