import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { parsePrefix } from '../../lib/ip.ts';
import { recordingLog } from '../../test/support/recording-log.ts';
import { describeContract } from '../../test/support/store-contract.ts';
import { createDirectoryManager } from './directory.ts';
import { renderLeaseFile } from './lease-file.ts';

describeContract({
  name: 'directory',
  agents: 8,
  cutsSubnets: true,
  makeSite(netConf) {
    const root = mkdtempSync(join(tmpdir(), 'weft-contract-'));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const dir = join(root, 'leases');
    mkdirSync(dir);
    const netConfigPath = join(root, 'net-conf.json');
    writeFileSync(netConfigPath, JSON.stringify(netConf));
    const { log } = recordingLog();
    const write = (node: string, text: string): Promise<void> => {
      writeFileSync(join(dir, `${node}.json`), text);
      return Promise.resolve();
    };
    return Promise.resolve({
      manager(nodeName) {
        const options = { dir, nodeName, netConfigPath, previous: {}, log, random: Math.random, periodMs: 60_000 };
        return Promise.resolve(createDirectoryManager(options));
      },
      keyOf: (node) => node,
      putPeer(node, subnets, attributes) {
        const prefixes = subnets.split(' ').map(parsePrefix);
        const subnet = prefixes.find(({ ip }) => ip.family === 4);
        const ipv6Subnet = prefixes.find(({ ip }) => ip.family === 6);
        return write(
          node,
          renderLeaseFile({ ...attributes, ...(subnet && { subnet }), ...(ipv6Subnet && { ipv6Subnet }) }),
        );
      },
      spoil: (node) => write(node, '{"Subnet":'),
      remove(node) {
        rmSync(join(dir, `${node}.json`));
        return Promise.resolve();
      },
    });
  },
});
