import { describe, expect, test } from 'vitest';
import { stringifyJson } from '../../../lib/json.ts';
import { HttpError, HttpStatusError } from '../http.ts';
import { EtcdError, errorOfJson, toEtcdError } from './etcd-error.ts';
import { changedAt, createdAt, newsOfLine, prefixEnd, putOperation } from './etcd-json.ts';

const op = { op: 'watch', object: '/p/' };
const endpoint = 'http://e:2379';
const news = (line: unknown) => newsOfLine(JSON.stringify(line), op, endpoint);
const thrown = (line: unknown): unknown => {
  try {
    return news(line);
  } catch (error) {
    return error;
  }
};

describe('a line of a watch', () => {
  test('gives puts and deletes in order, up to the last one’s revision', () => {
    const kv = { key: 'L3AvYQ==', value: 'dg==', create_revision: '2', mod_revision: '5', lease: '7' };
    const gone = { type: 'DELETE', kv: { key: 'L3AvYg==', mod_revision: '6' } };
    expect(news({ result: { header: { revision: '9' }, events: [{ kv }, gone] } })).toEqual({
      revision: 6n,
      events: [
        {
          isDelete: false,
          kv: { key: '/p/a', value: 'v', createRevision: 2n, modRevision: 5n, leaseId: '7' },
        },
        { isDelete: true, kv: { key: '/p/b', value: '', createRevision: 0n, modRevision: 6n, leaseId: '0' } },
      ],
    });
  });

  test('without events gives the store’s revision; the one that confirms the watch gives nothing', () => {
    expect(news({ result: { header: { revision: '9' } } })).toEqual({ revision: 9n, events: [] });
    expect(news({ result: { header: { revision: '9' }, created: true } })).toBeUndefined();
    expect(news({})).toBeUndefined();
  });

  test.for([
    { result: { compact_revision: '12', canceled: true }, code: 'compacted', elsewhere: false, login: false },
    {
      result: {
        created: true,
        canceled: true,
        cancel_reason: 'rpc error: code = Unauthenticated desc = invalid auth token',
      },
      code: 'UNAUTHENTICATED',
      elsewhere: false,
      login: true,
    },
    {
      result: { canceled: true, cancel_reason: 'etcdserver: permission denied' },
      code: 'PERMISSION_DENIED',
      elsewhere: false,
      login: true,
    },
    { result: { canceled: true }, code: 'UNAVAILABLE', elsewhere: true, login: false },
  ])('ends it: $code', ({ result, code, elsewhere, login }) => {
    expect(thrown({ result })).toMatchObject({ code, isElsewhere: elsewhere, isLoginOver: login });
  });

  test('gives the oldest revision left after a compaction', () => {
    expect(thrown({ result: { compact_revision: '12', canceled: true } })).toMatchObject({ compactRevision: 12n });
  });

  test('that is no JSON or an error ends the watch', () => {
    expect(() => newsOfLine('<html>', op, endpoint)).toThrow('etcd: watch /p/: INTERNAL');
    expect(thrown({ error: { grpc_code: 14, message: 'etcdserver: no leader' } })).toMatchObject({
      message: 'etcd: watch /p/: UNAVAILABLE (http://e:2379: etcdserver: no leader)',
      isElsewhere: true,
    });
  });
});

describe('an error', () => {
  test.for([
    {
      name: 'etcd 3.4’s',
      body: '{"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14}',
      want: 'UNAVAILABLE',
    },
    { name: 'a code nobody knows', body: '{"error":"x","code":99}', want: 'code 99' },
    { name: 'no JSON', body: '404 page not found', want: 'HTTP 404' },
  ])('$name', ({ body, want }) => {
    const error = toEtcdError(new HttpStatusError(404, body), op, endpoint);
    expect(error).toBeInstanceOf(EtcdError);
    expect(error).toMatchObject({ code: want });
  });

  test('says what to look at where there is no gateway', () => {
    expect(toEtcdError(new HttpStatusError(404, 'not found'), op, endpoint)).toMatchObject({
      message: expect.stringContaining('no etcd v3 JSON gateway there'),
    });
  });

  test('of the connection is retried at another endpoint; other errors are returned unchanged', () => {
    expect(toEtcdError(new HttpError('ECONNREFUSED', ''), op, endpoint)).toMatchObject({ isElsewhere: true });
    const bug = new TypeError('x');
    expect(toEtcdError(bug, op, endpoint)).toBe(bug);
    expect(errorOfJson('text', op, endpoint)).toBeUndefined();
  });
});

describe('a request', () => {
  test.for([
    { json: createdAt('a', 0n), want: '{"key":"YQ==","target":"CREATE","result":"EQUAL","create_revision":"0"}' },
    { json: changedAt('a', 7n), want: '{"key":"YQ==","target":"MOD","result":"EQUAL","mod_revision":"7"}' },
    { json: putOperation('a', 'v', '5'), want: '{"requestPut":{"key":"YQ==","value":"dg==","lease":"5"}}' },
    { json: putOperation('a', 'v', 'keep'), want: '{"requestPut":{"key":"YQ==","value":"dg==","ignore_lease":true}}' },
  ])('$want', ({ json, want }) => {
    expect(stringifyJson(json)).toBe(want);
  });

  test('for a prefix ends before the first key that does not begin with it', () => {
    expect(prefixEnd('/p/subnets/')).toBe('/p/subnets0');
  });
});
