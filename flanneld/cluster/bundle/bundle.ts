// `kubectl weft bundle`: an archive for an issue report. It contains the status and the findings of every node, and for some nodes, those
// with errors first, also the kernel's objects and the log.

import { writeFileSync } from 'node:fs';
import { errorText } from '../../../lib/errors.ts';
import { type JsonObject, stringifyJson } from '../../../lib/json.ts';
import { scrub, scrubJson } from '../../../lib/redact.ts';
import { version } from '../../../lib/version.ts';
import type { Finding } from '../../health/finding.ts';
import { agentOf, type Cluster, type ClusterNode } from '../ask/agents.ts';
import { askAgent } from '../ask/ask-agent.ts';
import { type Answer, askAll } from '../ask/bounded.ts';
import { fieldsOf, listOf, textOf } from '../ask/cluster-api.ts';
import { findingsText } from '../findings/findings-text.ts';
import { mergeFindings } from '../findings/merge-findings.ts';
import { readFindings } from '../findings/read-findings.ts';
import { objectField, readNodeReport } from '../node-report.ts';
import { statusTable } from '../status-table.ts';
import { askAgents, type Surroundings, theCluster } from '../surroundings.ts';
import { daemonSetObject, nodeObject } from './cluster-objects.ts';
import { limitFiles, readme } from './contents.ts';
import { type ArchiveFile, makeTarGz } from './tar.ts';

const LOG_LINES = 2000;
/** A file name in the archive has at most 100 octets, and some of them follow the node's name. */
const MAX_NODE_NAME = 60;

/** Exit code 0 when all nodes answered. */
export async function bundleCommand(around: Surroundings): Promise<number> {
  const { options, say } = around;
  const cluster = await theCluster(around);
  const made = new Date();
  const statuses = await askAgents(around, cluster.nodes, ['status'], (answer) => answer);
  const findings = await askAgents(around, cluster.nodes, ['doctor'], readFindings);
  const chosen = chooseNodes(cluster.nodes, findings, options.nodes);
  const details = await askDetails(around, chosen);
  const files = [
    ...summaryFiles(statuses, findings),
    ...(await objectFiles(around, cluster)),
    ...statuses.map((answer) => nodeFile(answer, 'status.json', (value) => stringifyJson(value, { indent: 2 }))),
    ...details.flatMap((answer) => ('value' in answer ? answer.value : [nodeFile(answer, 'details', () => '')])),
  ].map(({ name, text }) => ({ name, text: scrub(text) }));
  const { kept, cut } = limitFiles(files);
  const silent = statuses.flatMap((answer) => ('problem' in answer ? [`${answer.node}: ${answer.problem}`] : []));
  const detailed = chosen.map(({ name }) => name);
  const about = readme({ made, version, nodes: cluster.nodes.length, detailed, silent, cut, files: kept });
  const file = options.output ?? 'weft-bundle.tar.gz';
  writeFileSync(file, makeTarGz([{ name: 'README.txt', text: about }, ...kept], made), { mode: 0o600 });
  say(
    `${file}: ${kept.length + 1} files about ${cluster.nodes.length} nodes, ${chosen.length} of them in detail; read the archive before you pass it on`,
  );
  for (const line of silent) say(`did not answer: ${line}`);
  return silent.length === 0 ? 0 : 1;
}

/** Chooses at most `count` nodes: first those with errors, then those that other nodes report errors about. */
function chooseNodes(
  nodes: readonly ClusterNode[],
  findings: readonly Answer<Finding[]>[],
  count: number,
): ClusterNode[] {
  const errors = findings
    .flatMap((answer) => ('value' in answer ? answer.value : []))
    .filter(({ severity }) => severity === 'error');
  const score = new Map<string, number>();
  for (const { node, peer = '' } of errors) {
    score.set(node, (score.get(node) ?? 0) + 1);
    score.set(peer, (score.get(peer) ?? 0) + 1);
  }
  return nodes.toSorted((a, b) => (score.get(b.name) ?? 0) - (score.get(a.name) ?? 0)).slice(0, count);
}

