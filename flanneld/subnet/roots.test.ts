import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'weft-roots-'));
const at = (name: string): string => join(folder, name);
/** Codes of Node for a certificate whose authority is not trusted. */
const UNTRUSTED = /UNABLE_TO_\w+|SELF_SIGNED_CERT_IN_CHAIN/g;
const AUTHORITIES = ['machine', 'cluster', 'unknown'] as const;

beforeAll(async () => {
  for (const name of AUTHORITIES) makeAuthority(name);
  await build({
    stdin: { contents: PROGRAM, resolveDir: import.meta.dirname, loader: 'ts' },
    outfile: at('program.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** An authority, and a certificate of it for 127.0.0.1. */
function makeAuthority(name: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const make = (...args: string[]): void => {
    const { status, stderr } = spawnSync('openssl', ['req', '-x509', ...key, '-days', '2', ...args], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
  };
  make('-keyout', at(`${name}.key`), '-out', at(`${name}.crt`), '-subj', `/CN=${name}`);
  const by = ['-CA', at(`${name}.crt`), '-CAkey', at(`${name}.key`), '-addext', 'subjectAltName=IP:127.0.0.1'];
  make('-keyout', at(`${name}-server.key`), '-out', at(`${name}-server.crt`), '-subj', '/CN=server', ...by);
}

/** Connects to one server after the other, each as `server=authority`, or `server` without an authority; prints what came of each. */
const PROGRAM = `
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:https';
import { spareRoots } from './roots.ts';

const [folder, ...asked] = process.argv.slice(2);
const read = (name) => readFileSync(folder + '/' + name);
spareRoots(process.execArgv, process.env);
const answers = [];
for (const one of asked) {
  const [server, authority] = one.split('=');
  const cert = read(server + '-server.crt');
  // The server is in the same process, and must not be the first to have no authority.
  const key = { key: read(server + '-server.key'), cert, ca: authority && cert };
  const listening = createServer(key, (_, answer) => answer.end());
  await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const options = { port: listening.address().port, host: '127.0.0.1', agent: false, ca: authority && read(authority + '.crt') };
  answers.push(await new Promise((resolve) => {
    get(options, (answer) => { answer.resume(); resolve('trusted'); }).on('error', ({ code }) => resolve(code));
  }));
  listening.close();
}
console.log([...answers, process.env.SSL_CERT_FILE?.split('/').at(-1)].join(' '));
`;

/** What the program prints when these are the machine's authorities. */
function connect(roots: string, ...asked: readonly string[]): string {
  const argv = ['--use-openssl-ca', at('program.mjs'), folder, ...asked];
  const { stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', env: { SSL_CERT_FILE: at(roots) } });
  return stdout.trim() || stderr;
}

describe('the machine’s authorities', () => {
  test.for([
    {
      name: 'are trusted by a connection without one of its own',
      asked: ['machine', 'machine'],
      want: 'trusted trusted',
    },
    { name: 'are trusted after connections with one', asked: ['cluster=cluster', 'machine'], want: 'trusted trusted' },
    {
      name: 'are not trusted by a connection with another one',
      asked: ['machine=cluster', 'cluster=cluster', 'machine=cluster'],
      want: 'refused trusted refused',
    },
    {
      name: 'are not trusted by a connection with another one after one without',
      asked: ['machine', 'machine=cluster'],
      want: 'trusted refused',
    },
    { name: 'are all that is trusted', asked: ['unknown', 'cluster'], want: 'refused refused' },
    { name: 'are all that is trusted, also later', asked: ['cluster=cluster', 'unknown'], want: 'trusted refused' },
  ])('$name', ({ asked, want }) => {
    const said = connect('machine.crt', ...asked);
    expect(said.replaceAll(UNTRUSTED, 'refused')).toBe(`${want} machine.crt`);
  });
});
