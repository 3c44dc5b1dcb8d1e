// Lets a program that is loaded into the built agent by NODE_OPTIONS=--require stand between the agent and its system calls.
// `call({ koffi, real }, nr, ...values)` makes the call by `real`, or answers for the kernel with `refuse(errno)`.
let refused = 0;

exports.refuse = (errno) => {
  refused = errno;
  return -1;
};

exports.wrapSyscalls = (call) => {
  const dlopen = process.dlopen;
  process.dlopen = (module, ...rest) => {
    const result = dlopen.call(process, module, ...rest);
    const koffi = module.exports;
    if (typeof koffi.errno === 'function' && typeof koffi.load === 'function') wrap(koffi, call);
    return result;
  };
};

function wrap(koffi, call) {
  const { errno, load } = koffi;
  koffi.errno = () => {
    const answered = refused;
    refused = 0;
    return answered === 0 ? errno() : answered;
  };
  koffi.load = (...args) => {
    const library = load(...args);
    const wrapped = (signature, ...others) => {
      const real = library.func(signature, ...others);
      if (!String(signature).includes(' syscall(')) return real;
      return (...values) => {
        refused = 0;
        return call({ koffi, real }, ...values);
      };
    };
    // Its methods are of the addon, and cannot be assigned to.
    return new Proxy(library, {
      get(target, name) {
        if (name === 'func') return wrapped;
        const value = target[name];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
}
