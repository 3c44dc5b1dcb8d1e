import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseIp, parsePrefix } from '../../lib/ip.ts';
import { parseJson } from '../../lib/json.ts';
import { recordingLog } from '../../test/support/recording-log.ts';
import type { Lease } from './manager.ts';
import { readSavedLease, renderSavedLease } from './saved-lease.ts';
import { parseSavedState, type SavedState, StateWriter } from './saved-state.ts';

const stateOf = (count: number): SavedState => {
  const lease = (at: number): Lease => ({
    backendType: 'host-gw',
    subnet: parsePrefix(`10.${at >> 8}.${at & 255}.0/24`),
    publicIp: parseIp('192.168.0.1'),
  });
  const leases = new Map(Array.from({ length: count }, (_, at) => [`node-${at}`, lease(at)]));
  return { store: 'test', netConf: undefined, own: undefined, snapshot: { leases, problems: [] } };
};

test('a state saved while thousands of leases are being written is in the file when flush returns', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-saved-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'leases.json');
  const writer = new StateWriter(file, recordingLog().log, 60_000);
  const read = (): SavedState => parseSavedState(readFileSync(file, 'utf8'));
  const many = stateOf(3000);
  writer.save(many);
  await expect.poll(() => existsSync(`${file}.tmp`), { interval: 1 }).toBe(true);
  writer.save(stateOf(3));
  await writer.flush();
  expect(read()).toEqual(stateOf(3));
  writer.save(many);
  await writer.flush();
  expect(read()).toEqual(many);
});

test('the needed parts of the key of a node that moves to another backend are saved', () => {
  const told = parseJson('{"Type":"wireguard","PublicKey":"k","Port":51820,"PortV6":51821,"x":"large"}');
  const saved = renderSavedLease('n', { backendType: 'vxlan', subnet: parsePrefix('10.0.1.0/24'), moveData: told });
  const [, lease] = readSavedLease(saved);
  expect(lease.moveData).toEqual(parseJson('{"Type":"wireguard","PublicKey":"k","Port":51820,"PortV6":51821}'));
});
