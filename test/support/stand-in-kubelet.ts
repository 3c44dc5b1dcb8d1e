// The kubelet's side of `kubectl exec` and `kubectl logs`, as kube-apiserver calls it (pkg/kubelet/server: /exec, /containerLogs), for lab
// nodes that run no kubelet. Programs are really executed, and their output and exit code are returned by the WebSocket protocol
// v4.channel.k8s.io.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { CommandResult } from '../lab/command.ts';
import type { CertificateFiles } from './certificates.ts';

export interface StandInOptions {
  readonly certificate: CertificateFiles;
  /** Executes a program in a pod. */
  readonly exec: (pod: PodName, argv: readonly string[]) => Promise<CommandResult>;
  /** The log of the pod's container. */
  readonly logs: (pod: PodName) => string;
}

export interface PodName {
  readonly namespace: string;
  readonly pod: string;
}

export interface StandInKubelet {
  readonly port: number;
  close(): Promise<void>;
}

export async function startStandInKubelet({ certificate, exec, logs }: StandInOptions): Promise<StandInKubelet> {
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v4.channel.k8s.io' });
  const server = createServer({ cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) });
  server.on('request', (request, response) => {
    const { pod, kind } = parse(request);
    response.end(kind === 'containerLogs' ? logs(pod) : undefined);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { pod, query } = parse(request);
    sockets.handleUpgrade(request, socket, head, (client) => {
      exec(pod, query.getAll('command')).then(
        (result) => sendResult(client, result),
        (error: unknown) => sendStatus(client, { status: 'Failure', reason: 'InternalError', message: String(error) }),
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async close() {
      server.closeAllConnections();
      await once(server.close(), 'close');
    },
  };
}

function parse({ url }: IncomingMessage): { kind: string; pod: PodName; query: URLSearchParams } {
  const { pathname, searchParams } = new URL(url ?? '/', 'https://kubelet');
  const [, kind = '', namespace = '', pod = ''] = pathname.split('/');
  return { kind, pod: { namespace, pod }, query: searchParams };
}

function sendResult(client: WebSocket, { exitCode, stdout, stderr }: CommandResult): void {
  const pieces: [number, string][] = [
    [1, stdout],
    [2, stderr],
  ];
  for (const [channel, text] of pieces) {
    const bytes = Buffer.from(text);
    // Sent in pieces, as a pipe delivers them.
    for (let at = 0; at < bytes.length; at += 32_768) sendTo(client, channel, bytes.subarray(at, at + 32_768));
  }
  const causes = [{ reason: 'ExitCode', message: String(exitCode) }];
  const failure = { status: 'Failure', reason: 'NonZeroExitCode', details: { causes } };
  sendStatus(client, exitCode === 0 ? { status: 'Success' } : failure);
}

function sendStatus(client: WebSocket, status: object): void {
  sendTo(client, 3, Buffer.from(JSON.stringify(status)));
  client.close();
}

function sendTo(client: WebSocket, channel: number, bytes: Buffer): void {
  client.send(Buffer.concat([Buffer.from([channel]), bytes]));
}
