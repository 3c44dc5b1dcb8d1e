// The container runtime's folders: which configuration it uses, whether the plugins are there, whether they can write.

import { join } from 'node:path';
import { CONFLIST_NAME } from '../../cni/conflist.ts';
import { type Draft, run } from '../draft.ts';
import type { View } from '../view/view.ts';

export function checkCniFolders(view: View): Draft[] {
  return [...conflist(view), ...shadowed(view), ...plugins(view), ...foreign(view), ...state(view)];
}

function conflist({ cni, agent, node }: View): Draft[] {
  const path = join(cni.confDir, CONFLIST_NAME);
  if (cni.conflist.state === 'right') return [];
  if (cni.conflist.state === 'wrong') {
    return [
      {
        id: 'cni-conflist-invalid',
        cause: 'no runtime can use the CNI configuration of this node, so no pod starts here',
        evidence: `${path} ${cni.conflist.why}`,
        fix: run(node, `rm ${path}`, 'and restart the agent, which writes the file anew'),
      },
    ];
  }
  // A node that does not forward yet must have no conflist.
  if (agent.state === 'answers' && !agent.report.ready) return [];
  const isMeant = cni.isWithdrawn || !cni.isInstalledByAgent;
  return [
    {
      id: 'cni-conflist-missing',
      ...(isMeant && { severity: 'warning' }),
      cause: cni.isWithdrawn
        ? '`flanneld withdraw` has removed the CNI configuration, so no new pod starts here'
        : 'there is no CNI configuration of Weft, so no new pod starts here with it',
      evidence: `no file ${path}`,
      fix: `on ${node}: restart the agent with --cni-conf; it writes the file once the node forwards`,
    },
  ];
}

/** A meta plugin such as Multus sorts first on purpose, and calls ours. */
function shadowed({ cni, node }: View): Draft[] {
  return cni.earlier.map(({ name, types }): Draft => {
    const isMeta = types.some((type) => type === 'flannel' || type.startsWith('multus'));
    const path = join(cni.confDir, name);
    return {
      id: 'cni-conflist-shadowed',
      ...(isMeta && { severity: 'info' }),
      cause: isMeta
        ? `the runtime uses ${name} first, which calls other plugins`
        : `the runtime uses ${name} for new pods, and not Weft’s configuration`,
      evidence: `${path} sorts before ${CONFLIST_NAME}; its plugins: ${types.join(', ') || 'unreadable'}`,
      fix: run(node, `rm ${path}`, 'find out who put it there'),
    };
  });
}

function plugins({ cni, node }: View): Draft[] {
  return cni.missing.map(({ name, why }) => {
    const path = join(cni.binDir, name);
    return {
      id: 'cni-plugin-missing',
      cause: `a plugin that every new pod needs ${why}, so no pod starts here`,
      evidence: `${path} ${why}`,
      fix:
        why === 'is not executable'
          ? run(node, `chmod 755 ${path}`)
          : `on ${node}: restart the agent, which installs Weft’s plugins; install the others from the package containernetworking-plugins`,
    };
  });
}

/** flannel's own plugin works, only slower. The agent reports it. */
function foreign({ cni, node }: View): Draft[] {
  if (cni.flannel === undefined || cni.flannel === 'ours' || cni.flannel === 'same') return [];
  const isFlannel = cni.flannel === 'go';
  return [
    {
      id: 'cni-plugin-foreign',
      ...(isFlannel && { severity: 'info' }),
      cause: isFlannel
        ? 'flannel’s own CNI plugin is installed, with which pods start more slowly than with Weft’s'
        : 'the CNI executable flannel is neither Weft’s nor flannel’s',
      evidence: `${join(cni.binDir, 'flannel')} does not have Weft’s mark`,
      fix: `on ${node}: start the agent with --cni-bin-replace=flannel, which keeps a copy of the other file`,
    },
  ];
}

function state({ cni, node }: View): Draft[] {
  const seen = new Map(cni.unwritable.map(({ folder, why }) => [why, folder]));
  return [...seen].map(([why, folder]) => ({
    id: 'cni-state-unwritable',
    cause: 'the plugins cannot write their files about pods, so no pod starts here',
    evidence: `${folder}: ${why}`,
    fix: why.startsWith('read-only')
      ? run(node, `mount -o remount,rw $(stat -c %m ${folder})`, 'read in dmesg why the file system became read-only')
      : `on ${node}: free space on the file system of ${folder}`,
  }));
}
