// `open COMMAND…`: opens the sockets in its network namespace and becomes the command.
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

static int open_all(int first, int protocol) {
  for (int fd = first; fd < first + PER_PROTOCOL; fd++) {
    int opened = socket(AF_NETLINK, SOCK_RAW, protocol);
    if (opened < 0 || dup2(opened, fd) < 0) return -1;
    close(opened);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2 || open_all(FIRST_ROUTE, NETLINK_ROUTE) < 0 || open_all(FIRST_NETFILTER, NETLINK_NETFILTER) < 0) {
    perror("open");
    return 1;
  }
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 1;
}
