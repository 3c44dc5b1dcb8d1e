// What programs at tcx and cls_bpf can read of a packet, and their verdicts (linux/bpf.h, struct __sk_buff; linux/pkt_cls.h).

/** Byte offsets in struct __sk_buff. All fields are u32. */
export const skb = {
  len: 0,
  pktType: 4,
  vlanPresent: 20,
  ifindex: 40,
  data: 76,
  dataEnd: 80,
  gsoSize: 176,
} as const;

/** skb.pktType of packets that are addressed to the MAC of the device by which they arrived (linux/if_packet.h). */
export const PACKET_HOST = 0;

/** "No verdict": the next program, then the classic tc filters and the kernel handle the packet. Equal to TCX_NEXT. */
export const TC_ACT_UNSPEC = -1;
/** The return value of bpf_redirect and bpf_redirect_peer. */
export const TC_ACT_REDIRECT = 7;
