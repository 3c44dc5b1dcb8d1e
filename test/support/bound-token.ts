// Tokens of service accounts as pods get them: bound to a pod, and so to its node.

import type { KubeApiserver } from './kube-apiserver.ts';

/** The token that a pod with the account has on `node`; without a node, the token of `kubectl create token`. */
export async function tokenOf(
  server: KubeApiserver,
  namespace: string,
  account: string,
  node: string | undefined,
): Promise<string> {
  const spec = node === undefined ? {} : { boundObjectRef: await podOn(server, namespace, account, node) };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const { body } = await server.must({ path, body: { spec: { audiences: ['https://localhost'], ...spec } } });
  return (body['status'] as { token: string }).token;
}

async function podOn(server: KubeApiserver, namespace: string, account: string, node: string): Promise<object> {
  const name = `agent-${account}-on-${node}`;
  const spec = { serviceAccountName: account, nodeName: node, containers: [{ name: 'agent', image: 'weft' }] };
  const path = `/api/v1/namespaces/${namespace}/pods`;
  await server.call({ path, body: { metadata: { name }, spec } });
  const { body } = await server.must({ path: `${path}/${name}` });
  return { kind: 'Pod', apiVersion: 'v1', name, uid: (body['metadata'] as { uid: string }).uid };
}
