import { describe, expect, test } from 'vitest';
import { ConfigError, OpError } from '../../lib/errors.ts';
import { createFailureLog, createLogger } from './log.ts';

function capture(level: 'error' | 'warn' | 'info' | 'debug' = 'info') {
  const lines: string[] = [];
  const logger = createLogger(level, { write: (line) => void lines.push(line) });
  return { logger, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('createLogger', () => {
  test('writes one line with level word, ISO time to the millisecond, facts and message, nothing else', () => {
    const { logger, lines, parsed } = capture();
    logger.info({ dev: 'flannel.1', durMs: 3 }, 'device created');
    expect(lines[0]).toMatch(/^\{"level":"info","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",.*\}\n$/);
    expect(Object.keys(parsed()[0] ?? {})).toEqual(['level', 'time', 'dev', 'durMs', 'msg']);
    expect(parsed()[0]).toMatchObject({ dev: 'flannel.1', durMs: 3, msg: 'device created' });
  });

  test('leaves out lines below the level', () => {
    const { logger, parsed } = capture('warn');
    logger.debug({}, 'a');
    logger.info({}, 'b');
    logger.warn({}, 'c');
    logger.error({}, 'd');
    expect(parsed().map((line) => line['msg'])).toEqual(['c', 'd']);
  });

  test('never prints secrets, at the top or one level down', () => {
    const { logger, lines } = capture();
    logger.info(
      { password: 'hunter2', etcd: { password: 'hunter2', username: 'u' }, backend: { psk: 'hunter2' } },
      'x',
    );
    logger.info({ token: 'hunter2', kube: { token: 'hunter2' }, wg: { privateKey: 'hunter2' } }, 'x');
    expect(lines.join('')).not.toContain('hunter2');
    expect(lines.join('')).toContain('[secret]');
    expect(lines[0]).toContain('"username":"u"');
  });

  test.for([
    {
      name: 'an operation that failed by its one line',
      err: new OpError({ subsystem: 'rtnetlink', op: 'add', object: 'fdb x', code: 'EEXIST' }),
      want: /^rtnetlink: add fdb x: EEXIST$/,
    },
    {
      name: 'a configuration error by its one line',
      err: new ConfigError('net-conf', 'Port', 'no'),
      want: /^net-conf: Port: no$/,
    },
    {
      name: "one of Node's by its message",
      err: Object.assign(new Error('ENOENT: x'), { code: 'ENOENT' }),
      want: /^ENOENT: x$/,
    },
    { name: 'text as it is', err: 'lost race', want: /^lost race$/ },
    { name: 'a bug with its stack', err: new TypeError('boom'), want: /^TypeError: boom\n {4}at / },
  ])('shows $name', ({ err, want }) => {
    const { logger, parsed } = capture();
    logger.error({ err }, 'x');
    expect(parsed()[0]?.['err']).toMatch(want);
  });

  test('keeps a hostile value on its one line', () => {
    const { logger, lines } = capture();
    logger.warn({ peer: 'a\n{"level":"error"}\u001b[2J' }, 'x');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1);
    expect(lines[0]).not.toContain('\u001b');
  });
});

describe('createFailureLog', () => {
  test('logs the same failure the 1st, 10th and 100th time with its count, and the recovery once', () => {
    const { logger, parsed } = capture();
    const failures = createFailureLog(logger);
    for (let n = 0; n < 150; n++)
      failures.failed('node-2', new ConfigError('s', '', 'bad'), { peer: 'node-2' }, 'peer failed');
    failures.recovered('node-2', { peer: 'node-2' }, 'peer recovered');
    failures.recovered('node-2', { peer: 'node-2' }, 'peer recovered');
    expect(
      parsed().map(({ level, count, failures: sum, msg, err, peer }) => [level, count ?? sum, msg, err, peer]),
    ).toEqual([
      ['warn', 1, 'peer failed', 's: bad', 'node-2'],
      ['warn', 10, 'peer failed', 's: bad', 'node-2'],
      ['warn', 100, 'peer failed', 's: bad', 'node-2'],
      ['info', 150, 'peer recovered', undefined, 'node-2'],
    ]);
  });

  test('counts keys and texts apart, so that a new reason is seen at once', () => {
    const { logger, parsed } = capture();
    const failures = createFailureLog(logger);
    for (const [key, text] of [
      ['a', 'x'],
      ['b', 'x'],
      ['a', 'x'],
      ['a', 'y'],
      ['a', 'x'],
      ['a', 'y'],
    ]) {
      failures.failed(key ?? '', text, { key }, 'failed');
    }
    expect(parsed().map(({ key, err }) => `${key}${err}`)).toEqual(['ax', 'bx', 'ay']);
  });

  test('starts again after a recovery', () => {
    const { logger, parsed } = capture();
    const failures = createFailureLog(logger);
    for (let n = 0; n < 3; n++) {
      failures.failed('a', 'x', {}, 'failed');
      failures.recovered('a', {}, 'recovered');
    }
    expect(parsed().map(({ msg }) => msg)).toEqual([
      'failed',
      'recovered',
      'failed',
      'recovered',
      'failed',
      'recovered',
    ]);
  });

  test('does not use more memory when texts never repeat', () => {
    const { logger, parsed } = capture();
    const counted = createFailureLog(logger);
    for (let n = 0; n < 20; n++) counted.failed('a', `text ${n}`, {}, 'failed');
    counted.recovered('a', {}, 'recovered');
    expect(parsed().at(-1)).toMatchObject({ failures: 8 });
  });
});
