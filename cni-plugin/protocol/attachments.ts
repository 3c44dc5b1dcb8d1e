// The attachments a GC must keep: `cni.dev/valid-attachments`, older `cni.dev/attachments` (SPEC.md 1.1.0 "GC").

import { field, type JsonObject } from '../../lib/json.ts';
import { type Fields, objectsField, stringField } from './fields.ts';

export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** The valid attachments; undefined when the runtime gave no list, not even an empty one: then nothing may be removed. */
export function validAttachments(config: JsonObject): readonly Attachment[] | undefined {
  for (const key of ['cni.dev/valid-attachments', 'cni.dev/attachments']) {
    if (field(config, key) === undefined) continue;
    const root: Fields = { path: '', object: config };
    return objectsField(root, key).map((entry) => ({
      containerId: stringField(entry, 'containerID'),
      ifname: stringField(entry, 'ifname'),
    }));
  }
  return undefined;
}

/** Whether the list contains this attachment. */
export function hasAttachment(list: readonly Attachment[], containerId: string, ifname: string): boolean {
  return list.some((valid) => valid.containerId === containerId && valid.ifname === ifname);
}
