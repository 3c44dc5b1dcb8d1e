// Reads a net-conf.json as the agent does: the network by lib/net-conf.ts, and the backend's keys by that backend.

import { chooseBackend } from '../../flanneld/backend/registry.ts';
import { parseNetConf } from '../../lib/net-conf.ts';

export function readWholeNetConf(text: string) {
  const { config, warnings } = parseNetConf(text);
  const { type, conf, warnings: more } = chooseBackend(config);
  return { config, backend: { type, conf }, warnings: [...warnings, ...more] };
}
