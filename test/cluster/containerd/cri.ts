// A client of the Container Runtime Interface, like kubelet's: gRPC on containerd's Unix socket.

import { join } from 'node:path';
import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { repositoryRoot } from '../../lab/programs.ts';

export interface PortMapping {
  readonly protocol?: 'TCP' | 'UDP';
  readonly containerPort: number;
  readonly hostPort: number;
}

type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE';

interface NamespaceOptions {
  readonly network: 'POD' | 'NODE';
  readonly pid?: NamespaceMode;
}

export interface SecurityProfile {
  readonly profileType: 'RuntimeDefault' | 'Unconfined' | 'Localhost';
}

export interface SandboxConfig {
  readonly metadata: { readonly name: string; readonly uid: string; readonly namespace: string };
  readonly hostname: string;
  /** The folder on the node for the logs of its containers. */
  readonly logDirectory?: string;
  readonly portMappings: readonly PortMapping[];
  readonly linux: {
    readonly cgroupParent: string;
    readonly securityContext: { readonly namespaceOptions: NamespaceOptions; readonly seccomp?: SecurityProfile };
  };
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly propagation: 'PROPAGATION_PRIVATE' | 'PROPAGATION_HOST_TO_CONTAINER' | 'PROPAGATION_BIDIRECTIONAL';
}

export interface ContainerSecurity {
  readonly capabilities: { readonly addCapabilities: readonly string[]; readonly dropCapabilities: readonly string[] };
  readonly privileged: boolean;
  readonly namespaceOptions: NamespaceOptions;
  readonly runAsUser?: { readonly value: number };
  readonly readonlyRootfs: boolean;
  readonly noNewPrivs: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp: SecurityProfile;
}

export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt?: number };
  readonly image: { readonly image: string };
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly envs?: readonly { readonly key: string; readonly value: string }[];
  readonly mounts?: readonly Mount[];
  /** The log's path, relative to the sandbox's logDirectory. */
  readonly logPath?: string;
  readonly linux?: { readonly securityContext: ContainerSecurity };
}

interface SandboxRef {
  readonly podSandboxId: string;
}

export interface SandboxStatus {
  readonly status: {
    readonly state: 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
    readonly network: { readonly ip: string } | null;
  };
  /** With `verbose`: `info` is containerd's own JSON. */
  readonly info: Record<string, string>;
}

export interface ContainerStatus {
  readonly status: { readonly state: string; readonly exitCode: number };
  /** With `verbose`: `info` is containerd's own JSON. */
  readonly info: Record<string, string>;
}

export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

/** The request and the reply of each call. */
interface CriMethods {
  Version: [{ version: string }, { runtimeName: string; runtimeVersion: string }];
  Status: [{ verbose: boolean }, { status: { conditions: readonly RuntimeCondition[] } }];
  RunPodSandbox: [{ config: SandboxConfig }, SandboxRef];
  StopPodSandbox: [SandboxRef, object];
  RemovePodSandbox: [SandboxRef, object];
  PodSandboxStatus: [SandboxRef & { verbose: boolean }, SandboxStatus];
  ListPodSandbox: [object, { items: readonly { id: string; state: string }[] }];
  CreateContainer: [SandboxRef & { config: ContainerConfig; sandboxConfig: SandboxConfig }, { containerId: string }];
  StartContainer: [{ containerId: string }, object];
  /** Sends SIGTERM and, after `timeout` seconds, SIGKILL. */
  StopContainer: [{ containerId: string; timeout: number }, object];
  RemoveContainer: [{ containerId: string }, object];
  ContainerStatus: [{ containerId: string; verbose: boolean }, ContainerStatus];
  ExecSync: [
    { containerId: string; cmd: readonly string[]; timeout: number },
    { stdout: Buffer; stderr: Buffer; exitCode: number },
  ];
}

const CALL_LIMIT_MS = 60_000;

export interface CriClient {
  call<K extends keyof CriMethods>(method: K, request: CriMethods[K][0]): Promise<CriMethods[K][1]>;
  close(): void;
}

type UnaryCall = (
  request: unknown,
  options: { deadline: number },
  done: (error: ServiceError | null, reply: unknown) => void,
) => void;

/** A client that connects at its first call. A call rejects with the runtime's own error text in `details`. */
export function openCri(socketPath: string): CriClient {
  const definition = loadSync(join(repositoryRoot, 'test/cluster/containerd/cri.proto'), {
    enums: String,
    defaults: true,
  });
  const runtime = loadPackageDefinition(definition)['runtime'] as unknown as {
    v1: { RuntimeService: new (...args: unknown[]) => Record<keyof CriMethods, UnaryCall> & { close(): void } };
  };
  // gRPC would send the socket's path as the authority, which containerd refuses because it is no host name.
  const options = { 'grpc.default_authority': 'localhost', 'grpc.max_reconnect_backoff_ms': 200 };
  const client = new runtime.v1.RuntimeService(`unix:${socketPath}`, credentials.createInsecure(), options);
  return {
    call: (method, request) =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + CALL_LIMIT_MS;
        client[method](request, { deadline }, (error, reply) => {
          if (error === null) resolve(reply as never);
          else reject(error);
        });
      }),
    close: () => client.close(),
  };
}
