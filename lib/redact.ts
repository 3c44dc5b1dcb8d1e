// Keeps passwords, tokens and private keys out of a report for others. The first rule is to leave whole parts out. This file has the second
// one, for texts that are included: whatever has the form of a secret is removed from them.

/** Takes the place of a removed secret. */
export const LEFT_OUT = '(left out)';

/** Names of keys, flags and variables whose values are secrets. A public key is not a secret. */
const SECRET_NAME =
  /passw|passphrase|secret|token|psk|presharedkey|privatekey|apikey|clientkey|keydata|credential|authorization/;
/** Keys of net-conf.json (`PostStartupCommand`) whose values are commands, which may contain anything. */
const COMMAND_KEY = /^[A-Za-z]+Command$/;

/** Recognizes the name in any spelling: `etcd-password`, `k8s_auth_token`, `PrivateKey`. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  return SECRET_NAME.test(plain);
}

const FORMS: readonly (readonly [RegExp, string])[] = [
  // Private keys in PEM (RFC 7468).
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, LEFT_OUT],
  // JSON Web Tokens, such as those of service accounts (RFC 7519).
  [/\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*/g, LEFT_OUT],
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${LEFT_OUT}`],
  // A user and a password in a URL (RFC 3986).
  [/:\/\/[^\s/@"']+@/g, `://${LEFT_OUT}@`],
  // 32 octets in Base64, as WireGuard writes keys.
  [/(?<![\w+/])[\w+/]{42}[AEIMQUYcgkosw480]=(?![\w=])/g, LEFT_OUT],
];
/** `name=value`, `name: value`, `"name": "value"`. */
const ASSIGNED = /(["']?)([\w.-]{2,64})\1(\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;{}[\]()"']+)/g;

/** The text without anything that looks like a secret. */
export function scrub(text: string): string {
  const formless = FORMS.reduce((rest, [form, by]) => rest.replace(form, by), text);
  return formless.replace(ASSIGNED, (all, quote: string, name: string, sign: string) =>
    isSecretName(name) ? `${quote}${name}${quote}${sign}"${LEFT_OUT}"` : all,
  );
}

/** A JSON document's text without the values of secret keys; undefined when it is not JSON. */
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
