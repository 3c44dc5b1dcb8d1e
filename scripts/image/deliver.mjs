// Brings the image's archive to where nodes find it, by the program that knows the place, and prints the one line that installs it.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isOnPath } from '../setup.mjs';
import { buildah, run, store } from './buildah.mjs';
import { onlyFor, readArchive } from './oci.mjs';

const SOCKET = '/run/containerd/containerd.sock';

/** For each place: the program that must be there, and its command for an archive and a name the user may give. */
const PLACES = {
  kind: {
    program: 'kind',
    command: (file, name = 'kind') => ['load', 'image-archive', file, '--name', name],
  },
  containerd: {
    program: 'ctr',
    command: (file, socket = SOCKET) => ['--address', socket, '--namespace', 'k8s.io', 'images', 'import', file],
  },
  docker: { program: 'docker', command: (file) => ['load', '--input', file] },
};

/** `load PLACE [NAME]`. Returns the exit code. */
export function loadImage(archive, [place, name, ...rest]) {
  if (!Object.hasOwn(PLACES, place) || rest.length > 0) {
    const expected = 'kind [CLUSTER], containerd [SOCKET] or docker';
    throw new Error(`load: expected ${expected}, got "${[place, name, ...rest].filter(Boolean).join(' ')}"`);
  }
  const { program, command } = PLACES[place];
  requireProgram(program);
  const work = mkdtempSync(join(tmpdir(), 'weft-load-'));
  try {
    // A single machine's runtime takes one processor's image; docker's loader refuses an archive with several.
    const file = onlyFor(archive, process.arch === 'arm64' ? 'arm64' : 'amd64', work);
    run(program, command(file, name));
  } finally {
    rmSync(work, { recursive: true });
  }
  return say('kubectl apply -f manifests/weft.yml');
}

/** `push REF`, by skopeo if it is installed, otherwise by buildah. Returns the exit code. */
export function pushImage(archive, [ref, ...rest]) {
  if (ref === undefined || rest.length > 0 || !/^[\w.-]+(:\d+)?(\/[\w.-]+)+(:[\w.-]+)?$/.test(ref)) {
    throw new Error(`push: expected REGISTRY/NAME:TAG, got "${[ref, ...rest].filter(Boolean).join(' ')}"`);
  }
  // Both must be told to use a registry on this machine without TLS.
  const plain = /^(localhost|127\.0\.0\.1)(:|\/)/.test(ref) ? 'false' : 'true';
  const work = mkdtempSync(join(tmpdir(), 'weft-push-'));
  try {
    const { name, index } = readArchive(archive, work);
    const digestFile = join(work, 'pushed');
    if (isOnPath('skopeo')) {
      const options = ['--all', '--quiet', `--dest-tls-verify=${plain}`, '--digestfile', digestFile];
      run('skopeo', ['copy', ...options, `oci-archive:${archive}`, `docker://${ref}`]);
    } else {
      requireProgram('buildah');
      pushByBuildah(archive, ref, ['--all', '--quiet', `--tls-verify=${plain}`, '--digestfile', digestFile]);
    }
    const pushed = readFileSync(digestFile, 'utf8').trim();
    if (pushed !== index) throw new Error(`push: ${ref} is ${pushed} there, and ${index} in ${archive}`);
    const plainName = name.slice(name.lastIndexOf('/') + 1);
    // A digest always names the same image; a tag may be moved.
    const pinned = `${ref.replace(/:[\w.-]+$/, '')}@${index}`;
    return say(`sed 's|image: ${plainName}$|image: ${pinned}|' manifests/weft.yml | kubectl apply -f -`);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** Buildah's manifest command takes the images of a layout one by one, and keeps their digests. */
function pushByBuildah(archive, ref, options) {
  const list = `weft-push-${process.pid}`;
  buildah('manifest', 'create', list);
  try {
    buildah('manifest', 'add', '--all', list, `oci-archive:${archive}`);
    run('buildah', [...store(), 'manifest', 'push', ...options, list, `docker://${ref}`]);
  } finally {
    buildah('manifest', 'rm', list);
  }
}

function requireProgram(name) {
  if (!isOnPath(name)) throw new Error(`no ${basename(name)} in PATH (${process.env.PATH})`);
}

function say(line) {
  process.stdout.write(`Install it:\n  ${line}\n`);
  return 0;
}
