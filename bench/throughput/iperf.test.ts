import { describe, expect, test } from 'vitest';
import { parseIperf, requireIperf } from './iperf.ts';

/** The output of iperf 3.12, without what is not read. */
const tcp = JSON.stringify({
  end: {
    sum_sent: { bits_per_second: 16_513_205_781, retransmits: 10 },
    sum_received: { bits_per_second: 16_512_645_055 },
  },
});
const udp = {
  end: {
    sum: { bits_per_second: 1_107_163_699, lost_packets: 52_155, packets: 101_020, lost_percent: 51.6 },
    sum_sent: { bits_per_second: 1_107_163_699, lost_percent: 0 },
    sum_received: { bits_per_second: 529_360_920, lost_percent: 51.6 },
  },
};

describe('what iperf3 measured', () => {
  test('is for TCP what was received, with the retransmissions', () => {
    expect(parseIperf(tcp, 'tcp')).toEqual({ gbitPerSecond: 16.512645055, lostPercent: undefined, retransmits: 10 });
  });

  test('is for UDP what was received, with the loss', () => {
    const want = { gbitPerSecond: 0.52936092, lostPercent: 51.6, retransmits: undefined };
    expect(parseIperf(JSON.stringify(udp), 'udp')).toEqual(want);
  });

  test.for([
    { name: 'its own error', text: '{"error":"error - unable to connect"}', want: /unable to connect/ },
    { name: 'a result without a sum', text: '{"end":{}}', want: /no sum/ },
  ])('is an error for $name', ({ text, want }) => {
    expect(() => parseIperf(text, 'tcp')).toThrow(want);
  });
});

test('without iperf3 the message says where it was looked for', () => {
  expect(() => requireIperf('/nowhere:/nor/here')).toThrow('/nowhere:/nor/here');
});
