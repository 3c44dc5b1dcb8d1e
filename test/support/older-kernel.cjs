// Loaded into the built agent by NODE_OPTIONS=--require. To the agent the kernel is then older than it is: requests about nexthop objects
// get a number that no kernel knows, so that the kernel itself answers as those before 5.3 do, and the socket option for strict dumps
// (4.20) is refused.
const RTM_NEWNEXTHOP = 104;
const RTM_GETNEXTHOP = 106;
/** More than RTM_MAX of any kernel: rtnetlink answers EOPNOTSUPP. */
const UNKNOWN = 0x7f0;
const NLMSGHDR_BYTES = 16;
const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;
const ENOPROTOOPT = 92;
const [SENDTO, SETSOCKOPT] = process.arch === 'arm64' ? [206, 208] : [44, 54];

let injected = 0;
const dlopen = process.dlopen;
process.dlopen = (module, ...rest) => {
  const result = dlopen.call(process, module, ...rest);
  const koffi = module.exports;
  if (typeof koffi.errno === 'function' && typeof koffi.load === 'function') wrap(koffi);
  return result;
};

function wrap(koffi) {
  const { errno, load } = koffi;
  koffi.errno = () => {
    const given = injected;
    injected = 0;
    return given === 0 ? errno() : given;
  };
  koffi.load = (...args) => {
    const library = load(...args);
    const older = (signature, ...others) => {
      const real = library.func(signature, ...others);
      if (!String(signature).includes(' syscall(')) return real;
      return (nr, ...values) => {
        if (nr === SETSOCKOPT && values[1] === SOL_NETLINK && values[2] === NETLINK_GET_STRICT_CHK) {
          injected = ENOPROTOOPT;
          return -1;
        }
        if (nr === SENDTO) hideNexthops(koffi.view(BigInt(values[1]), Number(values[2])));
        return real(nr, ...values);
      };
    };
    // Its methods are of the addon, and cannot be assigned to.
    return new Proxy(library, {
      get(target, name) {
        if (name === 'func') return older;
        const value = target[name];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
}

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
