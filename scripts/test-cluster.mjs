// `npm run test:cluster`: the tests of the stores against published servers, and none is skipped: without the servers it
// fails and says where it looked. Arguments go to vitest.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const SERVERS = ['etcd', 'kube-apiserver'];

function folders() {
  const { KUBEBUILDER_ASSETS = '', PATH = '' } = process.env;
  return [KUBEBUILDER_ASSETS, ...PATH.split(':')].filter((folder) => folder !== '');
}

function run(script, args) {
  return spawnSync(process.execPath, [join(repository, script), ...args], { cwd: repository, stdio: 'inherit' }).status;
}

function testCluster(args) {
  if (!setUp()) return 1;
  const missing = SERVERS.filter((name) => !folders().some((folder) => existsSync(join(folder, name))));
  if (missing.length > 0) {
    const where = `KUBEBUILDER_ASSETS (${process.env.KUBEBUILDER_ASSETS || 'not set'}) and PATH (${process.env.PATH})`;
    process.stderr.write(`npm run test:cluster: found no ${missing.join(' and no ')} in ${where}\n`);
    process.stdout.write('0 passed, 1 failed\n');
    return 1;
  }
  if (run('scripts/build.mjs', ['flanneld']) !== 0) return 1;
  const tests = args.length === 0 ? ['test/subnet', 'test/cluster'] : args;
  return run('node_modules/vitest/vitest.mjs', ['run', ...tests]) ?? 1;
}

process.exitCode = testCluster(process.argv.slice(2));
