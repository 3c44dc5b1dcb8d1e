import { expect, onTestFinished, test } from 'vitest';
import { parseIp } from '../ip.ts';
import { openUdp, portOf, readArrivals, sendDatagram } from './datagram.ts';
import { closeFd } from './file.ts';
import { openKoffiSyscalls } from './koffi.ts';

const sys = openKoffiSyscalls();

function open(text: string) {
  const address = parseIp(text);
  const fd = openUdp(sys, { family: 4, address, port: 0 });
  return { fd, to: { ip: address, port: portOf(sys, fd) }, close: () => closeFd(sys, fd) };
}

test('all packets are read in one call, although each answer to one is refused at once', () => {
  const [reader, sender, gone] = [open('127.0.61.1'), open('127.0.61.2'), open('127.0.61.3')];
  onTestFinished(reader.close);
  onTestFinished(sender.close);
  gone.close();
  for (let at = 0; at < 20; at++) expect(sendDatagram(sys, sender.fd, reader.to, Uint8Array.of(at))).toBe(1);
  const read: number[] = [];
  readArrivals(sys, reader.fd, 4, ({ payload }) => {
    read.push(payload[0] ?? -1);
    sendDatagram(sys, reader.fd, gone.to, Uint8Array.of(0));
  });
  expect(read).toEqual(Array.from({ length: 20 }, (_, at) => at));
});
