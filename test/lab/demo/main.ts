// The demonstration behind `npm start`: starts a lab with pods and shows that each pod reaches every other.

import { type Lab, type LabStep, startLab } from '../lab.ts';
import { endOwnedLabs } from '../launch.ts';
import { answered, type Pair } from '../matrix.ts';
import { matrixReport, nextSteps, setupReport } from './report.ts';

export interface DemoOptions {
  readonly nodes: number;
  /** How many pods each node gets. */
  readonly pods: number;
  readonly keep: boolean;
  /** The name of the lab when it is kept. */
  readonly name: string;
}

/** Shows a step while it runs (see scripts/progress.mjs). */
export interface Progress {
  step(name: string, body: () => Promise<string>): Promise<void>;
}

/** Returns the exit code: 0 when every pod reached every other. */
export async function runDemo(options: DemoOptions, progress: Progress): Promise<number> {
  const lab = await bringUp(options, progress);
  try {
    await progress.step('pods', () => addPods(lab, options.pods));
    let pairs: Pair[] = [];
    await progress.step('ping', async () => {
      pairs = await lab.matrix();
      return `${answered(pairs).length} of ${pairs.length} pairs answered`;
    });
    print(`\n${matrixReport(lab.pods, pairs)}\n${setupReport(lab.pods)}\n`);
    const [node, pods] = [lab.nodes[0]?.name ?? 'node-1', lab.pods.map(({ name, ip }) => ({ name, ip }))];
    if (options.keep) await keep(lab);
    else await progress.step('down', () => takeDown(lab));
    print(`\n${nextSteps(options.keep, options.name, node, pods)}`);
    return answered(pairs).length === pairs.length ? 0 : 1;
  } catch (error) {
    await lab.down();
    throw error;
  } finally {
    lab.detach();
  }
}

/** Ends everything that this process has started and not kept. A signal handler calls this. Resolves to what it has to say. */
export async function endLabs(): Promise<string> {
  await endOwnedLabs();
  return keptName === undefined ? 'nothing is left' : `lab ${keptName} stays, as asked`;
}

let keptName: string | undefined;

async function keep(lab: Lab): Promise<void> {
  await lab.keep();
  keptName = lab.name;
}

/** One line for each step of the lab itself. */
async function bringUp({ nodes, keep, name }: DemoOptions, progress: Progress): Promise<Lab> {
  const steps = new StepQueue();
  const starting = startLab({ nodes, keepable: keep, ...(keep ? { name } : {}), onStep: (step) => steps.push(step) });
  // The steps below report this failure. It is handled here, so that Node does not report an unhandled rejection before.
  starting.catch((error: unknown) => steps.fail(error));
  for (const step of ['underlay', 'nodes', 'agents']) {
    await progress.step(step, async () => (await steps.next()).detail);
  }
  return await starting;
}

/** A queue of steps in the order in which they are done. Taking the next step waits for it. */
class StepQueue {
  readonly #done: LabStep[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  push(step: LabStep): void {
    this.#done.push(step);
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  async next(): Promise<LabStep> {
    for (;;) {
      const step = this.#done.shift();
      if (step !== undefined) return step;
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Adds the pods one after the other, so that each time is measured while no other pod is being made. */
async function addPods(lab: Lab, podsPerNode: number): Promise<string> {
  for (const node of lab.nodes) {
    for (let count = 0; count < podsPerNode; count += 1) await node.addPod();
  }
  return `${lab.pods.length} attached`;
}

async function takeDown(lab: Lab): Promise<string> {
  await lab.down();
  return 'nothing is left';
}

function print(text: string): void {
  process.stdout.write(text);
}
