// The suites: tests that take minutes or need what no script installs, so `npm test` leaves them out or runs a short form.
// `npm run suite -- NAME` runs one. Entries are like those of commands.mjs. `takes` is the time on two idle cores; `needs` is what
// must exist besides a build, including programs of others. test/README.md says where these are looked for.

import { count, folder, image, LAB, oneOf, positive, seed, vitest, whole } from './option-kinds.mjs';

export const SUITES = {
  faults: {
    does: 'Counts what each fault, restart and upgrade costs a flow of 1000 packets a second, on a lab of two nodes.',
    takes: '6 min',
    needs: 'root',
    root: LAB,
    options: {
      rounds: count('N', 'how many rounds of each', '10'),
      only: { type: 'string', value: 'NAME[,NAME…]', says: 'only these trials; a wrong name prints all names' },
    },
  },
  upgrade: {
    does: 'Upgrades nodes of the previous release to this build and back, under a flow. Builds that release once, from its commit.',
    takes: '3 min',
    needs: 'root; the whole git history, or WEFT_PREVIOUS',
    root: LAB,
    ...vitest,
  },
  'agent-faults': {
    does: 'Injects faults into the built agent under a flow and under systemd: exceptions, stalls, missing descriptors, errors of the kernel. It goes on or ends at once.',
    takes: '4 min',
    needs: 'root',
    root: LAB,
    ...vitest,
  },
  doctor: {
    does: 'Makes every problem that `flanneld doctor` names on lab nodes: the doctor names it, and its fix ends it. Harmless oddities must cause no error.',
    takes: '20 min',
    needs: 'root',
    root: LAB,
    ...vitest,
  },
  probes: {
    does: "Makes every fault between nodes on a lab of three: the agents' probes name it on the right nodes, and forget it when it is over.",
    takes: '5 min',
    needs: 'root',
    root: LAB,
    ...vitest,
  },
  'fast-path': {
    does: 'Switches the fast path under a flow and kills its agent. Services, host ports and masquerading must be the same with it.',
    takes: '12 min',
    needs: 'root; for Services by a real kube-proxy also kube-apiserver, -proxy and coredns',
    root: LAB,
    ...vitest,
  },
  monitoring: {
    does: 'Lets a real Prometheus scrape a lab before and after it is broken, with the alerts and the dashboard as shipped. Installs Debian’s prometheus.',
    takes: '4 min',
    needs: 'root; installs prometheus',
    root: LAB,
    ...vitest,
  },
  firewalls: {
    does: "Runs Debian's firewalld, ufw and Docker in a node of the lab: what they refuse is named, and the named command ends it.",
    takes: '2 min',
    needs: "root; Debian's mirror",
    root: LAB,
    ...vitest,
  },
  kernels: {
    does: "Runs what depends on the kernel, and WireGuard and IPIP, in virtual machines with Debian's stock kernels. Installs the emulator.",
    takes: '45 min',
    needs: 'root; installs qemu-system-x86, busybox-static, wireguard-tools',
    root: 'the packages are installed, and the build, as root',
    options: {
      kernel: {
        type: 'string',
        multiple: true,
        value: 'N',
        says: 'only this one of 5.10, 6.1, 6.12; may be given several times',
        check: oneOf('5.10', '6.1', '6.12'),
      },
      test: {
        type: 'string',
        multiple: true,
        value: 'FILE',
        says: 'only this file; may be given several times; scripts/kernels/main-job.mjs is the main job',
      },
      all: { type: 'boolean', says: 'every test that talks to the kernel, which takes hours' },
      bench: {
        type: 'boolean',
        says: 'runs no tests: measures wireguard and ipip beside flannel’s own agent (npm run bench -- backends)',
      },
      keep: {
        type: 'boolean',
        says: 'writes the results to test/kernels/results and their table to README.md, those of --bench to bench/results/backends',
      },
    },
  },
  machines: {
    does: 'Joins three virtual machines with three stock kernels to a cluster: one loses its power, one is upgraded, one runs flannel. Installs the emulator.',
    takes: '10 min',
    needs: 'root, etcd; installs qemu-system-x86, busybox-static, wireguard-tools',
    root: 'the packages are installed, and the build, as root',
    ...vitest,
  },
  soak: {
    does: 'Exposes five nodes to random faults, and then expects the right state on every node.',
    takes: '30 min',
    needs: 'root',
    root: LAB,
    options: {
      minutes: { type: 'string', value: 'N', default: '30', says: 'how long', check: positive },
      seed: seed('the seed of an earlier run, to make the same choices'),
      events: {
        type: 'string',
        value: 'FILE',
        says: 'a file to which a line about everything that happens is written',
      },
    },
  },
  stress: {
    does: 'Does to the CNI executable what a node does in a year: uses one address again and again, then attaches many pods with random kills. As root.',
    takes: '3 min',
    needs: 'root',
    options: {
      rounds: {
        ...count('N', 'how many rounds of ADD, connect and DEL with one usable address', '3000'),
        check: whole(0),
      },
      operations: {
        ...count('N', 'how many ADD and DEL of 64 pods, 16 at a time, of which a fifth is killed', '2000'),
        check: whole(0),
      },
      seed: seed('the seed of an earlier run of the second part, to repeat it'),
    },
  },
  kill: {
    does: 'Kills the CNI executable at every system call that it makes, each time in a fresh state. As root.',
    takes: '12 min',
    needs: 'root',
    options: {
      plugin: {
        type: 'string',
        value: 'NAME',
        says: 'only this plugin: flannel, portmap or bandwidth',
        check: oneOf('flannel', 'portmap', 'bandwidth'),
      },
      point: {
        type: 'string',
        value: 'N',
        says: 'only the Nth system call, counted from 0, of its ADD and of its DEL',
        check: whole(0),
      },
    },
  },
  hostile: {
    does: 'Makes thousands of calls of the CNI executable that no runtime would make. As root.',
    takes: '2 min',
    needs: 'root',
    options: {
      calls: count('N', 'how many', '5000'),
      seed: seed('other numbers make other calls', '1'),
      first: { ...seed('number of the first call, to repeat a finding: --first 1234 --calls 1', '0') },
      executable: { type: 'string', value: 'FILE', says: 'the executable; dist/cni/flannel when not given' },
    },
  },
  fuzz: {
    does: 'Feeds spoiled inputs to the parsers of the CNI executable in the sanitizer build. As root.',
    takes: '10 min',
    needs: 'root',
    options: {
      minutes: { type: 'string', value: 'N', default: '10', says: 'how long', check: positive },
      inputs: { type: 'string', value: 'N', says: 'how many inputs, in place of a time', check: whole(1) },
      seed: seed('other numbers make other inputs', '1'),
      only: { type: 'string', value: 'NAME', default: '', says: 'only the parsers whose names contain this' },
    },
  },
  containerd: {
    does: "Starts pods through a real containerd on lab nodes, and runs flannel's own cluster tests on every backend. Installs Debian's containerd.",
    takes: '3 min',
    needs: 'root; installs containerd',
    root: LAB,
    options: {
      suite: { type: 'string', value: 'NAME', says: 'pods, or one backend; a wrong name prints all names' },
      bin: {
        type: 'string',
        value: 'DIR',
        says: 'the CNI executables to test in place of dist/cni, for comparison',
        check: folder,
      },
      control: {
        type: 'string',
        value: 'PART',
        says: 'breaks this part, or all one by one: exactly the checks that need it must fail; a wrong name prints all',
      },
      newer: { type: 'boolean', says: 'with containerd 2, unpacked from Debian forky and not installed' },
    },
  },
  cluster: {
    does: 'Tests the stores on a real etcd and kube-apiserver. Fails when a server is missing.',
    takes: '15 min',
    needs: 'root, kube-apiserver',
    ...vitest,
  },
  image: {
    does: "Builds the image for both processors, twice for one, and runs it under a real containerd as weft.yml does. Looks into it and pushes it to a registry. Installs Debian's packages for that. As root.",
    takes: '15 min',
    needs:
      'root, kube-apiserver; installs buildah, mmdebstrap, containerd, skopeo, docker-registry, a cross compiler, qemu-user-static',
    words: '[FILE…]',
    options: {
      update: {
        type: 'boolean',
        says: 'writes what this run finds out about each capability and mount to manifests/NEEDS.md',
      },
      ...image,
    },
  },
  interop: {
    does: "Runs flannel's own agent and plugins and ours in one cluster. Fails when one of the programs is missing.",
    takes: '12 min',
    needs: 'root, kube-apiserver, flannel and its plugins',
    ...vitest,
  },
  kubelet: {
    does: "Starts pods through kube-scheduler, kubelet and containerd. Fails when one of these is missing. Installs Debian's containerd.",
    takes: '8 min',
    needs:
      'root, kube-apiserver, -controller-manager, -scheduler, kubelet, flannel and its plugins; installs containerd',
    ...vitest,
  },
  conformance: {
    does: "Runs Kubernetes' own network tests, the published e2e.test, on kubelets of the lab, with Weft and with flannel.",
    takes: '40 min',
    needs:
      'root, kube-apiserver, -controller-manager, -scheduler, -proxy, kubelet, coredns, e2e.test, agnhost, flannel and its plugins; installs containerd, bind9-dnsutils, netcat-openbsd',
    root: LAB,
    options: {
      network: {
        type: 'string',
        value: 'NAME',
        says: 'only with this pod network, weft or flannel',
        check: oneOf('weft', 'flannel'),
      },
      family: {
        type: 'string',
        value: 'NAME',
        says: 'only on clusters of this kind: ipv4, or dual for the dual-stack tests',
        check: oneOf('ipv4', 'dual'),
      },
      only: { type: 'string', value: 'PATTERN', says: 'only tests whose names match this regular expression' },
      update: { type: 'boolean', says: 'keeps the result in test/cluster/conformance' },
      'fast-path': { type: 'boolean', says: 'only with Weft, with the component fast-path' },
    },
  },
  'bench-cluster': {
    does: 'Runs the bench of a cluster on kubelets of the lab, with Weft and with flannel. Fails when a program is missing.',
    takes: '8 min',
    needs:
      'root, kube-apiserver, -controller-manager, -scheduler, -proxy, kubelet, flannel and its plugins; installs containerd',
    ...vitest,
  },
  arm64: {
    does: 'Cross-compiles the CNI executable for arm64 and runs it under emulation. Installs the cross compiler and the emulator.',
    takes: '2 min',
    needs: 'root; installs a cross compiler and qemu-user-static',
    ...vitest,
  },
};

/** The rows of the table that `npm run suite -- list` prints and test/README.md has. */
export function suiteRows() {
  return Object.entries(SUITES).map(([name, { does, takes, needs }]) => ({ name, does, takes, needs }));
}
