// What the driver measures from where it is: round trips, a stream of TCP, and how far two clocks are apart.
const dgram = require('node:dgram');
const net = require('node:net');
const http = require('node:http');
const { PORTS, nowUs } = require('./common.cjs');

const LOST_MS = 1000;
const CHUNK = Buffer.alloc(256 * 1024);

/** What a pod that serves answers. Rejects with its error. */
function getJson(address, path = '/', timeout = 5000) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: address, port: PORTS.http, path, timeout, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => {
        const body = JSON.parse(text);
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(body.error));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${address}: no answer`)));
    request.on('error', reject);
  });
}

/** `count` exchanges of one small packet, one after the other. Resolves to [sent, answered there, answer here] in µs; null when lost. */
async function exchanges(address, count) {
  const socket = dgram.createSocket('udp4');
  const results = [];
  try {
    await new Promise((resolve) => void socket.bind(0, resolve));
    for (let number = 0; number < count; number += 1) results.push(await exchange(socket, address, number));
  } finally {
    socket.close();
  }
  return results;
}

function exchange(socket, address, number) {
  return new Promise((resolve) => {
    const sent = nowUs();
    const end = (result) => {
      clearTimeout(timer);
      socket.off('message', hear);
      resolve(result);
    };
    const hear = (message) => {
      const [echoed, there] = String(message).split(' ');
      if (Number(echoed) === number) end([sent, Number(there), nowUs()]);
    };
    const timer = setTimeout(end, LOST_MS, null);
    socket.on('message', hear);
    socket.send(String(number), PORTS.echo, address);
  });
}

/** Exchanges a second, from `count` of them. */
async function pingPong(address, count) {
  const start = performance.now();
  const done = (await exchanges(address, count)).filter((one) => one !== null).length;
  if (done < count / 2) throw new Error(`${count - done} of ${count} packets were not answered`);
  return (done * 1000) / (performance.now() - start);
}

/** How far the clock at `address` is ahead, in µs, by the quickest of many exchanges, and by how much that may be wrong. */
async function clockOffset(address, count = 200) {
  const quickest = (await exchanges(address, count))
    .filter((one) => one !== null)
    .sort((a, b) => a[2] - a[0] - (b[2] - b[0]))[0];
  if (quickest === undefined) throw new Error(`${address}: no answer to ${count} packets`);
  const [sent, there, back] = quickest;
  return { aheadUs: there - (sent + back) / 2, uncertainUs: (back - sent) / 2 };
}

/** Gbit/s of one TCP stream of `ms`, by what the pod at `counter` has counted. */
async function throughput(address, counter, ms) {
  const before = await getJson(counter);
  const socket = net.connect(PORTS.sink, address);
  socket.setTimeout(ms + 5000, () => socket.destroy(new Error('no answer')));
  let start = 0;
  const isDone = () => performance.now() - start >= ms;
  await new Promise((resolve, reject) => {
    const pump = () => {
      while (!isDone()) if (!socket.write(CHUNK)) return;
      socket.destroy();
    };
    socket.on('error', reject).on('drain', pump).on('close', resolve);
    socket.once('connect', () => {
      start = performance.now();
      pump();
    });
  });
  const seconds = (performance.now() - start) / 1000;
  const after = await getJson(counter);
  return ((after.bytes - before.bytes) * 8) / seconds / 1e9;
}

module.exports = { getJson, exchanges, pingPong, clockOffset, throughput };
