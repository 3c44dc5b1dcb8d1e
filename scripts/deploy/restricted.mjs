// The security context of containers that need no right at all: it fits the level `restricted` of Kubernetes' Pod Security Standards.
// Pods of `npm run deploy` and of the bench have it.

export const restricted = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  runAsUser: 65534,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};
