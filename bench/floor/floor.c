// The plugin as a runtime sees it: ADD and DEL of flannel with the bridge delegate in its classic configuration.
// The node must be warm: the bridge with its gateway, the folders and forwarding are there. Nothing is parsed
// beyond what the calls need, and no error is explained.

#include "floor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_FOLDER "/var/lib/cni/flannel"
#define NETWORKS_FOLDER "/var/lib/cni/networks"

_Noreturn void fail(const char *step) {
    printf("{\n    \"code\": 999,\n    \"msg\": \"%s: %m\"\n}\n", step);
    exit(1);
}

long need(long value, const char *step) {
    if (value < 0) fail(step);
    return value;
}

// The text behind `"key":"` in compact JSON, up to the next quote.
static void json_text(const char *json, const char *key, char *text, size_t size) {
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\":\"", key);
    const char *from = strstr(json, pattern);
    if (from == NULL) fail(key);
    from += strlen(pattern);
    snprintf(text, size, "%.*s", (int)strcspn(from, "\""), from);
}

static const char *subnet_value(const char *text, const char *name) {
    const char *at = strstr(text, name);
    if (at == NULL) fail(name);
    return at + strlen(name);
}

// veth and 11 hexadecimal digits of FNV-1a over container and interface.
static void name_host_end(char *name, const char *id, const char *ifname) {
    uint64_t hash = 0xcbf29ce484222325;
    for (; *id != '\0'; id++) hash = (hash ^ (uint8_t)*id) * 0x100000001b3;
    for (; *ifname != '\0'; ifname++) hash = (hash ^ (uint8_t)*ifname) * 0x100000001b3;
    snprintf(name, 16, "veth%011llx", (unsigned long long)(hash >> 20));
}

static unsigned prefix_length(const char *prefix) { return (unsigned)atoi(strchr(prefix, '/') + 1); }

static void print_result(const struct attachment *pod, const char *netns) {
    char ip[16], gateway[16], network[16];
    format_ip(ip, pod->ip);
    format_ip(gateway, pod->gateway);
    format_ip(network, pod->network);
    char text[2048];
    int length = snprintf(
        text, sizeof text,
        "{\n    \"cniVersion\": \"0.3.1\",\n    \"interfaces\": [\n        {\n            \"name\": \"cni0\"\n        },\n"
        "        {\n            \"name\": \"%s\"\n        },\n        {\n            \"name\": \"%s\",\n"
        "            \"sandbox\": \"%s\"\n        }\n    ],\n    \"ips\": [\n        {\n"
        "            \"version\": \"4\",\n            \"interface\": 2,\n            \"address\": \"%s/%u\",\n"
        "            \"gateway\": \"%s\"\n        }\n    ],\n    \"routes\": [\n        {\n"
        "            \"dst\": \"%s/%u\"\n        },\n        {\n            \"dst\": \"0.0.0.0/0\",\n"
        "            \"gw\": \"%s\"\n        }\n    ],\n    \"dns\": {}\n}",
        pod->host_name, pod->ifname, netns, ip, pod->length, gateway, network, pod->network_length, gateway);
    need(write(1, text, (size_t)length), "stdout");
}

static void add(const char *json, const char *id, const char *netns, struct attachment *pod) {
    char path[PATH_BYTES], folder[PATH_BYTES], name[128], subnet[512], state[512];
    json_text(json, "subnetFile", path, sizeof path);
    read_file(path, subnet, sizeof subnet);
    const char *network = subnet_value(subnet, "FLANNEL_NETWORK="), *own = subnet_value(subnet, "FLANNEL_SUBNET=");
    pod->mtu = (unsigned)atoi(subnet_value(subnet, "FLANNEL_MTU="));
    pod->network = parse_ip(network), pod->network_length = prefix_length(network);
    pod->gateway = parse_ip(own), pod->length = prefix_length(own);
    json_text(json, "name", name, sizeof name);
    snprintf(state, sizeof state,
             "{\"cniVersion\":\"0.3.1\",\"hairpinMode\":true,\"ipMasq\":false,\"ipam\":{\"ranges\":[[{\"subnet\":\"%.*s\"}]],"
             "\"routes\":[{\"dst\":\"%.*s\"}],\"type\":\"host-local\"},\"isDefaultGateway\":true,\"isGateway\":true,"
             "\"mtu\":%u,\"name\":\"%s\",\"type\":\"bridge\"}",
             (int)strcspn(own, "\n"), own, (int)strcspn(network, "\n"), network, pod->mtu, name);
    save_state(STATE_FOLDER, id, pod->ifname, state);
    int netlink = open_netlink(), host_index = 0, pod_index = 0;
    int bridge = find_link(netlink, "cni0");
    if (bridge == 0) fail("the node is not warm: no cni0");
    snprintf(folder, sizeof folder, NETWORKS_FOLDER "/%s", name);
    pod->ip = take_address(folder, id, pod->ifname, pod->gateway, pod->length);
    check_gateway(netlink, bridge);
    char forwarding[256];
    read_file("/proc/sys/net/ipv4/ip_forward", forwarding, sizeof forwarding);
    if (forwarding[0] != '1') fail("the node is not warm: it does not forward");
    create_pair(netlink, pod, bridge, &host_index, &pod_index);
    configure_pod(pod, pod_index);
    wait_for_port(netlink, host_index);
    print_result(pod, netns);
}

static void del(const char *json, const char *id, const struct attachment *pod) {
    char folder[PATH_BYTES], name[128];
    load_state(STATE_FOLDER, id, pod->ifname);
    int netlink = open_netlink();
    int index = find_link(netlink, pod->host_name);
    close(pod->netns);
    if (index != 0) delete_link(netlink, index);
    close(netlink);
    json_text(json, "name", name, sizeof name);
    snprintf(folder, sizeof folder, NETWORKS_FOLDER "/%s", name);
    release_address(folder, id, pod->ifname);
    remove_state(STATE_FOLDER, id, pod->ifname);
}

int main(void) {
    static char json[65536];
    const char *command = getenv("CNI_COMMAND"), *id = getenv("CNI_CONTAINERID"), *netns = getenv("CNI_NETNS");
    struct attachment pod = {.ifname = getenv("CNI_IFNAME")};
    if (command == NULL || id == NULL || netns == NULL || pod.ifname == NULL) fail("the environment of a CNI plugin");
    json[read_stdin(json, sizeof json - 1)] = '\0';
    name_host_end(pod.host_name, id, pod.ifname);
    pod.netns = (int)need(openat(AT_FDCWD, netns, O_RDONLY | O_CLOEXEC), netns);
    check_netns(pod.netns);
    if (strcmp(command, "ADD") == 0) add(json, id, netns, &pod);
    else if (strcmp(command, "DEL") == 0) del(json, id, &pod);
    else fail("CNI_COMMAND");
    _exit(0);
}
