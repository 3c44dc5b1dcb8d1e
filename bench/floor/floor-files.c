// flannel's saved delegate configuration and host-local's address files, with the calls of cni-plugin/flannel/
// state.ts and cni-plugin/host-local/store.ts in their order.

#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static size_t read_to_end(int fd, char *bytes, size_t size) {
    size_t length = 0;
    for (;;) {
        ssize_t count = read(fd, bytes + length, size - length);
        if (count < 0) fail("read");
        if (count == 0) return length;
        length += (size_t)count;
    }
}

size_t read_stdin(char *bytes, size_t size) { return read_to_end(0, bytes, size); }

void read_file(const char *path, char *text, size_t size) {
    int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    text[0] = '\0';
    if (fd < 0 && errno == ENOENT) return;
    need(fd, path);
    text[read_to_end(fd, text, size - 1)] = '\0';
    close(fd);
}

static void file_identity(int folder, const char *path, int flags, uint64_t *device, uint64_t *inode) {
    struct statx status;
    long value = syscall(SYS_statx, folder, path, flags, 0x7ff, &status);
    *device = value < 0 ? 0 : (uint64_t)status.stx_dev_major << 32 | status.stx_dev_minor;
    *inode = value < 0 ? 0 : status.stx_ino;
}

// It must be a namespace, and not our own.
void check_netns(int fd) {
    struct statfs system;
    need(fstatfs(fd, &system), "netns");
    uint64_t device, inode, own_device, own_inode;
    int own = (int)need(openat(AT_FDCWD, "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "own netns");
    file_identity(own, "", AT_EMPTY_PATH, &own_device, &own_inode);
    file_identity(fd, "", AT_EMPTY_PATH, &device, &inode);
    close(own);
    if (device == own_device && inode == own_inode) fail("the netns is our own");
}

static void state_path(char *path, const char *folder, const char *id, const char *ifname) {
    snprintf(path, PATH_BYTES, "%s/%s:%s", folder, id, ifname);
}

void save_state(const char *folder, const char *id, const char *ifname, const char *text) {
    char path[PATH_BYTES], alias[PATH_BYTES];
    state_path(path, folder, id, ifname);
    int fd = (int)need(openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), path);
    need(write(fd, text, strlen(text)), path);
    close(fd);
    snprintf(alias, sizeof alias, "%s/%s", folder, id);
    need(linkat(AT_FDCWD, path, AT_FDCWD, alias, 0), alias);
}

void load_state(const char *folder, const char *id, const char *ifname) {
    char path[PATH_BYTES], text[4096];
    state_path(path, folder, id, ifname);
    read_file(path, text, sizeof text);
}

void remove_state(const char *folder, const char *id, const char *ifname) {
    char path[PATH_BYTES], alias[PATH_BYTES];
    uint64_t device, inode, alias_device, alias_inode;
    state_path(path, folder, id, ifname);
    snprintf(alias, sizeof alias, "%s/%s", folder, id);
    file_identity(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &device, &inode);
    file_identity(AT_FDCWD, alias, AT_SYMLINK_NOFOLLOW, &alias_device, &alias_inode);
    if (alias_inode != 0 && inode == alias_inode) need(unlinkat(AT_FDCWD, alias, 0), alias);
    if (inode != 0) need(unlinkat(AT_FDCWD, path, 0), path);
}

void format_ip(char *text, uint32_t ip) {
    snprintf(text, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

uint32_t parse_ip(const char *text) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d) != 4) return 0;
    return a << 24 | b << 16 | c << 8 | d;
}

static int lock_store(const char *folder) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/lock", folder);
    int fd = (int)need(openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0750), path);
    need(flock(fd, LOCK_EX), path);
    return fd;
}

// The n-th link of an attachment's index; how long its target is, negative when there is no such link.
static long read_link(const char *folder, const char *id, const char *ifname, int n, char *path, char *target) {
    snprintf(path, PATH_BYTES, "%s/.%s:%s:%d", folder, id, ifname, n);
    long length = readlinkat(AT_FDCWD, path, target, 255);
    target[length < 0 ? 0 : length] = '\0';
    return length;
}

static uint32_t address_after(uint32_t last, uint32_t gateway, unsigned length) {
    uint32_t hosts = 0xffffffff >> length, network = gateway & ~hosts;
    do last = network | ((last + 1) & hosts);
    while (last == network || last == (network | hosts) || last == gateway);
    return last;
}

static int create_address_file(const char *folder, uint32_t ip, const char *owner) {
    char name[16], path[PATH_BYTES];
    format_ip(name, ip);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) return 0;
    need(fd, path);
    need(write(fd, owner, strlen(owner)), path);
    close(fd);
    return 1;
}

uint32_t take_address(const char *folder, const char *id, const char *ifname, uint32_t gateway, unsigned length) {
    char path[PATH_BYTES], last_path[PATH_BYTES], text[256], owner[PATH_BYTES], name[16];
    int lock = lock_store(folder);
    read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
    snprintf(path, sizeof path, "%s/.boot", folder);
    read_file(path, text, sizeof text);
    snprintf(last_path, sizeof last_path, "%s/last_reserved_ip.0", folder);
    read_file(last_path, text, sizeof text);
    size_t old_length = strlen(text);
    uint32_t ip = parse_ip(text);
    if (read_link(folder, id, ifname, 0, path, text) >= 0) fail("the attachment has an address");
    snprintf(owner, sizeof owner, "%s\r\n%s", id, ifname);
    do ip = address_after(ip, gateway, length);
    while (!create_address_file(folder, ip, owner));
    if (read_link(folder, id, ifname, 0, path, text) >= 0) fail("the attachment has an address");
    format_ip(name, ip);
    need(symlinkat(name, AT_FDCWD, path), path);
    int last = (int)need(openat(AT_FDCWD, last_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), last_path);
    need(write(last, name, strlen(name)), last_path);
    if (strlen(name) < old_length) need(ftruncate(last, (off_t)strlen(name)), last_path);
    close(last);
    close(lock);
    return ip;
}

void release_address(const char *folder, const char *id, const char *ifname) {
    char links[2][PATH_BYTES], target[256], next[256], path[PATH_BYTES], owner[PATH_BYTES];
    int lock = lock_store(folder);
    int found = read_link(folder, id, ifname, 0, links[0], target) >= 0;
    if (found) {
        read_link(folder, id, ifname, 1, links[1], next);
        snprintf(path, sizeof path, "%s/%s", folder, target);
        read_file(path, owner, sizeof owner);
        need(unlinkat(AT_FDCWD, path, 0), path);
        need(unlinkat(AT_FDCWD, links[0], 0), links[0]);
    }
    close(lock);
}
