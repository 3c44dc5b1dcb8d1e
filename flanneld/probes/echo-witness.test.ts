import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openKoffiSyscalls } from '../../lib/sys/koffi.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { EchoAsker } from './ask-echo.ts';
import { isReply, ofLines, ofTable, watchEchoes, withoutIpHeader } from './echo-witness.ts';

describe('the kernel’s counters', () => {
  test('are read by name', () => {
    const text = 'Ip: A B\nIp: 1 2\nIcmp: InMsgs InEchoReps\nIcmp: 9 7\nIcmpMsg: InType0\nIcmpMsg: 3\n';
    expect(ofTable(text, 'Icmp', 'InEchoReps')).toBe(7);
    expect(ofLines('Icmp6InEchos           \t4\nIcmp6InEchoReplies              \t12\n', 'Icmp6InEchoReplies')).toBe(
      12,
    );
  });

  test('exist under these names in this kernel', () => {
    expect(readFileSync('/proc/net/snmp', 'utf8')).toMatch(/^Icmp: .*\bInEchoReps\b/m);
    expect(readFileSync('/proc/net/snmp6', 'utf8')).toMatch(/^Icmp6InEchoReplies\s/m);
  });

  test('are used where there is no raw socket', async () => {
    const witness = await watchEchoes(openKoffiSyscalls(), 4, 1);
    expect(witness.count()).toBeGreaterThanOrEqual(0);
    witness.close();
  });
});

test('a raw socket’s packets are told apart by type and identifier, behind a header of any length', () => {
  const reply = Uint8Array.of(0, 0, 0, 0, 0x12, 0x34, 0, 1);
  expect([isReply(reply, 0, 0x1234), isReply(reply, 0, 0x1235), isReply(reply, 129, 0x1234)]).toEqual([
    true,
    false,
    false,
  ]);
  expect(isReply(reply.subarray(0, 7), 0, 0x1234)).toBe(false);
  expect(withoutIpHeader(Buffer.concat([Uint8Array.of(0x46), Buffer.alloc(23), reply]))).toEqual(Buffer.from(reply));
});

test('at most four wait for their turn', async () => {
  const clock = new FakeClock();
  const asker = new EchoAsker({ sys: openKoffiSyscalls(), clock });
  let sent = 0;
  const asked = Array.from({ length: 6 }, (_, id) => asker.ask(4, id, () => void sent++));
  expect(await Promise.all(asked.slice(4))).toEqual([{ kind: 'silent' }, { kind: 'silent' }]);
  let isDone = false;
  const done = Promise.all(asked).finally(() => {
    isDone = true;
  });
  while (!isDone) await clock.advance(500);
  await done;
  expect(sent).toBe(4 * 16);
});
