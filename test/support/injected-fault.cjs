// Loaded into the built agent by NODE_OPTIONS=--require: SIGUSR2 has it run the program in FAULT_FILE, which is how faults
// come in from outside. `syscallFault` may answer any of its system calls with an errno: (number) => errno or 0.
const fs = require('node:fs');

const hook = { syscallFault: () => 0, errno: 0 };

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
    const injected = hook.errno;
    hook.errno = 0;
    return injected === 0 ? errno() : injected;
  };
  koffi.load = (...args) => {
    const library = load(...args);
    const faulty = (signature, ...others) => {
      const real = library.func(signature, ...others);
      if (!String(signature).includes(' syscall(')) return real;
      return (...values) => {
        hook.errno = hook.syscallFault(values[0]);
        return hook.errno === 0 ? real(...values) : -1;
      };
    };
    // Its methods are of the addon, and cannot be assigned to.
    return new Proxy(library, {
      get(target, name) {
        if (name === 'func') return faulty;
        const value = target[name];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
}

process.on('SIGUSR2', () => {
  const program = fs.readFileSync(process.env.FAULT_FILE, 'utf8');
  fs.rmSync(process.env.FAULT_FILE);
  new Function('require', 'hook', program)(require, hook);
});
