// Runs in the pods that are measured: answers UDP (a ping-pong) and TCP (a sink that counts), tells the time, keeps when the first
// packet of each new pod came, and measures other pods when the driver asks for it. `first` is a new pod: it sends its first packet as
// soon as it runs, then stays.
const dgram = require('node:dgram');
const http = require('node:http');
const net = require('node:net');
const { PORTS, nowUs } = require('./common.cjs');
const { pingPong, throughput } = require('./measure.cjs');

const SEND_EVERY_MS = 5;

/** `/udp?address=…&count=…` and `/tcp?address=…&counter=…&ms=…`: one measurement from here. */
async function measureFor(url) {
  const value = (name) => url.searchParams.get(name);
  if (url.pathname === '/udp') return await pingPong(value('address'), Number(value('count')));
  if (url.pathname === '/tcp') return await throughput(value('address'), value('counter'), Number(value('ms')));
  return undefined;
}

function serve() {
  const firsts = {};
  const echo = dgram.createSocket('udp4');
  // The answer has the time here, so that the asker can compare clocks.
  echo.on('message', (message, from) => echo.send(Buffer.from(`${message} ${nowUs()}`), from.port, from.address));
  echo.bind(PORTS.echo);
  const first = dgram.createSocket('udp4');
  first.on('message', (message, from) => {
    const at = nowUs();
    const [name, sentUs] = String(message).split(' ');
    firsts[name] ??= { sentUs: Number(sentUs), receivedUs: at };
    first.send('seen', from.port, from.address);
  });
  first.bind(PORTS.first);
  let bytes = 0;
  net
    .createServer((socket) => {
      socket.on('data', (chunk) => {
        bytes += chunk.length;
      });
      socket.on('error', () => socket.destroy());
    })
    .listen(PORTS.sink);
  const answer = (response, status, body) => response.writeHead(status).end(JSON.stringify(body));
  http
    .createServer((request, response) => {
      measureFor(new URL(request.url, 'http://here')).then(
        (measured) => answer(response, 200, measured === undefined ? { firsts, bytes } : { measured }),
        (error) => answer(response, 500, { error: error.message }),
      );
    })
    .listen(PORTS.http);
}

/** Sends until it is answered, so that a packet that is lost early shows as a later first one. */
function first(name, collector) {
  const socket = dgram.createSocket('udp4');
  const send = () => socket.send(`${name} ${nowUs()}`, PORTS.first, collector);
  const timer = setInterval(send, SEND_EVERY_MS);
  socket.on('error', () => undefined);
  socket.once('message', () => clearInterval(timer));
  send();
  setInterval(() => undefined, 60_000);
}

process.on('SIGTERM', () => process.exit(0));
const [mode, ...words] = process.argv.slice(2);
if (mode === 'first') first(...words);
else if (mode === 'serve') serve();
