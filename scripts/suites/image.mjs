// `npm run suite -- image`: builds the image and runs it under a real containerd in the way weft.yml specifies (test/cluster/image).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildImage, exportImage, exportOtherBuild, IMAGE_PACKAGES } from '../image.mjs';
import { RUNTIME_PACKAGES } from '../runtime-packages.mjs';
import { testSuite } from '../vitest-suite.mjs';

const IMAGE = 'localhost/weft:test';
/** The image's name in the manifests. */
const NAME = 'weft:0.1.0';

export async function main(values, files) {
  const folder = mkdtempSync(join(tmpdir(), 'weft-images-'));
  process.env['WEFT_IMAGES'] = folder;
  try {
    return await testSuite({
      command: 'npm run suite -- image',
      programs: ['flanneld'],
      servers: ['etcd', 'kube-apiserver'],
      packages: { ...IMAGE_PACKAGES, ...RUNTIME_PACKAGES },
      prepare() {
        buildImage(IMAGE, values);
        exportImage(IMAGE, join(folder, 'image.tar'), NAME);
        exportOtherBuild(IMAGE, join(folder, 'other.tar'), `${NAME}-other`);
      },
      args: [...(files.length > 0 ? files : ['test/cluster/image']), ...(values.update ? ['--update'] : [])],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
