import { expect, test } from 'vitest';
import type { Netlink } from '../../lib/netlink/connection.ts';
import { countingNetlink } from './counting.ts';

test('counts every message that changes something, also in a batch, and no question', () => {
  const silent: Netlink = {
    run: () => undefined,
    execute: () => [],
    get: () => undefined,
    dump: () => [],
    close: () => undefined,
  };
  const request = { type: 16, flags: 0, write: () => undefined, describe: () => 'set link' };
  const { netlink, counted } = countingNetlink(silent);
  netlink.run(request);
  netlink.execute([request, request, request]);
  netlink.get(request, () => 1);
  netlink.dump(request, () => 1);
  expect(counted).toEqual({ changes: 4, questions: 2 });
});
