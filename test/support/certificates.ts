// A certificate authority for one test, and certificates for servers on loopback and for their clients, made by openssl(1).

import { join } from 'node:path';
import { execProgram } from '../../lib/exec-node.ts';

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2'];

async function openssl(args: readonly string[]): Promise<void> {
  await execProgram(['openssl', ...args], { timeoutMs: 30_000 });
}

/** Writes `ca.crt` and `ca.key` into `dir`. */
export async function makeAuthority(dir: string, name = 'ca'): Promise<CertificateFiles> {
  const files = { certFile: join(dir, `${name}.crt`), keyFile: join(dir, `${name}.key`) };
  await openssl([
    'req',
    '-x509',
    ...key,
    '-keyout',
    files.keyFile,
    '-out',
    files.certFile,
    '-subj',
    `/CN=weft ${name}`,
  ]);
  return files;
}

/** The first address of the service network of a test's API server. Pods reach the API server by it. */
export const API_SERVICE_IP = '10.96.0.1';

/**
 * A certificate for 127.0.0.1 and the address above, with the subject `CN=<name>`, `O=<group>`. It is good for servers and clients,
 * because an etcd member is both.
 */
export async function makeCertificate(
  dir: string,
  authority: CertificateFiles,
  name: string,
  group = 'weft',
): Promise<CertificateFiles> {
  const files = { certFile: join(dir, `${name}.crt`), keyFile: join(dir, `${name}.key`) };
  const signer = ['-CA', authority.certFile, '-CAkey', authority.keyFile];
  const names = ['-addext', `subjectAltName=IP:127.0.0.1,IP:${API_SERVICE_IP},DNS:localhost`];
  const uses = ['-addext', 'extendedKeyUsage=serverAuth,clientAuth', '-addext', 'basicConstraints=CA:FALSE'];
  const out = ['-keyout', files.keyFile, '-out', files.certFile, '-subj', `/O=${group}/CN=${name}`];
  await openssl(['req', '-x509', ...key, ...signer, ...names, ...uses, ...out]);
  return files;
}
