// The SBOM of the whole image, from its files: the programs' own (licences.mjs wrote it while they were built), and Debian's packages,
// which the Dockerfile keeps in status.d where scanners look.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The bill of materials (CycloneDX 1.5) of the image whose files are in `root`. */
export function imageBill(root) {
  const own = JSON.parse(readFileSync(join(root, 'opt/weft/licences/sbom.cdx.json'), 'utf8'));
  const folder = join(root, 'var/lib/dpkg/status.d');
  const packages = readdirSync(folder).sort();
  const debian = packages.map((name) => debianComponent(readFileSync(join(folder, name), 'utf8')));
  return { ...own, components: [...own.components, ...debian] };
}

/** A package by its control file (deb-control(5)). Its licences are in /usr/share/doc/NAME/copyright of the image. */
export function debianComponent(control) {
  const field = (name) => new RegExp(`^${name}: (.+)$`, 'm').exec(control)?.[1] ?? '';
  const [name, version, arch] = ['Package', 'Version', 'Architecture'].map(field);
  if (name === '' || version === '') throw new Error(`image: no package in: ${control.slice(0, 100)}`);
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${arch}`;
  return { type: 'library', name, version, purl };
}
