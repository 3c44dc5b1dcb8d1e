// The API server, as a pod's service account may ask it; and a node's kubelet, for the times of its runtime calls.
const https = require('node:https');
const { readFileSync } = require('node:fs');

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const read = (name) => readFileSync(`${ACCOUNT}/${name}`, 'utf8');

function ask({ host, port, ca, method = 'GET', path, body, type = 'application/json' }) {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${read('token')}`,
      ...(body === undefined ? {} : { 'content-type': type }),
    };
    const tls = ca === undefined ? { rejectUnauthorized: false } : { ca };
    const request = https.request({ host, port, method, path, headers, timeout: 30_000, ...tls }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => {
        if (response.statusCode < 300) return resolve(text);
        reject(new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 200)}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer`)));
    request.on('error', reject);
    request.end(body);
  });
}

/** Calls the API server. Resolves to its JSON. */
async function api(method, path, body, type) {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  const text = await ask({
    host,
    port,
    ca: read('ca.crt'),
    method,
    path,
    type,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return JSON.parse(text);
}

/**
 * The number and the sum of seconds of the sandboxes that a node's kubelet has had its runtime make, each with its ADD; undefined where
 * the kubelet does not answer us. A kubelet's certificate is signed by itself.
 */
async function sandboxes({ host, port }) {
  try {
    const text = await ask({ host, port, path: '/metrics' });
    const value = (name) =>
      [
        ...text.matchAll(new RegExp(`^kubelet_run_podsandbox_duration_seconds_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm')),
      ].reduce((sum, [, number]) => sum + Number(number), 0);
    return { count: value('count'), sum: value('sum') };
  } catch {
    return undefined;
  }
}

module.exports = { api, sandboxes };
