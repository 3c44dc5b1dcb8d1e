import { expect, test } from 'vitest';
import { readNode } from '../../flanneld/subnet/kube/node.ts';
import { leaseOfNode } from '../../flanneld/subnet/kube/node-lease.ts';
import { leaseOf } from '../peers/overlay.ts';
import { annotationsOf, nodeObject, publicIpOf } from './node-object.ts';

const prefix = 'flannel.alpha.coreos.com/';
const leaseIn = (object: object) => {
  const node = readNode(object, prefix);
  return node && leaseOfNode(node, { enableIpv4: true, enableIpv6: false });
};

test('a Node is a peer with the subnet and the VTEP of its number', () => {
  expect(leaseIn(nodeObject(7))).toEqual(leaseOf(7)[1]);
});

test('a Node that has moved has another address and VTEP, which no other Node has', () => {
  const addresses = [0, 1, 2].flatMap((moves) => [7, 8].map((node) => publicIpOf(node, moves)));
  expect(new Set(addresses).size).toBe(6);
  expect(annotationsOf(7, 1)).toMatchObject({
    [`${prefix}public-ip`]: publicIpOf(7, 1),
    [`${prefix}kube-subnet-manager`]: 'true',
  });
  expect(annotationsOf(7, 1)[`${prefix}backend-data`]).not.toBe(annotationsOf(7, 0)[`${prefix}backend-data`]);
});
