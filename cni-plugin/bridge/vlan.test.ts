import { describe, expect, test } from 'vitest';
import { openFakeNetlink } from '../../lib/netlink/fake.ts';
import { EOPNOTSUPP } from '../../lib/sys/errno.ts';
import type { BridgeConfig } from './bridge-config.ts';
import { setPortVlans } from './vlan.ts';

/** Only what vlan.ts reads. */
function config(keys: Partial<BridgeConfig>): BridgeConfig {
  return { vlan: 0, trunk: [], preserveDefaultVlan: false, ...keys } as BridgeConfig;
}

/** A kernel in which port 9 starts in VLANs 1 and 20, and port 8 in VLAN 1. Records all changes. */
function kernel(refusal = 0) {
  const changes: string[] = [];
  const { netlink, transport } = openFakeNetlink((request, replies) => {
    if (request.type === 18) {
      for (const [index, ids] of [
        [8, [1]],
        [9, [1, 20]],
      ] as const) {
        replies.message(16, (writer) => {
          writer.u32(7);
          writer.u32(index);
          writer.u32(0);
          writer.u32(0);
          writer.nest(26, () => {
            for (const id of ids) writer.attrU32(2, (id << 16) | 6);
          });
        });
      }
      return;
    }
    const at = request.struct(16);
    const spec = request.attributes(16);
    spec.next();
    const vlan = spec.nested();
    vlan.next();
    vlan.next();
    const verb = request.type === 19 ? 'add' : 'del';
    changes.push(`${verb} ${request.view.getInt32(at + 4, true)} ${vlan.u32() >>> 16} ${vlan.u32() & 0xffff}`);
    if (refusal !== 0) replies.error(refusal);
  });
  return { netlink, transport, changes };
}

describe('setPortVlans', () => {
  test.for([
    { name: 'nothing without VLANs', given: {}, want: [] },
    {
      name: 'its own VLAN untagged, and out of the default one',
      given: { vlan: 100 },
      want: ['del 9 1 0', 'del 9 20 0', 'add 9 100 6'],
    },
    {
      name: 'its own VLAN in addition to the default one',
      given: { vlan: 100, preserveDefaultVlan: true },
      want: ['add 9 100 6'],
    },
    {
      name: 'a trunk whose VLANs are tagged, with untagged frames in VLAN 1',
      given: { trunk: [101, 200] },
      want: ['del 9 1 0', 'del 9 20 0', 'add 9 101 0', 'add 9 200 0', 'add 9 1 6'],
    },
    {
      name: 'a trunk whose VLANs are tagged, with untagged frames in its own VLAN',
      given: { vlan: 100, trunk: [101], preserveDefaultVlan: true },
      want: ['add 9 101 0', 'add 9 100 6'],
    },
  ])('puts a port into $name', ({ given, want }) => {
    const { netlink, changes } = kernel();
    setPortVlans(netlink, 9, 'veth9', config(given));
    expect(changes).toEqual(want);
  });

  test('writes the bytes bridge(8) writes for: vlan add dev DEV vid 100 pvid untagged master', () => {
    const { netlink, transport } = kernel();
    setPortVlans(netlink, 9, 'veth9', config({ vlan: 100, preserveDefaultVlan: true }));
    const [sent] = transport.sent;
    // ifinfomsg { AF_BRIDGE, index 9 }, IFLA_AF_SPEC { IFLA_BRIDGE_FLAGS 1, IFLA_BRIDGE_VLAN_INFO { 6, 100 } }
    const payload = '07000000 09000000 00000000 00000000 14001a00 06000000 01000000 08000200 06006400';
    expect(Buffer.from(sent?.subarray(16) ?? []).toString('hex')).toBe(payload.replaceAll(' ', ''));
  });

  test('reports that the kernel has no VLAN filtering', () => {
    const { netlink } = kernel(EOPNOTSUPP);
    expect(() => setPortVlans(netlink, 9, 'veth9', config({ vlan: 100 }))).toThrow(
      expect.objectContaining({
        code: 999,
        message: 'cannot put "veth9" into its VLANs: operation not supported',
        details: expect.stringContaining('CONFIG_BRIDGE_VLAN_FILTERING'),
      }),
    );
  });
});
