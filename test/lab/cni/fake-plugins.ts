// Plugins for tests of the chain driver. They are shell scripts that record how they were executed and give prepared answers.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { JsonObject } from './conflist.ts';
import { CniDriver } from './driver.ts';

export interface FakeAnswer {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly exitCode?: number;
}

export interface RecordedCall {
  readonly type: string;
  readonly command: string;
  /** Every variable that the plugin got, without those that a shell sets for itself. */
  readonly env: Record<string, string>;
  readonly stdin: JsonObject;
}

/** Makes a folder of plugins, a cache and a configuration folder, which are removed when the test ends. */
export class FakePlugins {
  readonly root = mkdtempSync(join(tmpdir(), 'weft-cni-'));
  readonly bin = join(this.root, 'bin');
  readonly cacheDir = join(this.root, 'cache');
  readonly confDir = join(this.root, 'net.d');
  readonly driver = new CniDriver({ cniPath: [this.bin], cacheDir: this.cacheDir });
  readonly #log = join(this.root, 'calls');

  constructor() {
    onTestFinished(() => rmSync(this.root, { recursive: true, force: true }));
    for (const folder of [this.bin, this.confDir]) mkdirSync(folder);
  }

  /** Installs a plugin. `answers` has what it does for each command; for any other command it prints nothing and exits with 0. */
  install(type: string, answers: Record<string, FakeAnswer> = {}): void {
    const cases = Object.entries(answers).map(
      ([command, { stdout = '', stderr = '', exitCode = 0 }]) =>
        `${command}) printf %s ${quote(stdout)}; printf %s ${quote(stderr)} >&2; exit ${exitCode};;`,
    );
    const script = [
      '#!/bin/sh',
      `calls=${this.#log}`,
      'number=$(ls "$calls" 2>/dev/null | wc -l)',
      'here="$calls/$(printf %03d "$number")"',
      'mkdir -p "$here"',
      'cat > "$here/stdin"',
      'tr "\\0" "\\n" < /proc/$$/environ > "$here/env"',
      `printf %s ${quote(type)} > "$here/type"`,
      `case "$CNI_COMMAND" in ${cases.join(' ')} *) ;; esac`,
      '',
    ];
    const path = join(this.bin, type);
    writeFileSync(path, script.join('\n'));
    chmodSync(path, 0o755);
  }

  /** Every execution so far, in order. */
  calls(): RecordedCall[] {
    const calls: RecordedCall[] = [];
    for (let number = 0; ; number += 1) {
      const folder = join(this.#log, String(number).padStart(3, '0'));
      if (!existsSync(folder)) return calls;
      calls.push(readCall(folder));
    }
  }

  /** `type COMMAND` of every execution so far. */
  order(): string[] {
    return this.calls().map(({ type, command }) => `${type} ${command}`);
  }

  writeConf(name: string, content: unknown): void {
    const path = join(this.confDir, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  }
}

function readCall(folder: string): RecordedCall {
  const lines = readFileSync(join(folder, 'env'), 'utf8').split('\n').filter(Boolean);
  const env = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  return {
    type: readFileSync(join(folder, 'type'), 'utf8'),
    command: env['CNI_COMMAND'] ?? '',
    env,
    stdin: JSON.parse(readFileSync(join(folder, 'stdin'), 'utf8') || '{}') as JsonObject,
  };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
