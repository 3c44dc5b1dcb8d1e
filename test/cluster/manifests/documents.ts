// Reads the deployment files as data: every YAML document of a file, parsed strictly.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

export const repository = join(import.meta.dirname, '../../..');
export const manifests = join(repository, 'manifests');

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** A Kubernetes object, with the types of those fields that the tests read. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly data?: Record<string, string>;
  readonly spec?: DaemonSetSpec;
  readonly rules?: readonly { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { kind: string; name: string; namespace: string }[];
}

interface DaemonSetSpec {
  readonly selector: { readonly matchLabels: Record<string, string> };
  readonly updateStrategy: { readonly type: string; readonly rollingUpdate: Record<string, string> };
  readonly template: { readonly metadata: { readonly labels: Record<string, string> }; readonly spec: PodSpec };
}

export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly priorityClassName: string;
  readonly tolerations: readonly JsonObject[];
  readonly affinity: { readonly nodeAffinity?: JsonObject; readonly podAntiAffinity?: JsonObject };
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    name: string;
    hostPath?: { path: string; type: string };
    configMap?: { name: string };
  }[];
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
  readonly securityContext: JsonObject;
  readonly volumeMounts?: readonly { name: string; mountPath: string; readOnly?: boolean; mountPropagation?: string }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

interface Probe {
  readonly httpGet: { readonly host: string; readonly port: number; readonly path: string };
}

/** Returns every document of `text`. Throws with the position when one is not YAML or has a key twice. */
export function parseYaml(text: string, name: string): Json[] {
  return parseAllDocuments(text, { strict: true, uniqueKeys: true }).map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw new Error(`${name}: ${problem.message}`);
    return document.toJS() as Json;
  });
}

/** Returns the path of a file below manifests/. */
export function readYaml(path: string): Json[] {
  return parseYaml(readFileSync(join(manifests, path), 'utf8'), path);
}

export function asKubeObjects(documents: readonly Json[]): KubeObject[] {
  return documents.filter((document) => document !== null) as unknown as KubeObject[];
}

export function readObjects(path: string): KubeObject[] {
  return asKubeObjects(readYaml(path));
}

/** Returns the only object of a kind. Throws when there is none or more than one. */
export function only(objects: readonly KubeObject[], kind: string): KubeObject {
  const [object, another] = objects.filter((candidate) => candidate.kind === kind);
  if (object === undefined || another !== undefined) throw new Error(`expected one ${kind}`);
  return object;
}

export function podSpec(objects: readonly KubeObject[]): PodSpec {
  const spec = only(objects, 'DaemonSet').spec;
  if (spec === undefined) throw new Error('the DaemonSet has no spec');
  return spec.template.spec;
}

export function agentContainer(objects: readonly KubeObject[]): Container {
  const [container, another] = podSpec(objects).containers;
  if (container === undefined || another !== undefined) throw new Error('expected one container');
  return container;
}
