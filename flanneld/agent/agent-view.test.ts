import { describe, expect, test } from 'vitest';
import { storeChecks } from '../health/store-check.ts';
import { AgentView } from './agent-view.ts';

const drift = {
  object: 'route',
  place: 'flannel.1',
  what: 'node-2',
  was: 'missing',
  cmd: 'ip route replace x',
} as const;

function ready(): AgentView {
  const view = new AgentView('node-1');
  view.readiness.expect(['vxlan'], () => []);
  return view;
}

describe('the findings of an agent', () => {
  test('are none when nothing is wrong', () => {
    expect(ready().findings()).toEqual([]);
  });

  test('name a repair that another program undoes again and again, and are counted in the metrics', async () => {
    const view = ready();
    for (let times = 0; times < 3; times++) view.drift.note(drift);
    expect(view.findings()).toEqual([]);
    view.drift.note(drift);
    const want = { id: 'object-fought-over', severity: 'warning', node: 'node-1' };
    expect(view.report().findings).toMatchObject([want]);
    expect(await metricsOf(view)).toContain('flannel_findings{id="object-fought-over",severity="warning"} 1\n');
  });

  test('name a store that does not answer, with the text of its error', async () => {
    const view = ready();
    view.readiness.show('store', () => storeChecks([{ text: 'watch failed: ECONNREFUSED', since: new Date(0) }]));
    const evidence = 'since 1970-01-01T00:00:00.000Z: watch failed: ECONNREFUSED';
    expect(view.report().findings).toMatchObject([{ id: 'store-unreachable', severity: 'warning', evidence }]);
    expect(await metricsOf(view)).toContain('flannel_findings{id="store-unreachable",severity="warning"} 1\n');
  });
});

async function metricsOf(view: AgentView): Promise<string> {
  const page = view.metricsPages().get('/metrics');
  return (await page?.(new URLSearchParams()))?.text ?? '';
}
