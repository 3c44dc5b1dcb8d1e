// `npm run suite -- image`: builds the image and runs it under a real containerd in the way weft.yml specifies (test/cluster/image).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ARCHES, buildImage, IMAGE_PACKAGES, makeOtherBuild, OWN_ARCH, packImages } from '../image/image-build.mjs';
import { FULL_NAME } from '../image.mjs';
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

/** A registry, and what pushes to it. */
const REGISTRY = { 'docker-registry': 'docker-registry', skopeo: 'skopeo' };
const imageName = (arch) => `localhost/weft:test-${arch}`;
/** What runs and compiles programs of the other processor. */
const EMULATOR = {
  'qemu-user-static': '/usr/bin/qemu-aarch64-static',
  ...(OWN_ARCH === 'amd64'
    ? { 'gcc-aarch64-linux-gnu': 'aarch64-linux-gnu-gcc', 'libc6-dev-arm64-cross': '/usr/aarch64-linux-gnu/include' }
    : { 'gcc-x86-64-linux-gnu': 'x86_64-linux-gnu-gcc', 'libc6-dev-amd64-cross': '/usr/x86_64-linux-gnu/include' }),
};

export async function main(values, files) {
  const folder = mkdtempSync(join(tmpdir(), 'weft-images-'));
  process.env['WEFT_IMAGES'] = folder;
  try {
    return await testSuite({
      command: 'npm run suite -- image',
      programs: ['flanneld'],
      servers: ['etcd', 'kube-apiserver'],
      packages: { ...IMAGE_PACKAGES, ...RUNTIME_PACKAGES, ...EMULATOR, ...REGISTRY },
      async prepare() {
        for (const arch of ARCHES) buildImage(imageName(arch), values, arch);
        const own = imageName(OWN_ARCH);
        makeOtherBuild(own);
        const both = Object.fromEntries(ARCHES.map((arch) => [arch, imageName(arch)]));
        await packImages(join(folder, 'image.tar'), FULL_NAME, both);
        await packImages(join(folder, 'other.tar'), `${FULL_NAME}-other`, { [OWN_ARCH]: `${own}-other` });
      },
      args: [...(files.length > 0 ? files : ['test/cluster/image']), ...(values.update ? ['--update'] : [])],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
