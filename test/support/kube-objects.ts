// Applies objects of the manifests to an API server: the path of each kind, and `kubectl apply --server-side`.

import type { KubeObject } from '../cluster/manifests/documents.ts';
import type { ApiCall } from './kube-apiserver.ts';

const PATHS: Readonly<Record<string, string>> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: '/api/v1/namespaces/NAMESPACE/serviceaccounts',
  ConfigMap: '/api/v1/namespaces/NAMESPACE/configmaps',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  ValidatingAdmissionPolicy: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
  DaemonSet: '/apis/apps/v1/namespaces/NAMESPACE/daemonsets',
  Deployment: '/apis/apps/v1/namespaces/NAMESPACE/deployments',
  Service: '/api/v1/namespaces/NAMESPACE/services',
};

/** The request that applies `object` and refuses unknown fields. A dry run goes through admission, and the result is discarded. */
export function applyCall(object: KubeObject, dryRun: boolean): ApiCall {
  const folder = (PATHS[object.kind] ?? '').replace('NAMESPACE', object.metadata.namespace ?? '');
  const query = `fieldManager=test&force=true&fieldValidation=Strict${dryRun ? '&dryRun=All' : ''}`;
  const path = `${folder}/${object.metadata.name}?${query}`;
  return { method: 'PATCH', path, body: object, contentType: 'application/apply-patch+yaml' };
}