function summaryFiles(statuses: readonly Answer<JsonObject>[], findings: readonly Answer<Finding[]>[]): ArchiveFile[] {
  const reports = statuses.map((answer) =>
    'value' in answer ? { node: answer.node, value: readNodeReport(answer.value, answer.node) } : answer,
  );
  const all = findings.flatMap((answer) => ('value' in answer ? answer.value : []));
  return [
    { name: 'status.txt', text: statusTable(reports) },
    { name: 'findings.txt', text: findingsText(mergeFindings(all), findings) },
    { name: 'findings.json', text: JSON.stringify(all, null, 2) },
  ];
}

/** The API server's version, Nodes, DaemonSets and their ConfigMaps. If something may not be read, its file says so. */
async function objectFiles(
  { api, signal }: Surroundings,
  { nodeObjects, daemonSets }: Cluster,
): Promise<ArchiveFile[]> {
  const json = (value: unknown): string => JSON.stringify(value, null, 2);
  const maps = daemonSets.flatMap((each) => {
    const namespace = textOf(fieldsOf(each['metadata'])['namespace']);
    const volumes = listOf(fieldsOf(fieldsOf(fieldsOf(each['spec'])['template'])['spec'])['volumes']);
    return volumes
      .map(({ configMap }) => textOf(fieldsOf(configMap)['name']))
      .filter(Boolean)
      .map((name) => ({ namespace, name }));
  });
  const files: ArchiveFile[] = [
    { name: 'cluster/version.json', text: await orWhy(async () => json(await api.get('/version', signal))) },
    { name: 'cluster/nodes.json', text: json(nodeObjects.map(nodeObject)) },
    { name: 'cluster/daemonsets.json', text: json(daemonSets.map(daemonSetObject)) },
  ];
  for (const [at, { namespace, name }] of maps.entries()) {
    const text = await orWhy(async () => {
      const map = await api.get(
        `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${encodeURIComponent(name)}`,
        signal,
      );
      const data = Object.entries(fieldsOf(map['data'])).map(
        ([key, value]) => `==> ${key}\n${scrubJson(textOf(value)) ?? 'not valid JSON, left out'}\n`,
      );
      return `${namespace}/${name}\n${data.join('')}`;
    });
    files.push({ name: `cluster/configmap-${at + 1}.txt`, text });
  }
  return files;
}

/** The kernel's objects and the log; all files of one node are read before the next node. */
async function askDetails(around: Surroundings, nodes: readonly ClusterNode[]): Promise<Answer<ArchiveFile[]>[]> {
  const { api, options, progress, signal } = around;
  const { parallel, timeoutMs } = options;
  const ask = async (node: ClusterNode): Promise<ArchiveFile[]> => {
    const log = { name: pathOf(node.name, 'agent.log'), text: await orWhy(() => readLog(around, node)) };
    const answer = await askAgent(api.access, node, ['snapshot'], { timeoutMs, signal });
    const texts = [...objectField(answer, 'files')].map(([name, text]) => ({
      name: pathOf(node.name, safeName(name)),
      text: typeof text === 'string' ? text : '',
    }));
    return [log, ...texts];
  };
  return await askAll({ items: nodes, parallel, nodeOf: ({ name }) => name, ask, progress, signal });
}

async function readLog({ api, signal }: Surroundings, node: ClusterNode): Promise<string> {
  const { namespace, pod, container } = agentOf(node);
  const query = new URLSearchParams({ container, tailLines: String(LOG_LINES) });
  return await api.text(
    `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/log?${query}`,
    signal,
  );
}

function nodeFile<T>(answer: Answer<T>, name: string, text: (value: T) => string): ArchiveFile {
  if ('value' in answer) return { name: pathOf(answer.node, name), text: text(answer.value) };
  return { name: pathOf(answer.node, `${name}.missing`), text: `${answer.problem}\n` };
}

function pathOf(node: string, name: string): string {
  return `nodes/${node.slice(0, MAX_NODE_NAME)}/${name}`;
}

/** Keeps a node that was taken over from naming a file outside of its folder. */
function safeName(name: string): string {
  return name
    .replaceAll(/[^\w./-]/g, '_')
    .replaceAll(/\.{2,}/g, '_')
    .replace(/^\/+/, '')
    .slice(0, 32);
}

async function orWhy(read: () => Promise<string>): Promise<string> {
  try {
    return await read();
  } catch (error) {
    return `not read: ${errorText(error)}\n`;
  }
}
