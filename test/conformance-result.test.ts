// The README's sentence about Kubernetes' own tests agrees with the kept result.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readResult, sentence } from './cluster/conformance/result.ts';
import { repository } from './cluster/manifests/documents.ts';

test('the README has the sentence of the kept result', () => {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8').replaceAll(/\s+/g, ' ');
  expect(readme).toContain(sentence(readResult()));
});
