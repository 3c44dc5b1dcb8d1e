// `node scripts/licences.mjs [--arch amd64|arm64] FOLDER` lists the components of the built programs and of Node in sbom.cdx.json (CycloneDX 1.5), and
// their full licences in THIRD-PARTY.txt; a release has the same of kubectl-weft. The bundler reports what it included, so no development package can get in and nothing can
// be forgotten. Run it after the build.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { nodeArch } from './build.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
/** What is linked into the CNI executable, and where Debian's packages have the licences. */
const ENGINE = [
  { name: 'quickjs-ng', package: 'qjs-src', licence: 'MIT', record: (made) => made.quickjs },
  { name: 'musl', package: 'musl-dev', licence: 'MIT', record: (made) => made.musl },
];

const NODE_PROGRAMS = ['flanneld/main.ts', 'cni-plugin/main.ts'];
const KUBECTL_PLUGIN = ['flanneld/cluster/main.ts'];

/** Every npm package in the agent's bundle and in the executable, sorted: name, version, licence, text. */
export async function bundledPackages(arch = process.arch) {
  return await packagesOf(NODE_PROGRAMS, [koffiFolder(arch)]);
}

/** Every npm package in kubectl-weft, in the same way. It has nothing native, and the Node that runs it is the user's. */
export async function kubectlPluginPackages() {
  return await packagesOf(KUBECTL_PLUGIN, []);
}

/** The packages that the bundler finds from these files, and those in `natives`, which are loaded and not bundled. */
async function packagesOf(entries, natives) {
  const folders = new Set(natives);
  for (const entry of entries) {
    const { metafile } = await build({
      entryPoints: [join(repository, entry)],
      absWorkingDir: repository,
      bundle: true,
      write: false,
      metafile: true,
      platform: 'node',
      format: 'cjs',
      external: ['raw-socket', '*.node'],
      logLevel: 'silent',
    });
    for (const input of Object.keys(metafile.inputs)) {
      const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
      if (folder !== undefined) folders.add(join(repository, folder));
    }
  }
  return [...folders].map(describePackage).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The folder of koffi's native half, which the bundle loads from the file beside it. */
function koffiFolder(arch) {
  const koffi = dirname(createRequire(import.meta.url).resolve('koffi'));
  return join(koffi, `../@koromix/koffi-linux-${arch}`);
}

function describePackage(folder) {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const licence = license ?? 'unknown';
  const holder = typeof author === 'object' ? author.name : author;
  const unstated = `Licence: ${licence}, by its package.json; the package has no text of its own. Author: ${holder}`;
  return { name, version, licence, text: licenceText(folder) || unstated };
}

/** The text of the licence in the package. A package's native half has the licence of the package beside it. */
function licenceText(folder) {
  const file = existsSync(folder) && readdirSync(folder).find((name) => /^(licen[cs]e|copying)/i.test(name));
  if (file) return readFileSync(join(folder, file), 'utf8');
  return folder.includes('@koromix') ? licenceText(join(folder, '../../koffi')) : '';
}

/** The parts of the engine, as the build has recorded them. */
function engineParts() {
  const made = JSON.parse(readFileSync(join(repository, 'dist/cni/BUILD.json'), 'utf8'));
  return ENGINE.map(({ name, package: debian, licence, record }) => {
    const { version, package: from, sha256 } = record(made);
    const copyright = `/usr/share/doc/${debian}/copyright`;
    const text = existsSync(copyright) ? readFileSync(copyright, 'utf8') : '';
    return { name, version: version ?? packageVersion(debian, from), licence, sha256, text };
  });
}

/** Node itself, which runs the agent. It is the Node that runs this script. */
function nodePart() {
  const { node: version } = process.versions;
  const text = `Licence: MIT; its own text and those of its parts are in the file LICENSE of Node's release ${version}.`;
  return { name: 'node', version, licence: 'MIT', text };
}

/** The recorded version (`musl-dev 1.2.6-1`), or the installed package's where the build was given a folder. */
function packageVersion(debian, from) {
  if (from.startsWith(`${debian} `)) return from.slice(debian.length + 1);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholder
  const { status, stdout } = spawnSync('dpkg-query', ['-W', '-f=${Version}', debian], { encoding: 'utf8' });
  return status === 0 ? stdout : 'unknown';
}

export function bill(packages, engine, { name, version }) {
  const component = (part, purl) => ({
    type: 'library',
    name: part.name,
    version: part.version,
    licenses: [{ license: { id: part.licence } }],
    ...(purl && { purl }),
    ...(part.sha256 && { hashes: [{ alg: 'SHA-256', content: part.sha256 }] }),
  });
  const npm = ({ name: one, version: its }) => `pkg:npm/${one.replace('@', '%40')}@${its}`;
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { type: 'application', name, version } },
    components: [...packages.map((part) => component(part, npm(part))), ...engine.map((part) => component(part))],
  };
}

/** Writes the contents of kubectl-weft, and their licences, into the folder of a release. */
export async function writeKubectlPluginLicences(folder, version) {
  const packages = await kubectlPluginPackages();
  const name = `kubectl-weft-${version}`;
  const json = JSON.stringify(bill(packages, [], { name: 'kubectl-weft', version }), null, 2);
  writeFileSync(join(folder, `${name}.cdx.json`), `${json}\n`);
  writeFileSync(join(folder, `${name}-THIRD-PARTY.txt`), licenceTexts(packages));
}

function licenceTexts(parts) {
  const texts = parts.map((part) => `${part.name} ${part.version} (${part.licence})\n\n${part.text.trim()}\n`);
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { arch: { type: 'string' } } });
  const [folder] = positionals;
  if (folder === undefined) throw new Error('licences: expected a folder to write to');
  const about = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  const [packages, engine] = [
    await bundledPackages(values.arch && nodeArch(values.arch)),
    [...engineParts(), nodePart()],
  ];
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'sbom.cdx.json'), `${JSON.stringify(bill(packages, engine, about), null, 2)}\n`);
  writeFileSync(join(folder, 'THIRD-PARTY.txt'), licenceTexts([...packages, ...engine]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main().catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
