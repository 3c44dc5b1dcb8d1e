// `npm run test:image`: builds the image, then runs it as weft.yml says under a real containerd (test/image).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BUILD_OPTIONS, BUILD_USAGE, buildImage, exportImage, exportOtherBuild, IMAGE_PACKAGES } from './image.mjs';
import { testWithServers } from './published.mjs';
import { RUNTIME_PACKAGES } from './runtime-packages.mjs';

const OPTIONS = { update: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } };
const USAGE = `npm run test:image -- [options] [test files]
  --update          writes manifests/NEEDS.md, what each capability and mount is for, as this run finds it
  ${BUILD_USAGE}
`;
const IMAGE = 'localhost/weft:test';
/** As the manifests call it. */
const NAME = 'weft:0.1.0';

/** Returns the exit code; `folder` is for the images. */
function main(folder) {
  const { values, positionals } = parseArgs({ options: { ...BUILD_OPTIONS, ...OPTIONS }, allowPositionals: true });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  process.env['WEFT_IMAGES'] = folder;
  return testWithServers({
    command: 'npm run test:image',
    programs: ['flanneld'],
    servers: ['etcd', 'kube-apiserver'],
    packages: { ...IMAGE_PACKAGES, ...RUNTIME_PACKAGES },
    prepare() {
      buildImage(IMAGE, values);
      exportImage(IMAGE, join(folder, 'image.tar'), NAME);
      exportOtherBuild(IMAGE, join(folder, 'other.tar'), `${NAME}-other`);
    },
    args: [...(positionals.length > 0 ? positionals : ['test/image']), ...(values.update ? ['--update'] : [])],
  });
}

const folder = mkdtempSync(join(tmpdir(), 'weft-images-'));
try {
  process.exitCode = main(folder);
} catch (error) {
  process.stderr.write(`npm run test:image: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}
