// Numbers of nfnetlink's subsystems, named as in linux/netfilter/nfnetlink.h, nf_tables.h and
// nfnetlink_conntrack.h. A message's type has its subsystem in the upper byte.

export const NFPROTO_UNSPEC = 0;
export const NFPROTO_INET = 1;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_ARP = 3;
export const NFPROTO_NETDEV = 5;
export const NFPROTO_BRIDGE = 7;
export const NFPROTO_IPV6 = 10;

export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;
export const NFNL_BATCH_GENID = 1;

export const NFT_MSG_GETTABLE = 0x0a01;
export const NFT_MSG_GETCHAIN = 0x0a04;
export const NFT_MSG_DELCHAIN = 0x0a05;
export const NFT_MSG_NEWRULE = 0x0a06;
export const NFT_MSG_GETRULE = 0x0a07;
export const NFT_MSG_DELRULE = 0x0a08;
export const NFT_MSG_GETSET = 0x0a0a;
export const NFT_MSG_NEWSETELEM = 0x0a0c;
export const NFT_MSG_GETSETELEM = 0x0a0d;
export const NFT_MSG_DELSETELEM = 0x0a0e;
export const NFT_MSG_GETGEN = 0x0a10;
export const NFT_MSG_GETOBJ = 0x0a13;

export const NFTA_TABLE_NAME = 1;
export const NFTA_CHAIN_TABLE = 1;
export const NFTA_CHAIN_NAME = 3;
export const NFTA_CHAIN_HOOK = 4;
export const NFTA_CHAIN_POLICY = 5;
export const NFTA_HOOK_HOOKNUM = 1;
export const NFTA_RULE_TABLE = 1;
export const NFTA_RULE_CHAIN = 2;
export const NFTA_RULE_HANDLE = 3;
export const NFTA_RULE_EXPRESSIONS = 4;
export const NFTA_RULE_USERDATA = 7;
export const NFTA_SET_TABLE = 1;
export const NFTA_SET_NAME = 2;
export const NFTA_SET_ELEM_LIST_TABLE = 1;
export const NFTA_SET_ELEM_LIST_SET = 2;
export const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
export const NFTA_LIST_ELEM = 1;
export const NFTA_SET_ELEM_KEY = 1;
export const NFTA_SET_ELEM_DATA = 2;
export const NFTA_SET_ELEM_EXPIRATION = 5;
export const NFTA_SET_ELEM_USERDATA = 6;
export const NFTA_SET_ELEM_EXPR = 7;
export const NFTA_EXPR_NAME = 1;
export const NFTA_EXPR_DATA = 2;
export const NFTA_COUNTER_PACKETS = 2;
export const NFTA_OBJ_TABLE = 1;
export const NFTA_OBJ_NAME = 2;
export const NFTA_OBJ_TYPE = 3;
export const NFTA_OBJ_DATA = 4;
export const NFT_OBJECT_COUNTER = 1;
export const NFTA_IMMEDIATE_DATA = 2;
export const NFTA_DATA_VALUE = 1;
export const NFTA_DATA_VERDICT = 2;
export const NFTA_VERDICT_CODE = 1;
export const NFTA_VERDICT_CHAIN = 2;
export const NFTA_GEN_ID = 1;

/** Verdict code, in network order: jump to a chain and come back. */
export const NFT_JUMP = -3;

/** libnftnl's userdata is a list of u8 type, u8 length, value; a comment is the first type of rules and elements. */
export const NFTNL_UDATA_COMMENT = 0;

export const IPCTNL_MSG_CT_GET = 0x0101;
export const IPCTNL_MSG_CT_DELETE = 0x0102;

export const CTA_TUPLE_ORIG = 1;
export const CTA_TUPLE_REPLY = 2;
export const CTA_ID = 12;
export const CTA_ZONE = 18;
export const CTA_FILTER = 25;
export const CTA_TUPLE_IP = 1;
export const CTA_TUPLE_PROTO = 2;
export const CTA_IP_V4_SRC = 1;
export const CTA_IP_V4_DST = 2;
export const CTA_IP_V6_SRC = 3;
export const CTA_IP_V6_DST = 4;
export const CTA_PROTO_NUM = 1;
export const CTA_PROTO_SRC_PORT = 2;
export const CTA_PROTO_DST_PORT = 3;
export const CTA_FILTER_ORIG_FLAGS = 1;
export const CTA_FILTER_REPLY_FLAGS = 2;
export const CTA_STATUS = 3;
/** An answer has been seen (IPS_SEEN_REPLY, linux/netfilter/nf_conntrack_common.h). */
export const IPS_SEEN_REPLY = 1 << 1;
/** The parts of CTA_TUPLE_ORIG by which a dump is filtered (net/netfilter/nf_internals.h). */
export const CTA_FILTER_F_CTA_IP_SRC = 1 << 0;
export const CTA_FILTER_F_CTA_IP_DST = 1 << 1;
export const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3;
export const CTA_FILTER_F_CTA_PROTO_DST_PORT = 1 << 5;
