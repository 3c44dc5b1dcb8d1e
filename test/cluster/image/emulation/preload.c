// Loaded before the agent's own libraries in the emulator: gives its system call `socket` the inherited sockets. The agent finds
// syscall(2) by dlsym, so that is what has to be replaced.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netlink.h"

static long (*real_syscall)(long, ...);
static int next_route = FIRST_ROUTE;
static int next_netfilter = FIRST_NETFILTER;

static long take(int fd, long flags) {
  int copy = fcntl(fd, flags & SOCK_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 3);
  close(fd);
  if (copy >= 0 && flags & SOCK_NONBLOCK) fcntl(copy, F_SETFL, O_NONBLOCK);
  return copy;
}

static long with_inherited(long number, long a, long b, long c, long d, long e, long f) {
  if (number == SYS_socket && a == AF_NETLINK) {
    if (c == NETLINK_ROUTE && next_route < FIRST_ROUTE + PER_PROTOCOL) return take(next_route++, b);
    if (c == NETLINK_NETFILTER && next_netfilter < FIRST_NETFILTER + PER_PROTOCOL) return take(next_netfilter++, b);
  }
  return real_syscall(number, a, b, c, d, e, f);
}

void *dlsym(void *handle, const char *name) {
  static void *(*real_dlsym)(void *, const char *);
  if (real_dlsym == NULL) real_dlsym = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
  if (real_dlsym == NULL) real_dlsym = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
  void *found = real_dlsym(handle, name);
  if (strcmp(name, "syscall") != 0) return found;
  real_syscall = found;
  return with_inherited;
}
