// `npm run suite -- containerd`: build, Debian's containerd, then test/cluster/containerd on lab nodes. The machine's own containerd service
// is never started: every node runs one of its own.
import { join } from 'node:path';
import { buildPrograms } from '../build.mjs';
import { bundleLab } from '../lab-bundle.mjs';
import { endInOrder } from '../owner.mjs';
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { ensurePackages } from '../setup.mjs';

export async function main(values) {
  ensurePackages({ ...RUNTIME_PACKAGES, iperf3: 'iperf3' });
  await buildPrograms();
  const suite = await import(join(await bundleLab(), 'containerd.mjs'));
  endInOrder(() => suite.endLabs());
  return await suite.main(values);
}
