// The reference of every key that a user can set, as Markdown, from the tables that the programs themselves read.

import {
  bandwidthDocs,
  bridgeDocs,
  commonDocs,
  flannelDocs,
  hostLocalDocs,
  portmapDocs,
} from '../../cni-plugin/key-docs.ts';
import { BACKENDS } from '../../flanneld/backend/registry.ts';
import { type FlagSpec, flagTable } from '../../flanneld/cli/flag-table.ts';
import type { KeyDoc } from '../../lib/key-doc.ts';
import { netConfDocs } from '../../lib/net-conf-docs.ts';
import { type ChartSchema, chartRows, type Row } from './chart.ts';

const HEAD = `# Reference

Every flag and key: what it takes, and what is meant where it is not given. Made by \`node scripts/reference.mjs\` from the
tables the programs read; a test fails when this file is older than they are. What goes where is in [README.md](README.md).
`;

const flagIntro = `Also as \`FLANNELD_<FLAG>\`, upper case with \`_\` for \`-\`; flannel's spellings (\`-iface=eth0\`) are taken. A boolean is set
false with \`--flag=false\`.`;
const netConfIntro = `The file of \`--net-config-path\` (the key \`net-conf.json\` of the ConfigMap), or etcd's \`<prefix>/config\`. Keys in any case; an
unknown one is a warning in the log.`;
const chartIntro = 'Names are those of flannel’s chart; helm refuses what the schema does not allow.';
const cniIntro = `## CNI configuration

Keys of the entries of \`plugins\` in the conflist, in any case. Unknown ones are ignored; but one that \`bridge\` or \`host-local\`
does not know has the executable of that name in CNI_PATH do the work, when that is another vendor's.
`;

/** The text of the whole file. `schema` and `values` are those of the chart. */
export function renderReference(schema: ChartSchema, values: object): string {
  const backends = BACKENDS.filter(({ keys }) => Object.keys(keys).length > 0);
  return [
    HEAD,
    section('Flags of flanneld', flagIntro, 'flag', flagTable.map(flagRow)),
    section('net-conf.json', netConfIntro, 'key', keyRows(netConfDocs)),
    ...backends.map(({ type, keys }) => section(`Backend: ${type}`, '', 'key', keyRows({ Type: TYPE, ...keys }), 3)),
    `### Backends with no key but Type\n\n${plainBackends().join(', ')}.\n`,
    cniIntro,
    section('Every plugin', '', 'key', keyRows(commonDocs), 3),
    section('flannel', '', 'key', keyRows(flannelDocs), 3),
    section('bridge', 'Also what `delegate` of flannel takes.', 'key', keyRows(bridgeDocs), 3),
    section('host-local', 'Keys of `ipam`; those with a dot stand at the top.', 'key', keyRows(hostLocalDocs), 3),
    section('portmap', '', 'key', keyRows(portmapDocs), 3),
    section('bandwidth', '', 'key', keyRows(bandwidthDocs), 3),
    '### loopback\n\nNone of its own.\n',
    section('Chart values', chartIntro, 'value', chartRows(schema, values)),
  ].join('\n');
}

const TYPE: KeyDoc = { type: 'string', help: 'the name of the backend, in any case; required' };

function plainBackends(): string[] {
  return BACKENDS.filter(({ keys }) => Object.keys(keys).length === 0).map(({ type }) => type);
}

function section(title: string, intro: string, first: string, rows: readonly Row[], level = 2): string {
  const lines = [`${'#'.repeat(level)} ${title}`, ''];
  if (intro !== '') lines.push(intro, '');
  lines.push(`| ${first} | takes | default | what it does |`, '|---|---|---|---|');
  for (const [key, takes, standard, help] of rows) {
    lines.push(`| \`${key}\` | ${cell(takes)} | ${standard === '' ? '' : `\`${cell(standard)}\``} | ${cell(help)} |`);
  }
  return `${lines.join('\n')}\n`;
}

/** Escapes a cell's text, because a bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function flagRow({ name, value, help, default: standard = '', range }: FlagSpec): Row {
  return [`--${name}`, spanOf(value ?? 'boolean', range), standard, help];
}

function keyRows(docs: Readonly<Record<string, KeyDoc>>): Row[] {
  return Object.entries(docs).map(([key, { type, range, default: standard, help }]) => [
    key,
    spanOf(type, range),
    standard === undefined ? '' : JSON.stringify(standard),
    help,
  ]);
}

function spanOf(type: string, range: readonly [number, number] | undefined): string {
  return range === undefined ? type : `${type}, ${range[0]}–${range[1]}`;
}
