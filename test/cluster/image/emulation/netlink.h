// Sockets that are opened outside the emulator and inherited. QEMU's user emulation refuses every netlink protocol but NETLINK_ROUTE, and
// there every request that it does not know; a socket that it did not open it passes through untouched.
enum { PER_PROTOCOL = 64, FIRST_ROUTE = 100, FIRST_NETFILTER = FIRST_ROUTE + PER_PROTOCOL };
