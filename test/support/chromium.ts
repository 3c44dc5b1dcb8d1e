// A headless Chromium with one page, controlled through its pipe (https://chromedevtools.github.io/devtools-protocol/). With
// --remote-debugging-pipe, it reads JSON messages from descriptor 3 and writes them to descriptor 4; each ends with a NUL.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-pipe',
];
const TIMEOUT_MS = 30_000;

/** Returns the first Chromium on PATH; undefined when there is none. */
export function findChromium(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(':');
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

export interface Page {
  /** Errors and warnings on the console, uncaught exceptions, and the page's requests to the network. */
  readonly complaints: string[];
  /** Evaluates an expression. The value must be representable in JSON. */
  evaluate<T>(expression: string): Promise<T>;
  emulate(features: { readonly dark: boolean; readonly width: number }): Promise<void>;
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** Opens `url`. Resolves when the page has loaded. */
export async function openPage(program: string, url: string): Promise<Page> {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const child = spawn(program, [...ARGUMENTS, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const browser = new Connection(child);
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      await browser.send('Browser.close').catch(() => child.kill('SIGKILL'));
      await ended;
    }
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
    const send = (method: string, params = {}): Promise<Record<string, unknown>> =>
      browser.send(method, params, String(sessionId));
    const complaints = listenForComplaints(browser, url);
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);
    const loaded = browser.next('Page.loadEventFired');
    await Promise.all([send('Page.navigate', { url }), loaded]);
    return { complaints, close, ...methods(send) };
  } catch (error) {
    await close();
    throw error;
  }
}

type Send = (method: string, params?: object) => Promise<Record<string, unknown>>;

function methods(send: Send): Omit<Page, 'complaints' | 'close'> {
  return {
    async evaluate<T>(expression: string): Promise<T> {
      const { result, exceptionDetails } = await send('Runtime.evaluate', {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
      return (result as { value: T }).value;
    },
    async emulate({ dark, width }) {
      const value = dark ? 'dark' : 'light';
      await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });
      await send('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: false });
    },
  };
}

function listenForComplaints(browser: Connection, url: string): string[] {
  const complaints: string[] = [];
  browser.on('Runtime.exceptionThrown', (params) => complaints.push(JSON.stringify(params['exceptionDetails'])));
  browser.on('Runtime.consoleAPICalled', ({ type, args }) => {
    if (type === 'error' || type === 'warning' || type === 'assert')
      complaints.push(`${type}: ${JSON.stringify(args)}`);
  });
  browser.on('Log.entryAdded', ({ entry }) => complaints.push(JSON.stringify(entry)));
  browser.on('Network.requestWillBeSent', ({ request }) => {
    const asked = (request as { url: string }).url;
    if (asked !== url && !asked.startsWith('data:')) complaints.push(`asked for ${asked}`);
  });
  return complaints;
}

type Listener = (params: Record<string, unknown>) => void;

interface Waiting {
  readonly resolve: (result: Record<string, unknown>) => void;
  readonly reject: (error: Error) => void;
}

class Connection {
  readonly #out: Writable;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Map<string, Listener[]>();
  #lastId = 0;
  #rest = '';

  constructor(child: ChildProcess) {
    this.#out = child.stdio[3] as Writable;
    this.#out.on('error', () => undefined); // it has ended; `exit` reports that
    (child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => this.#take(text));
    child.once('exit', (code) => this.#fail(`Chromium ended with ${code}`));
    child.once('error', ({ message }) => this.#fail(message));
  }

  on(method: string, listener: Listener): void {
    this.#listeners.set(method, [...(this.#listeners.get(method) ?? []), listener]);
  }

  /** Resolves with the next event of that name. Rejects when none comes for a while. */
  next(method: string): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${method} after ${TIMEOUT_MS} ms`)), TIMEOUT_MS).unref();
      this.on(method, (params) => {
        clearTimeout(timer);
        resolve(params);
      });
    });
  }

  send(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #take(text: string): void {
    const messages = `${this.#rest}${text}`.split('\0');
    this.#rest = messages.pop() ?? '';
    for (const message of messages) this.#handle(JSON.parse(message) as Message);
  }

  #handle({ id, method, params, result, error }: Message): void {
    if (id === undefined) {
      for (const listener of this.#listeners.get(method ?? '') ?? []) listener(params ?? {});
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result ?? {});
    else waiting?.reject(new Error(error.message));
  }

  #fail(why: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }
}
