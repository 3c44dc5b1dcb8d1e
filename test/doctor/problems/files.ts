// Problems of the files of agent, plugins and runtime.

import { CNI_BIN_FOLDER, CONFLIST_FOLDER, SUBNET_FILE } from '../../lab/contract.ts';
import type { Problem } from './problem.ts';

const CONFLIST = `${CONFLIST_FOLDER}/10-flannel.conflist`;

export const FILES_PROBLEMS: readonly Problem[] = [
  {
    id: 'subnet-env-missing',
    how: 'deleted while no agent runs',
    agent: 'is killed',
    make: `rm ${SUBNET_FILE}`,
    end: 'restart',
    says: ['no such file'],
  },
  {
    id: 'subnet-env-differs',
    how: 'written by another agent',
    agent: 'is killed',
    make: `sed -i 's|^FLANNEL_SUBNET=.*|FLANNEL_SUBNET=10.244.77.1/24|' ${SUBNET_FILE}`,
    end: 'restart',
    says: ['10.244.77.1/24'],
  },
  {
    id: 'cni-conflist-shadowed',
    how: 'by one of containerd',
    agent: 'runs',
    make: `echo '{"name":"x","plugins":[{"type":"ptp"}]}' > ${CONFLIST_FOLDER}/10-containerd-net.conflist`,
    end: 'fix',
    says: ['10-containerd-net.conflist', 'ptp'],
  },
  {
    id: 'cni-conflist-missing',
    how: 'deleted while no agent runs',
    agent: 'is killed',
    make: `rm ${CONFLIST}`,
    end: 'restart',
    says: ['10-flannel.conflist'],
  },
  {
    id: 'cni-conflist-invalid',
    how: 'cut off',
    agent: 'is stopped',
    make: `echo '{"plugins":[' > ${CONFLIST}`,
    end: 'fix',
    says: ['is no JSON'],
  },
  {
    id: 'cni-plugin-missing',
    how: 'deleted',
    agent: 'runs',
    make: `mv ${CNI_BIN_FOLDER}/portmap /run/portmap`,
    end: `mv /run/portmap ${CNI_BIN_FOLDER}/portmap`,
    says: ['portmap', 'is missing'],
  },
  {
    id: 'cni-plugin-missing',
    how: 'not executable',
    agent: 'runs',
    make: `chmod 644 ${CNI_BIN_FOLDER}/portmap`,
    end: 'fix',
    says: ['not executable', 'chmod 755'],
  },
  {
    id: 'cni-plugin-foreign',
    how: 'of an unknown vendor',
    agent: 'runs',
    make: `mv ${CNI_BIN_FOLDER}/flannel /run/flannel-kept && printf '#!/bin/sh\\n' > ${CNI_BIN_FOLDER}/flannel && chmod 755 ${CNI_BIN_FOLDER}/flannel`,
    end: `mv /run/flannel-kept ${CNI_BIN_FOLDER}/flannel`,
    says: ['--cni-bin-replace=flannel'],
  },
  {
    id: 'cni-state-unwritable',
    how: 'read-only',
    agent: 'runs',
    make: 'mount -t tmpfs -o ro tmpfs /var/lib/cni/networks',
    end: 'umount /var/lib/cni/networks',
    says: ['read-only file system', 'mount -o remount,rw'],
  },
  {
    id: 'cni-state-unwritable',
    how: 'full',
    agent: 'runs',
    make: 'mount -t tmpfs -o size=4k tmpfs /var/lib/cni/networks && (head -c 9000 /dev/zero > /var/lib/cni/networks/filler || true)',
    end: 'umount /var/lib/cni/networks',
    says: ['no space left on device'],
  },
  {
    id: 'address-pool-exhausted',
    how: 'by pods that are gone',
    agent: 'runs',
    make: `. ${SUBNET_FILE} && base=\${FLANNEL_SUBNET%.*} && for n in $(seq 2 254); do [ -e /var/lib/cni/networks/cbr0/$base.$n ] || printf 'dead%s\\r\\neth0' $n > /var/lib/cni/networks/cbr0/$base.$n; done`,
    end: `export PATH=$PATH:/opt/weft/bin; cd /var/lib/cni/networks/cbr0 && grep -l ^dead * | xargs rm -f`,
    after: `cd /var/lib/cni/networks/cbr0 && grep -l ^dead * | xargs -r rm -f`,
    says: ['253 of 253', 'flanneld gc'],
  },
];
