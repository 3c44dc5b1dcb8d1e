// What this agent writes about its node besides annotations: the NetworkUnavailable condition and Events.

import { printable } from '../../../lib/printable.ts';
import type { ReportType } from '../manager.ts';

const component = 'weft-flanneld';

/** A strategic merge patch: conditions are merged by type (flannel's setNodeNetworkUnavailableFalse). */
export function networkAvailablePatch(now: Date): object {
  const condition = {
    type: 'NetworkUnavailable',
    status: 'False',
    reason: 'FlannelIsUp',
    message: 'Flannel is running on this node',
    lastTransitionTime: kubeTime(now),
    lastHeartbeatTime: kubeTime(now),
  };
  return { status: { conditions: [condition] } };
}

export interface NodeEvent {
  readonly node: string;
  /** CamelCase, for machines. */
  readonly reason: string;
  readonly message: string;
  /** Warning when absent. */
  readonly type?: ReportType;
}

/** An Event (v1) about the node, as `kubectl describe node` shows it. */
export function nodeEvent({ node, reason, message, type = 'Warning' }: NodeEvent, now: Date): object {
  const time = kubeTime(now);
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace: 'default', name: `${node}.${now.getTime().toString(16)}` },
    // `kubectl describe node` looks for Events whose uid is the node's name, as kubelet writes them.
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: node, uid: node },
    reason,
    // The message may quote other nodes' data, and `kubectl` prints it unchanged, so control characters are made harmless.
    message: printable(message).slice(0, 1024),
    type,
    source: { component, host: node },
    reportingComponent: component,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}

/** Whole seconds, as metav1.Time is written. */
function kubeTime(now: Date): string {
  return now.toISOString().replace(/\.\d+Z$/, 'Z');
}
