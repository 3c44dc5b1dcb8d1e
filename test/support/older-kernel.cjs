// Loaded into the built agent by NODE_OPTIONS=--require. To the agent the kernel is then older than it is: requests about nexthop objects
// get a number that no kernel knows, so that the kernel itself answers as those before 5.3 do, and the socket option for strict dumps
// (4.20) is refused.
const { refuse, wrapSyscalls } = require('./wrapped-syscalls.cjs');

const RTM_NEWNEXTHOP = 104;
const RTM_GETNEXTHOP = 106;
/** More than RTM_MAX of any kernel: rtnetlink answers EOPNOTSUPP. */
const UNKNOWN = 0x7f0;
const NLMSGHDR_BYTES = 16;
const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;
const ENOPROTOOPT = 92;
const [SENDTO, SETSOCKOPT] = process.arch === 'arm64' ? [206, 208] : [44, 54];

wrapSyscalls(({ koffi, real }, nr, ...values) => {
  if (nr === SETSOCKOPT && values[1] === SOL_NETLINK && values[2] === NETLINK_GET_STRICT_CHK)
    return refuse(ENOPROTOOPT);
  if (nr === SENDTO) hideNexthops(koffi.view(BigInt(values[1]), Number(values[2])));
  return real(nr, ...values);
});

/** Changes the type of each message of a batch that is about nexthop objects. */
function hideNexthops(bytes) {
  const batch = new DataView(bytes);
  let at = 0;
  while (at + NLMSGHDR_BYTES <= batch.byteLength) {
    const length = batch.getUint32(at, true);
    // Other datagrams are no netlink messages.
    if (length < NLMSGHDR_BYTES || at + length > batch.byteLength) return;
    const type = batch.getUint16(at + 4, true);
    if (type >= RTM_NEWNEXTHOP && type <= RTM_GETNEXTHOP) batch.setUint16(at + 4, UNKNOWN, true);
    at += (length + 3) & ~3;
  }
}
