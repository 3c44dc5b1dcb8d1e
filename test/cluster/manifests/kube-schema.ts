// Compares objects with Kubernetes' API schema, without a server. The generated models of @kubernetes/client-node know every field
// and its type. Unknown fields and wrong types are errors; which fields are required is known only to a server.

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Json, JsonObject, KubeObject } from './documents.ts';

interface Model {
  getAttributeTypeMap(): readonly { readonly baseName: string; readonly type: string }[];
}

const require = createRequire(import.meta.url);
const modelFolder = join(dirname(require.resolve('@kubernetes/client-node')), 'gen/models');

const MODELS: Readonly<Record<string, string>> = {
  'v1 Namespace': 'V1Namespace',
  'v1 ServiceAccount': 'V1ServiceAccount',
  'v1 ConfigMap': 'V1ConfigMap',
  'admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy': 'V1ValidatingAdmissionPolicy',
  'admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding': 'V1ValidatingAdmissionPolicyBinding',
  'apps/v1 DaemonSet': 'V1DaemonSet',
  'rbac.authorization.k8s.io/v1 ClusterRole': 'V1ClusterRole',
  'rbac.authorization.k8s.io/v1 ClusterRoleBinding': 'V1ClusterRoleBinding',
};

/**
 * Returns one line for everything wrong with an object, such as `spec.template.spec.hostNetork: unknown field`; an empty list when
 * nothing is wrong.
 */
export async function schemaProblems(object: KubeObject): Promise<string[]> {
  const model = MODELS[`${object.apiVersion} ${object.kind}`];
  if (model === undefined) return [`${object.apiVersion} ${object.kind}: a kind no test knows`];
  return await problemsOf(object as unknown as Json, model, '');
}

async function problemsOf(value: Json, type: string, path: string): Promise<string[]> {
  const list = /^(?:Array|Set)<(.+)>$/.exec(type)?.[1];
  if (list !== undefined) {
    if (!Array.isArray(value)) return [`${path}: expected a list`];
    return await each(value.map((item, at) => [item, list, `${path}[${at}]`]));
  }
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
  if (map !== undefined) {
    if (!isObject(value)) return [`${path}: expected a map`];
    return await each(Object.entries(value).map(([key, item]) => [item, map, `${path}.${key}`]));
  }
  if (/^[A-Za-z]*V\d/.test(type)) return await modelProblems(value, type, path);
  return scalarProblems(value, type, path);
}

function scalarProblems(value: Json, type: string, path: string): string[] {
  const right: Readonly<Record<string, boolean>> = {
    string: typeof value === 'string',
    number: typeof value === 'number',
    boolean: typeof value === 'boolean',
    IntOrString: typeof value === 'string' || Number.isInteger(value),
    any: true,
  };
  const known = right[type.replace(/ \| .*$/, '')];
  if (known === undefined) return [`${path}: a type no test knows: ${type}`];
  return known ? [] : [`${path}: expected ${type}, got ${JSON.stringify(value)}`];
}

async function modelProblems(value: Json, type: string, path: string): Promise<string[]> {
  if (!isObject(value)) return [`${path}: expected an object`];
  const fields = new Map((await load(type)).getAttributeTypeMap().map((field) => [field.baseName, field.type]));
  const problems: string[] = [];
  for (const [name, item] of Object.entries(value)) {
    const place = path === '' ? name : `${path}.${name}`;
    const fieldType = fields.get(name);
    if (fieldType === undefined) problems.push(`${place}: unknown field`);
    else problems.push(...(await problemsOf(item, fieldType, place)));
  }
  return problems;
}

async function load(type: string): Promise<Model> {
  const module = (await import(join(modelFolder, `${type}.js`))) as Readonly<Record<string, Model>>;
  const model = module[type];
  if (model === undefined) throw new Error(`no model ${type}`);
  return model;
}

async function each(items: readonly (readonly [Json, string, string])[]): Promise<string[]> {
  const problems: string[] = [];
  for (const [value, type, path] of items) problems.push(...(await problemsOf(value, type, path)));
  return problems;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
