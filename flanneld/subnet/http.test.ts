import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HttpStatusError, httpChunks, httpLines, httpRequest, splitLines } from './http.ts';

const signal = new AbortController().signal;

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return new URL(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/`);
}

function call(url: URL, timeoutMs = 5000) {
  return { method: 'GET' as const, url, timeoutMs, signal };
}

const forever = { onLine: () => undefined, idleMs: 10_000 };

describe('splitLines', () => {
  test('gives the same lines however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1 })), fc.array(fc.nat(7)), (texts, cuts) => {
        const lines = texts.map((text) => `x${text.replaceAll(/\s/g, '_')}`);
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const seen: string[] = [];
        const feed = splitLines((line) => seen.push(line));
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          feed(bytes.subarray(at, at + cut));
          at += cut;
        }
        expect(seen).toEqual(lines);
      }),
    );
  });
});

describe('httpRequest', () => {
  test('gives status and body, whatever the status', async () => {
    const url = await serve((_, response) => response.writeHead(503).end('busy'));
    expect(await httpRequest(call(url))).toEqual({ status: 503, body: 'busy' });
  });

  test('ends at its deadline, also when the answer never ends', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200).write('a');
    });
    await expect(httpRequest(call(url, 50))).rejects.toMatchObject({ name: 'HttpError', code: 'timeout' });
  });

  test('passes on the kernel’s error', async () => {
    const url = await serve(() => undefined);
    await expect(httpRequest(call(new URL(url.href.replace(url.port, '1'))))).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    });
  });

  test('ends when the caller aborts it', async () => {
    const url = await serve(() => undefined);
    const abort = new AbortController();
    const asking = httpRequest({ ...call(url), signal: abort.signal });
    abort.abort();
    await expect(asking).rejects.toMatchObject({ code: 'aborted' });
    await expect(httpRequest({ ...call(url), signal: abort.signal })).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('httpLines', () => {
  test('hands over whole lines, and drops a last line that is cut', async () => {
    const url = await serve((_, response) => response.end('one\n\ntwo\nthr'));
    const lines: string[] = [];
    await httpLines(call(url), { ...forever, onLine: (line) => lines.push(line) });
    expect(lines).toEqual(['one', 'two']);
  });

  test('goes on after the deadline for the head of the answer, and ends after silence', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200).flushHeaders();
      setTimeout(() => response.write('late\n'), 150);
    });
    const lines: string[] = [];
    const reading = httpLines(call(url, 100), { onLine: (line) => lines.push(line), idleMs: 400 });
    await expect(reading).rejects.toMatchObject({ code: 'idle' });
    expect(lines).toEqual(['late']);
  });

  test('rejects with the server’s refusal and its text', async () => {
    const url = await serve((_, response) => response.writeHead(410).end('gone'));
    const error = await httpLines(call(url), forever).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HttpStatusError);
    expect(error).toMatchObject({ status: 410, body: 'gone' });
  });

  test('rejects with what the reader threw, and closes the connection', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const url = await serve((_, response) => {
      closed = once(response, 'close');
      response.write('line\n');
    });
    const reading = httpLines(call(url), {
      ...forever,
      onLine() {
        throw new Error('not understood');
      },
    });
    await expect(reading).rejects.toThrow('not understood');
    await closed;
  });
});

describe('httpChunks', () => {
  const text = 'leases '.repeat(50_000);
  const collect = async (url: URL): Promise<string> => {
    const chunks: Buffer[] = [];
    await httpChunks(call(url), { onChunk: (chunk) => chunks.push(chunk), idleMs: 10_000 });
    return Buffer.concat(chunks).toString('utf8');
  };

  test('unpacks an answer that came compressed', async () => {
    const url = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text)),
    );
    expect(await collect(url)).toBe(text);
  });

  test.for([
    { name: 'is cut', packed: (bytes: Buffer) => bytes.subarray(0, -20), code: 'Z_BUF_ERROR' },
    { name: 'is not packed at all', packed: () => Buffer.from(text), code: 'Z_DATA_ERROR' },
  ])('refuses one that $name', async ({ packed, code }) => {
    const body = packed(gzipSync(text));
    const url = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(body));
    await expect(collect(url)).rejects.toMatchObject({ name: 'HttpError', code });
  });

  test('rejects when the connection ends in the middle of a compressed answer', async () => {
    const packed = gzipSync(text);
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length });
      response.write(packed.subarray(0, 200), () => response.destroy());
    });
    await expect(collect(url)).rejects.toMatchObject({ name: 'HttpError', code: 'ECONNRESET' });
  });
});
