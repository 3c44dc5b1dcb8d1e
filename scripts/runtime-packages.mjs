/** Debian's packages for tests that run containers, each with a file or command that shows it is there. */
export const RUNTIME_PACKAGES = { containerd: 'containerd', runc: 'runc', 'busybox-static': '/bin/busybox' };
