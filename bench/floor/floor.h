// The C floor: what attaching and detaching a pod costs in system calls alone. bench/cni.ts measures the CNI
// executable against it; `npm run bench -- where` lists where the two differ in calls.

#pragma once

#include <stddef.h>
#include <stdint.h>

// Ends the process with a CNI error object that names the step.
_Noreturn void fail(const char *step);
// `value`, unless it is negative: then fails.
long need(long value, const char *step);

// floor-files.c: the state of flannel and host-local.
enum { PATH_BYTES = 512 };
size_t read_stdin(char *bytes, size_t size);
void read_file(const char *path, char *text, size_t size); // "" when there is none
void check_netns(int fd);
void save_state(const char *folder, const char *id, const char *ifname, const char *text);
void load_state(const char *folder, const char *id, const char *ifname);
void remove_state(const char *folder, const char *id, const char *ifname);
uint32_t take_address(const char *folder, const char *id, const char *ifname, uint32_t gateway, unsigned length);
void release_address(const char *folder, const char *id, const char *ifname);
void format_ip(char *text, uint32_t ip);
uint32_t parse_ip(const char *text);

// floor-link.c: the veth pair and what is inside the pod.
struct attachment {
    const char *ifname;
    char host_name[16];
    int netns;
    uint32_t ip, gateway, network;
    unsigned length, network_length, mtu;
};
int open_netlink(void);
int find_link(int netlink, const char *name); // its index, 0 when there is none
void check_gateway(int netlink, int bridge);
void create_pair(int netlink, const struct attachment *pod, int bridge, int *host_index, int *pod_index);
void configure_pod(const struct attachment *pod, int pod_index);
void wait_for_port(int netlink, int host_index);
void delete_link(int netlink, int index);
