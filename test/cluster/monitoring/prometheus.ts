// A real Prometheus on a lab node, which scrapes the agents on the addresses of their nodes.

import type { LabNode } from '../../lab/lab-node.ts';
import { waitUntil } from '../../lab/processes.ts';

export const METRICS_PORT = 8082;
const HOME = '/run/prometheus';
const READY_MS = 30_000;

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Time and value. */
  readonly value: readonly [number, string];
}

export class Prometheus {
  readonly #node: LabNode;

  private constructor(node: LabNode) {
    this.#node = node;
  }

  /** `rules` is the text of a file of rules. */
  static async start(node: LabNode, targets: readonly string[], rules: string): Promise<Prometheus> {
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '900ms', evaluation_interval: '1s' },
      rule_files: [`${HOME}/rules.yml`],
      scrape_configs: [
        { job_name: 'weft', static_configs: [{ targets: targets.map((target) => `${target}:${METRICS_PORT}`) }] },
      ],
    };
    node.writeFile(`${HOME}/prometheus.yml`, JSON.stringify(config));
    node.writeFile(`${HOME}/rules.yml`, rules);
    const flags = `--config.file=${HOME}/prometheus.yml --storage.tsdb.path=${HOME}/data --web.listen-address=127.0.0.1:9090`;
    await node.run(['sh', '-c', `prometheus ${flags} >${HOME}/log 2>&1 & echo $! >${HOME}/pid`]);
    const prometheus = new Prometheus(node);
    const isUp = async (): Promise<boolean> => {
      const up = await prometheus.query('up').catch(() => []);
      return up.length === targets.length && up.every(({ value }) => value[1] === '1');
    };
    await waitUntil(isUp, READY_MS, `Prometheus: ${node.readFile(`${HOME}/log`).slice(-500)}`);
    return prometheus;
  }

  /** The result of an instant query. Rejects with Prometheus' error for a wrong query. */
  async query(expression: string): Promise<Series[]> {
    const { data, error } = await this.#get(`query?query=${encodeURIComponent(expression)}`);
    if (error !== undefined) throw new Error(`${expression}: ${error}`);
    return (data as { result: Series[] }).result;
  }

  /** The names of all scraped metrics, including those without a series at the moment. */
  async metricNames(): Promise<Set<string>> {
    const { data } = await this.#get('metadata');
    return new Set(Object.keys(data as object));
  }

  /** Names of the alerts that are pending or fire. */
  async alerts(): Promise<Set<string>> {
    const { data } = await this.#get('alerts');
    const { alerts } = data as { alerts: { labels: { alertname: string } }[] };
    return new Set(alerts.map(({ labels }) => labels.alertname));
  }

  async #get(path: string): Promise<{ data?: unknown; error?: string }> {
    const program = `fetch("http://127.0.0.1:9090/api/v1/${path}").then((r) => r.text()).then((t) => process.stdout.write(t))`;
    return JSON.parse(await this.#node.run([process.execPath, '-e', program])) as { data?: unknown; error?: string };
  }

  async stop(): Promise<void> {
    await this.#node.run(['sh', '-c', `kill $(cat ${HOME}/pid)`]);
  }
}
