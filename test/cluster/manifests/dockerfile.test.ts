// Checks the text of the Dockerfile for properties that a build would not notice.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { manifests, repository } from './documents.ts';

const text = readFileSync(join(manifests, 'Dockerfile'), 'utf8');
const ignore = readFileSync(join(manifests, 'Dockerfile.dockerignore'), 'utf8').split('\n');
/** Instructions with their continuation lines joined, without comments. */
const instructions = text
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split('\n')
  .filter(Boolean);

describe('Dockerfile', () => {
  test('takes every base image as a build argument that has a default', () => {
    const bases = instructions.flatMap((line) => /^FROM (?:--platform=\$BUILDPLATFORM )?(\S+)/.exec(line)?.[1] ?? []);
    const names = ['NODE_IMAGE', 'BUILD_NODE_IMAGE', 'BUILD_IMAGE', 'BASE_IMAGE'];
    expect(bases).toEqual([...names.map((name) => `$\{${name}}`), 'scratch']);
    for (const name of names) expect(text).toMatch(new RegExp(`^ARG ${name}=\\S+$`, 'm'));
  });

  test('runs programs only in stages of the platform that builds', () => {
    const stages = instructions.join('\n').split(/^(?=FROM )/m);
    const foreign = stages.filter(
      (stage) => stage.startsWith('FROM ') && !stage.startsWith('FROM --platform=$BUILDPLATFORM '),
    );
    expect(foreign.length).toBe(2);
    for (const stage of foreign) expect(stage).not.toMatch(/^RUN /m);
  });

  test('names no registry, no proxy and no certificate', () => {
    expect(instructions.join('\n')).not.toMatch(/https?:|registry|proxy|\.crt|\.pem|[a-z0-9-]+\.[a-z]{2,}\/[a-z]/);
  });

  test('copies only what is there, and lets through only what it copies', () => {
    const copied = instructions.flatMap((line) => /^COPY (?!--from)(.+) \S+$/.exec(line)?.[1]?.split(' ') ?? []);
    expect(copied.length).toBeGreaterThan(5);
    expect(copied.filter((name) => !existsSync(join(repository, name)))).toEqual([]);
    const letThrough = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    // Some files of a folder are copied before the rest of it.
    const wholes = copied.filter((name) => !copied.some((other) => name.startsWith(`${other}/`)));
    expect(letThrough.sort()).toEqual(wholes.sort());
  });

  test('runs no package’s install script and puts no development package into the image', () => {
    expect(text).toContain('ci --ignore-scripts');
    const last = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')));
    expect(last.join('\n')).not.toContain('node_modules');
  });

  test('puts the agent where the manifests run it', () => {
    expect(text).toContain('COPY --from=build /out /opt/weft');
    expect(text).toContain('ENTRYPOINT ["/opt/weft/flanneld"]');
  });
});
