import { describe, expect, test } from 'vitest';
import { isSecretName, LEFT_OUT, scrub, scrubArgv, scrubJson } from './redact.ts';

test.for([
  ['etcd-password', true],
  ['FLANNELD_ETCD_PASSWORD', true],
  ['k8s_auth_token', true],
  ['PrivateKey', true],
  ['PSK', true],
  ['client-key-data', true],
  ['PublicKey', false],
  ['Network', false],
  ['keepalive', false],
  ['command', false],
] as const)('%s is a secret: %s', ([name, want]) => {
  expect(isSecretName(name)).toBe(want);
});

describe('scrub', () => {
  const jwt = 'eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl';
  test.for([
    { name: 'a token', text: `got ${jwt} here`, want: `got ${LEFT_OUT} here` },
    { name: 'a header', text: 'authorization: Bearer abcdefgh123', want: /^authorization: "?(Bearer )?\(left out\)/ },
    {
      name: 'a private key',
      text: 'a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nb',
      want: `a\n${LEFT_OUT}\nb`,
    },
    { name: 'a private key that is cut off', text: '-----BEGIN PRIVATE KEY-----\nMHcC', want: LEFT_OUT },
    { name: 'a URL', text: 'https://me:hush@etcd:2379/x', want: `https://${LEFT_OUT}@etcd:2379/x` },
    {
      name: 'a WireGuard key',
      text: 'psk 4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8= end',
      want: `psk ${LEFT_OUT} end`,
    },
    { name: 'an assignment', text: 'x password=hush y', want: `x password="${LEFT_OUT}" y` },
    { name: 'a JSON member', text: '{"token": "hu\\"sh", "a": 1}', want: `{"token": "${LEFT_OUT}", "a": 1}` },
  ])('takes out $name', ({ text, want }) => {
    if (typeof want === 'string') expect(scrub(text)).toBe(want);
    else expect(scrub(text)).toMatch(want);
  });

  test('keeps text that is no secret', () => {
    const text =
      'route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink; mac 0a:00:00:00:00:01 {"VNI": 1, "Port": 8472}\n' +
      '{"command": ["/opt/weft/flanneld"], "tokens": []}\nsha256 db3cf9cc84d8 http://127.0.0.1:8081/readyz?verbose fe80::1%eth0 2026-11-29T02:00:00Z';
    expect(scrub(text)).toBe(text);
  });
});

test('does not change scrubbed text again', () => {
  for (const text of ['password=hush', '--etcd-password=hush', '{"token":"hush"}', 'Bearer abcdefgh', 'https://a:b@c/'])
    expect(scrub(scrub(text))).toBe(scrub(text));
  expect(scrub(`--etcd-password=${LEFT_OUT}`)).toBe(`--etcd-password=${LEFT_OUT}`);
});

test('removes the values of secret keys of JSON, at any depth', () => {
  const text =
    '{"Network":"10.0.0.0/8","Backend":{"Type":"extension","PSK":"a","PreStartupCommand":"wg set"},"l":[{"token":{"x":1}}]}';
  expect(JSON.parse(scrubJson(text) ?? '')).toEqual({
    Network: '10.0.0.0/8',
    Backend: { Type: 'extension', PSK: LEFT_OUT, PreStartupCommand: LEFT_OUT },
    l: [{ token: LEFT_OUT }],
  });
  expect(scrubJson('no json')).toBeUndefined();
});

test('removes the values of secret flags of a command line, however they are written', () => {
  expect(
    scrubArgv(['flanneld', '--etcd-password=a', '-etcd-password', 'b', '--iface=eth0', '--kube-subnet-mgr']),
  ).toEqual([
    'flanneld',
    `--etcd-password=${LEFT_OUT}`,
    '-etcd-password',
    LEFT_OUT,
    '--iface=eth0',
    '--kube-subnet-mgr',
  ]);
});
