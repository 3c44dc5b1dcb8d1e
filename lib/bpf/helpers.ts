// The kernel's helper functions that programs call, by name (bpf-helpers(7); linux/bpf.h, enum bpf_func_id).

export const helpers = {
  /** r1 map, r2 key; the address of the value, or 0. */
  map_lookup_elem: 1,
  /** 32 random bits, not for secrets. */
  get_prandom_u32: 7,
  /** r1 skb, r2 offset, r3 from, r4 length, r5 flags; 0, or an error and nothing written. Makes all pointers into the packet invalid. */
  skb_store_bytes: 9,
  /** r1 ifindex, r2 flags; the verdict that sends the packet out by that device. */
  redirect: 23,
  /** r1 skb, r2 type (PACKET_HOST is 0); 0 or an error. */
  skb_change_type: 32,
  /** r1 skb; the hash of its flow, which the kernel has or computes, 0 where it cannot. */
  get_hash_recalc: 34,
  /**
   * r1 skb, r2 bytes to add or, if negative, to remove, r3 where (ROOM_MAC), r4 flags; 0, or an error and nothing done. Makes all pointers
   * into the packet invalid.
   */
  skb_adjust_room: 50,
  /** r1 skb, r2 struct bpf_fib_lookup, r3 its length, r4 flags; 0 when there is a route, which is then in the struct. */
  fib_lookup: 69,
  /** The kernel's count of ticks, of which a second has 100 to 1000. It costs no call: the verifier puts the load itself in its place. */
  jiffies64: 118,
  /** r1 skb, r2 the change (CSUM_LEVEL_DEC): of the number of checksums in the packet that the device has verified. */
  csum_level: 135,
  /**
   * r1 ifindex, r2 struct bpf_redir_neigh, r3 its length, r4 flags; the verdict that sends the packet out by that device to that next hop.
   */
  redirect_neigh: 152,
  /** r1 ifindex of a veth, r2 flags; the verdict that hands the packet to the veth's other end. */
  redirect_peer: 155,
  /**
   * Nanoseconds of CLOCK_MONOTONIC at the last tick of the kernel's clock, which is at most 10 ms ago. It takes a tenth of the time of an
   * exact answer.
   */
  ktime_get_coarse_ns: 160,
  /**
   * r1 skb, r2 ifindex, r3 u32 for the device's MTU, which must be 0 before, r4 bytes by which the packet will grow, r5 flags; 0, or 1 when
   * the packet does not fit, or −ENODEV when this namespace has no such device. From Linux 5.12 on.
   */
  check_mtu: 163,
} as const;

export type HelperName = keyof typeof helpers;
