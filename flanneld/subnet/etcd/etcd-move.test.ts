// etcd leases cannot hold the key of a backend to which the cluster moves, so such a cluster refuses to move.

import { expect, test } from 'vitest';
import { recordingLog } from '../../../test/support/recording-log.ts';
import { never, nodeAttributes } from '../../../test/support/store-contract.ts';
import { createEtcdManager, etcdDefaults } from './etcd.ts';

test('Backend.MoveTo is refused before anything is asked of etcd', async () => {
  const manager = createEtcdManager({
    ...etcdDefaults,
    ...{
      endpoints: [new URL('http://127.0.0.1:1')],
      tls: { caFile: '', certFile: '', keyFile: '' },
      user: undefined,
      prefix: '/coreos.com/network',
    },
    ...{ previous: {}, earlier: undefined, log: recordingLog().log, random: Math.random },
  });
  await expect(manager.acquire({ ...nodeAttributes(1), moveData: null }, never)).rejects.toThrow(
    'net-conf: Backend.MoveTo: a cluster with its leases in etcd cannot move node by node',
  );
});
