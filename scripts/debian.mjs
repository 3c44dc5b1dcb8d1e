// Fetches single packages of a Debian release without changing the machine's own apt state. They come from the mirror that the
// machine already uses, are verified by apt with the machine's archive keyring, and are unpacked into our cache.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, run } from './command.mjs';

const RELEASE = 'forky';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * Resolves to a map from name to { name, version, sha256, folder, depends } for each package of a release, where `folder` has its
 * unpacked files. Uses the network only for packages that are not in the cache. Rejects with one line.
 */
export async function fetchDebianPackages(names, architecture, release = RELEASE) {
  const found = {};
  for (const name of names) found[name] = await cachedPackage(name, architecture, release);
  const missing = names.filter((name) => found[name] === undefined);
  if (missing.length > 0) Object.assign(found, await download(missing, architecture, release));
  return found;
}

/** A package from the cache. Its record is written last, so a package that has one is complete. */
async function cachedPackage(name, architecture, release) {
  const record = recordPath(name, architecture, release);
  if (!existsSync(record)) return undefined;
  const description = JSON.parse(await readFile(record, 'utf8'));
  return existsSync(description.folder) ? description : undefined;
}

function recordPath(name, architecture, release) {
  const suffix = release === RELEASE ? '' : `-${release}`;
  return join(cacheFolder(), 'debian', `${name}-${architecture}${suffix}.json`);
}

async function download(names, architecture, release) {
  await mkdir(join(cacheFolder(), 'debian'), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), 'debian', 'work-'));
  try {
    const options = await privateApt(work, architecture, release);
    await run('apt-get', [...options, 'update']).catch(explain('update'));
    await run('apt-get', [...options, 'download', ...names], { cwd: work }).catch(
      explain(`download ${names.join(' ')}`),
    );
    const files = (await readdir(work)).filter((file) => file.endsWith('.deb'));
    const packages = await Promise.all(files.map((file) => unpack(work, file, architecture, release)));
    return Object.fromEntries(packages.map((description) => [description.name.split(' ')[0], description]));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function explain(what) {
  return (error) => {
    throw new Error(`apt-get ${what}: ${error.message.replace(/^apt-get: /, '')}; check the mirror`);
  };
}

/** apt options for a separate state, cache and source list below `work`. The machine's proxy settings stay in use. */
async function privateApt(work, architecture, release) {
  if (!existsSync(KEYRING)) throw new Error(`no ${KEYRING}: install debian-archive-keyring`);
  await mkdir(join(work, 'state/lists/partial'), { recursive: true });
  await mkdir(join(work, 'cache/archives/partial'), { recursive: true });
  await writeFile(join(work, 'status'), '');
  await writeFile(join(work, 'sources.list'), `deb [signed-by=${KEYRING}] ${await mirror()} ${release} main\n`);
  const settings = {
    'Dir::Etc::sourcelist': join(work, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State': join(work, 'state'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Sandbox::User': '',
    'APT::Get::List-Cleanup': 'false',
    'Acquire::Languages': 'none',
    // Does not download the Contents, DEP-11 and similar indexes, which are megabytes that nothing here reads.
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
    'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled': 'false',
  };
  return ['-q', ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])];
}

/** The machine's own Debian mirror, from its apt sources. */
async function mirror() {
  const format = '$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)';
  const targets = await run('apt-get', ['indextargets', '--format', format]).catch(explain('indextargets'));
  const rows = targets.split('\n').map((line) => line.split(' '));
  const main = rows.find(
    ([, release, component, kind]) => isArchive(release) && component === 'main' && kind === 'Packages',
  );
  if (main?.[0] === undefined) throw new Error("apt's sources name no Debian archive: add one");
  return main[0];
}

function isArchive(release = '') {
  return !/-(security|updates|backports|proposed)/.test(release);
}

async function unpack(work, file, architecture, release) {
  const sha256 = createHash('sha256')
    .update(await readFile(join(work, file)))
    .digest('hex');
  const [name, version] = file.split('_');
  const folder = join(cacheFolder(), 'debian', `${name}-${sha256.slice(0, 16)}`);
  const files = join(work, `${name}.files`);
  await run('dpkg-deb', ['-x', join(work, file), files]);
  await rename(files, folder).catch((error) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  const depends = (await run('dpkg-deb', ['-f', join(work, file), 'Depends'])).trim();
  const description = { name: `${name} ${decodeURIComponent(version)}`, version, sha256, folder, depends };
  const record = join(work, `${name}.json`);
  await writeFile(record, `${JSON.stringify(description, null, 2)}\n`);
  await rename(record, recordPath(name, architecture, release));
  return description;
}
