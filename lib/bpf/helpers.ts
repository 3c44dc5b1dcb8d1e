// The kernel's helper functions that programs call, by name (bpf-helpers(7); linux/bpf.h, enum bpf_func_id).

export const helpers = {
  /** r1 map, r2 key; the address of the value, or 0. */
  map_lookup_elem: 1,
  /** Nanoseconds of CLOCK_MONOTONIC. */
  ktime_get_ns: 5,
  /** r1 skb, r2 offset, r3 from, r4 length, r5 flags; 0, or an error and nothing written. Ends all pointers into the packet. */
  skb_store_bytes: 9,
  /** r1 ifindex, r2 flags; the verdict that sends the packet out of that device. */
  redirect: 23,
  /** r1 skb, r2 type (PACKET_HOST is 0); 0 or an error. */
  skb_change_type: 32,
  /** r1 ifindex of a veth, r2 flags; the verdict that hands the packet to what lies behind it. */
  redirect_peer: 155,
} as const;

export type HelperName = keyof typeof helpers;
