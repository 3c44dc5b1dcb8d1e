// What must not leave a node in a report for others: passwords, tokens, private keys. The first rule is to leave whole parts out; this
// is the second one, for texts that are passed on: whatever has the form of a secret is taken out of them.

/** Stands where something was left out. */
export const LEFT_OUT = '(left out)';

/** Names of keys, flags and variables whose values are secrets. A public key is none. */
const SECRET_NAME =
  /passw|passphrase|secret|token|psk|presharedkey|privatekey|apikey|clientkey|keydata|credential|authorization/;
/** Keys of net-conf (`PostStartupCommand`) whose values are commands for a shell, with whatever somebody wrote there. */
const COMMAND_KEY = /^[A-Za-z]+Command$/;

/** In any spelling: `etcd-password`, `k8s_auth_token`, `PrivateKey`. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  return SECRET_NAME.test(plain);
}

const FORMS: readonly (readonly [RegExp, string])[] = [
  // PEM, of whatever is private (RFC 7468).
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, LEFT_OUT],
  // A JSON Web Token, as service accounts have (RFC 7519).
  [/\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*/g, LEFT_OUT],
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${LEFT_OUT}`],
  // A user and a password in a URL (RFC 3986).
  [/:\/\/[^\s/@"']+@/g, `://${LEFT_OUT}@`],
  // 32 octets in Base64, as WireGuard writes keys.
  [/(?<![\w+/])[\w+/]{42}[AEIMQUYcgkosw480]=(?![\w=])/g, LEFT_OUT],
];
/** `name=value`, `name: value`, `"name": "value"`. */
const ASSIGNED = /(["']?)([\w.-]{2,64})\1(\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;{}[\]()"']+)/g;

/** The text without what looks like a secret. */
export function scrub(text: string): string {
  const formless = FORMS.reduce((rest, [form, by]) => rest.replace(form, by), text);
  return formless.replace(ASSIGNED, (all, quote: string, name: string, sign: string) =>
    isSecretName(name) ? `${quote}${name}${quote}${sign}"${LEFT_OUT}"` : all,
  );
}

/** A JSON document's text without the values of secret keys; undefined when it is no JSON. */
export function scrubJson(text: string): string | undefined {
  try {
    return scrub(
      JSON.stringify(
        JSON.parse(text, (key, value: unknown) => (isSecretName(key) || COMMAND_KEY.test(key) ? LEFT_OUT : value)),
        null,
        2,
      ),
    );
  } catch {
    return undefined;
  }
}

/** A command line without the values of secret flags: `--etcd-password=x`, `--etcd-password x`. */
export function scrubArgv(argv: readonly string[]): string[] {
  let isValue = false;
  return argv.map((word) => {
    if (isValue) {
      isValue = false;
      return LEFT_OUT;
    }
    const [, name = '', assigned] = /^--?([\w-]+)(=)?/.exec(word) ?? [];
    if (!isSecretName(name)) return scrub(word);
    isValue = assigned === undefined;
    return isValue ? word : `${word.slice(0, word.indexOf('='))}=${LEFT_OUT}`;
  });
}
