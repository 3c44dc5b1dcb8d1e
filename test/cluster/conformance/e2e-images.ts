// The images that Kubernetes' tests use, made from programs on this machine: agnhost, CoreDNS, and Debian's curl, dig and nc in place of
// Alpine's. The names are those in the test program, so that nothing is pulled.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireServer } from '../../support/background.ts';
import { type ImageEntry, packImages, putBusybox } from '../containerd/image.ts';
import { putProgram } from '../kubelet/images.ts';

export const DNS_IMAGE = 'weft.test/coredns:1';

/** The program of each image for pods that name no command. A test that starts nginx only waits until it runs. */
const STARTS: ReadonlyMap<string, ImageEntry['config']> = new Map([
  ['e2e-test-images/agnhost', { Entrypoint: ['/agnhost'], Cmd: ['pause'] }],
  ['e2e-test-images/glibc-dns-testing', { Cmd: ['/bin/sh'] }],
  ['e2e-test-images/busybox', { Cmd: ['/bin/sh'] }],
  ['e2e-test-images/nginx', { Cmd: ['/agnhost', 'netexec', '--http-port=80'] }],
  ['pause', { Entrypoint: ['/agnhost'], Cmd: ['pause'] }],
]);

/** Writes the images to `file`. `names` are the names of all images that the test program knows. */
export function writeE2eImages(file: string, names: readonly string[]): void {
  const entries = names.flatMap((name) => {
    const config = STARTS.get(name.replace(/^[^/]*\//, '').replace(/:[^:]*$/, ''));
    return config === undefined ? [] : [{ name, config }];
  });
  packImages(file, [...entries, { name: DNS_IMAGE, config: { Entrypoint: ['/bin/coredns'], Cmd: [] } }], putFiles);
}

function putFiles(root: string): void {
  putBusybox(root);
  mkdirSync(join(root, 'uploads'));
  // Makes glibc search names in /etc/hosts and then in DNS.
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  copyFileSync(requireServer('agnhost'), join(root, 'agnhost'));
  // Busybox's shell runs its own nc, which knows no UDP, whatever PATH says; so the shell is Debian's.
  for (const name of ['coredns', 'curl', 'dash', 'dig', 'getent', 'ip', 'nc.openbsd', 'ss']) {
    rmSync(join(root, 'bin', name), { force: true });
    putProgram(root, requireServer(name));
  }
  putCertificate(root);
  link(root, 'sh', 'dash');
  link(root, 'nc', 'nc.openbsd');
}

/** agnhost's servers with TLS look for these files in the image's root. Nobody verifies the certificate. */
function putCertificate(root: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-keyout', 'localhost.key'];
  const argv = ['req', '-x509', ...key, '-out', 'localhost.crt', '-subj', '/CN=localhost', '-days', '2'];
  execFileSync('openssl', argv, { cwd: root, stdio: 'pipe' });
}

function link(root: string, name: string, target: string): void {
  rmSync(join(root, 'bin', name), { force: true });
  symlinkSync(target, join(root, 'bin', name));
}
