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

interface Subject {
  /** The `O=` of the subject; `weft` when absent. */
  readonly group?: string;
  /** Addresses for which the certificate is good besides 127.0.0.1 and the one above. */
  readonly addresses?: readonly string[];
}

/** A certificate with the subject `CN=<name>`. It is good for servers and clients, because an etcd member is both. */
export async function makeCertificate(
  dir: string,
  authority: CertificateFiles,
  name: string,
  { group = 'weft', addresses = [] }: Subject = {},
): Promise<CertificateFiles> {
  const files = { certFile: join(dir, `${name}.crt`), keyFile: join(dir, `${name}.key`) };
  const signer = ['-CA', authority.certFile, '-CAkey', authority.keyFile];
  const ips = ['127.0.0.1', API_SERVICE_IP, ...addresses].map((address) => `IP:${address}`);
  const names = ['-addext', `subjectAltName=${ips.join()},DNS:localhost`];
  const uses = ['-addext', 'extendedKeyUsage=serverAuth,clientAuth', '-addext', 'basicConstraints=CA:FALSE'];
  const out = ['-keyout', files.keyFile, '-out', files.certFile, '-subj', `/O=${group}/CN=${name}`];
  await openssl(['req', '-x509', ...key, ...signer, ...names, ...uses, ...out]);
  return files;
}
