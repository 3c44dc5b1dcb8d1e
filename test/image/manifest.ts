// The pod of weft.yml's DaemonSet.

import { agentContainer, podSpec, readObjects } from '../manifests/documents.ts';

export const objects = readObjects('weft.yml');
export const agentPod = podSpec(objects);
export const agent = agentContainer(objects);
/** The other version's name; the image of the manifest is the first. */
export const OTHER_IMAGE = `${agent.image}-other`;
