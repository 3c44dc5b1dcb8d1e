// flannel's saved delegate configuration and host-local's address files, with the calls of cni-plugin/flannel/
// state.ts and cni-plugin/host-local/store.ts in their order.

#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
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
    need(ioctl(fd, NS_GET_NSTYPE), "kind of the netns");
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
    need(flock(fd, LOCK_EX), path);
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

// Whether there is an n-th entry of an attachment's index, its path, and its inode.
static int find_entry(const char *folder, const char *id, const char *ifname, int n, char *path, uint64_t *inode) {
    uint64_t device;
    snprintf(path, PATH_BYTES, "%s/.%s:%s:%d", folder, id, ifname, n);
    file_identity(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &device, inode);
    return *inode != 0;
}

// The name, in a folder, of the file with that inode, except hidden names.
static void name_of(const char *folder, uint64_t inode, char *name, size_t size) {
    char entries[32 * 1024];
    int fd = (int)need(openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), folder);
    for (;;) {
        long count = need(syscall(SYS_getdents64, fd, entries, sizeof entries), folder);
        if (count == 0) break;
        for (long at = 0; at < count;) {
            uint64_t number;
            uint16_t length;
            memcpy(&number, entries + at, sizeof number);
            memcpy(&length, entries + at + 16, sizeof length);
            if (number == inode && entries[at + 19] != '.') snprintf(name, size, "%s", entries + at + 19);
            at += length;
        }
    }
    close(fd);
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
    need(flock(fd, LOCK_EX), path);
    need(write(fd, owner, strlen(owner)), path);
    close(fd);
    return 1;
}

uint32_t take_address(const char *folder, const char *id, const char *ifname, uint32_t gateway, unsigned length) {
    char path[PATH_BYTES], entry[PATH_BYTES], last_path[PATH_BYTES], text[256], owner[PATH_BYTES], name[16];
    uint64_t inode;
    int lock = lock_store(folder);
    snprintf(last_path, sizeof last_path, "%s/last_reserved_ip.0", folder);
    read_file(last_path, text, sizeof text);
    size_t old_length = strlen(text);
    uint32_t ip = parse_ip(text);
    if (find_entry(folder, id, ifname, 0, entry, &inode)) fail("the attachment has an address");
    snprintf(owner, sizeof owner, "%s\r\n%s", id, ifname);
    do ip = address_after(ip, gateway, length);
    while (!create_address_file(folder, ip, owner));
    format_ip(name, ip);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    need(linkat(AT_FDCWD, path, AT_FDCWD, entry, 0), entry);
    int last = (int)need(openat(AT_FDCWD, last_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), last_path);
    need(write(last, name, strlen(name)), last_path);
    if (strlen(name) < old_length) need(ftruncate(last, (off_t)strlen(name)), last_path);
    close(last);
    close(lock);
    return ip;
}

void release_address(const char *folder, const char *id, const char *ifname) {
    char entries[2][PATH_BYTES], name[256], path[PATH_BYTES], owner[PATH_BYTES];
    uint64_t inode, none;
    int lock = lock_store(folder);
    int found = find_entry(folder, id, ifname, 0, entries[0], &inode);
    if (found) {
        find_entry(folder, id, ifname, 1, entries[1], &none);
        name_of(folder, inode, name, sizeof name);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        read_file(path, owner, sizeof owner);
        need(unlinkat(AT_FDCWD, path, 0), path);
        need(unlinkat(AT_FDCWD, entries[0], 0), entries[0]);
    }
    close(lock);
}
