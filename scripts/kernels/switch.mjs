// A switch of virtual machines: each connects by a Unix socket (QEMU's -netdev stream) and gets every frame that another one sends. No
// device of this machine and no right is needed.

import { createServer } from 'node:net';

/** A frame is preceded by its length. */
const HEAD_BYTES = 4;

/** Resolves with a function that ends it. */
export async function startSwitch(path) {
  const ports = new Set();
  const server = createServer((port) => {
    ports.add(port);
    const take = frames((frame) => {
      for (const other of ports) if (other !== port) other.write(frame);
    });
    port.on('data', take);
    port.on('error', () => port.destroy());
    port.on('close', () => ports.delete(port));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve));
  return async () => {
    for (const port of ports) port.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
}

/** A function that takes bytes of a stream, and calls `each` with every complete frame and its header. */
function frames(each) {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUInt32BE(0);
      if (rest.length < end) return;
      each(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}
