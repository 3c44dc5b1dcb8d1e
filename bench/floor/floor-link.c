// The netlink messages of cni-plugin/bridge, in their order and with as many sends and receives.

#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES = 16384, DUMP_BYTES = 65536, SKIP_STATS = 8, UP = 1, BROADCAST_SCOPE = 0, PORT_MODE_ON = 1 };

static char out[4096], reply[DUMP_BYTES];
static size_t used;       // bytes of out
static char deletion[64]; // the request that the child sends to delete
static size_t deletion_length;
static uint32_t sequence;
static struct nlmsghdr *message; // the one being written

static void *append(const void *bytes, size_t length) {
    char *at = out + used;
    memcpy(at, bytes, length);
    memset(at + length, 0, NLMSG_ALIGN(length) - length);
    used += NLMSG_ALIGN(length);
    return at;
}

static void begin(unsigned type, unsigned flags, const void *body, size_t length) {
    struct nlmsghdr header = {.nlmsg_type = (uint16_t)type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)};
    header.nlmsg_seq = ++sequence;
    message = append(&header, sizeof header);
    append(body, length);
}

static void end(void) { message->nlmsg_len = (uint32_t)(out + used - (char *)message); }

static struct rtattr *attribute(unsigned type, const void *bytes, size_t length) {
    struct rtattr header = {.rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = (uint16_t)type};
    struct rtattr *at = append(&header, sizeof header);
    if (length > 0) append(bytes, length);
    return at;
}

static void attribute_u32(unsigned type, uint32_t value) { attribute(type, &value, sizeof value); }
static void attribute_text(unsigned type, const char *text) { attribute(type, text, strlen(text) + 1); }
static void attribute_ip(unsigned type, uint32_t ip) { attribute_u32(type, __builtin_bswap32(ip)); }
static void close_nest(struct rtattr *nest) { nest->rta_len = (uint16_t)(out + used - (char *)nest); }

static void attribute_mac(unsigned second, uint32_t ip) {
    uint8_t mac[6] = {0x0a, (uint8_t)second, ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255};
    attribute(IFLA_ADDRESS, mac, sizeof mac);
}

static int open_socket(unsigned groups, int options) {
    int fd = (int)need(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "netlink");
    const int names[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}, on = 1;
    for (int i = 0; i < 3 && options; i++) setsockopt(fd, SOL_NETLINK, names[i], &on, sizeof on);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    socklen_t length = sizeof address;
    need(bind(fd, (struct sockaddr *)&address, sizeof address), "netlink");
    need(getsockname(fd, (struct sockaddr *)&address, &length), "netlink");
    return fd;
}

int open_netlink(void) { return open_socket(0, 1); }

static void send_all(int fd) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    need(sendto(fd, out, used, 0, (struct sockaddr *)&kernel, sizeof kernel), "netlink");
    used = 0;
}

// One datagram; NULL when there is none.
static struct nlmsghdr *receive(int fd, size_t size) {
    struct sockaddr_nl from;
    socklen_t length = sizeof from;
    ssize_t got = recvfrom(fd, reply, size, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &length);
    if (got < 0 && errno == EAGAIN) return NULL;
    need(got, "netlink");
    return (struct nlmsghdr *)reply;
}

// Fails unless the message is an ack of success, or a refusal with `allowed`.
static int acknowledged(const struct nlmsghdr *answer, int allowed) {
    if (answer == NULL || answer->nlmsg_type != NLMSG_ERROR) fail("netlink: no ack");
    int error = *(const int *)NLMSG_DATA(answer);
    if (error == 0 || error == -allowed) return error == 0;
    errno = -error;
    fail("netlink");
}

static void ask_link(int fd, const char *name, int index) {
    struct ifinfomsg info = {.ifi_index = index};
    begin(RTM_GETLINK, 0, &info, sizeof info);
    if (name != NULL) attribute_text(IFLA_IFNAME, name);
    attribute_u32(IFLA_EXT_MASK, SKIP_STATS);
    end();
    send_all(fd);
}

static const struct ifinfomsg *link_of(const struct nlmsghdr *answer) {
    return answer != NULL && answer->nlmsg_type == RTM_NEWLINK ? NLMSG_DATA(answer) : NULL;
}

int find_link(int netlink, const char *name) {
    ask_link(netlink, name, 0);
    const struct nlmsghdr *answer = receive(netlink, REPLY_BYTES);
    const struct ifinfomsg *link = link_of(answer);
    if (link == NULL) acknowledged(answer, ENODEV);
    return link == NULL ? 0 : link->ifi_index;
}

void check_gateway(int netlink, int bridge) {
    struct ifaddrmsg info = {.ifa_family = AF_INET, .ifa_index = (unsigned)bridge};
    begin(RTM_GETADDR, NLM_F_DUMP, &info, sizeof info);
    end();
    send_all(netlink);
    int addresses = 0;
    for (;;) {
        const struct nlmsghdr *answer = receive(netlink, DUMP_BYTES);
        if (answer == NULL || answer->nlmsg_type == NLMSG_DONE) break;
        addresses += answer->nlmsg_type == RTM_NEWADDR;
    }
    if (addresses != 1) fail("the node is not warm: the bridge has no gateway address");
}

static void write_pair(const struct attachment *pod, int bridge) {
    struct ifinfomsg host = {.ifi_flags = UP, .ifi_change = UP}, peer = {0};
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, &host, sizeof host);
    attribute_text(IFLA_IFNAME, pod->host_name);
    attribute_mac(0x59, pod->ip);
    attribute_u32(IFLA_MTU, pod->mtu);
    attribute_u32(IFLA_TXQLEN, 0);
    attribute_u32(IFLA_MASTER, (uint32_t)bridge);
    struct rtattr *info = attribute(IFLA_LINKINFO, NULL, 0);
    attribute_text(IFLA_INFO_KIND, "veth");
    struct rtattr *data = attribute(IFLA_INFO_DATA, NULL, 0), *end_in_pod = attribute(VETH_INFO_PEER, NULL, 0);
    append(&peer, sizeof peer);
    attribute_text(IFLA_IFNAME, pod->ifname);
    attribute_mac(0x58, pod->ip);
    attribute_u32(IFLA_MTU, pod->mtu);
    attribute_u32(IFLA_NET_NS_FD, (uint32_t)pod->netns);
    close_nest(end_in_pod), close_nest(data), close_nest(info);
    end();
}

static void write_port(const char *name) {
    const uint8_t hairpin = PORT_MODE_ON, isolated = 0;
    struct ifinfomsg link = {0};
    begin(RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
    attribute_text(IFLA_IFNAME, name);
    struct rtattr *info = attribute(IFLA_LINKINFO, NULL, 0);
    attribute_text(IFLA_INFO_SLAVE_KIND, "bridge");
    struct rtattr *data = attribute(IFLA_INFO_SLAVE_DATA, NULL, 0);
    attribute(IFLA_BRPORT_MODE, &hairpin, 1);
    attribute(IFLA_BRPORT_ISOLATED, &isolated, 1);
    close_nest(data), close_nest(info);
    end();
}

// The echo of the first message tells both indexes.
void create_pair(int netlink, const struct attachment *pod, int bridge, int *host_index, int *pod_index) {
    write_pair(pod, bridge);
    write_port(pod->host_name);
    send_all(netlink);
    const struct nlmsghdr *made = receive(netlink, REPLY_BYTES);
    const struct ifinfomsg *link = link_of(made);
    if (link == NULL) acknowledged(made, 0), fail("no echo");
    *host_index = link->ifi_index;
    int left = (int)made->nlmsg_len - (int)NLMSG_LENGTH(sizeof *link);
    for (struct rtattr *at = IFLA_RTA(link); RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == IFLA_LINK) *pod_index = *(int *)RTA_DATA(at);
    acknowledged(receive(netlink, REPLY_BYTES), 0);
}

static void write_route(uint32_t destination, unsigned length, uint32_t gateway, int index, unsigned flags) {
    struct rtmsg route = {.rtm_family = AF_INET, .rtm_dst_len = (uint8_t)length, .rtm_table = RT_TABLE_MAIN};
    route.rtm_protocol = RTPROT_BOOT, route.rtm_scope = RT_SCOPE_UNIVERSE, route.rtm_type = RTN_UNICAST;
    begin(RTM_NEWROUTE, NLM_F_CREATE | flags, &route, sizeof route);
    if (length > 0) attribute_ip(RTA_DST, destination);
    attribute_ip(RTA_GATEWAY, gateway);
    attribute_u32(RTA_OIF, (uint32_t)index);
    end();
}

static void write_settings(const struct attachment *pod, int index) {
    struct ifinfomsg link = {.ifi_index = index};
    begin(RTM_NEWLINK, 0, &link, sizeof link);
    struct rtattr *spec = attribute(IFLA_AF_SPEC, NULL, 0), *family = attribute(AF_INET, NULL, 0);
    struct rtattr *conf = attribute(IFLA_INET_CONF, NULL, 0);
    attribute_u32(IPV4_DEVCONF_ARP_NOTIFY, 1);
    close_nest(conf), close_nest(family), close_nest(spec);
    end();
    struct ifaddrmsg address = {.ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)pod->length, .ifa_index = (unsigned)index};
    begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
    attribute_ip(IFA_LOCAL, pod->ip);
    attribute_ip(IFA_ADDRESS, pod->ip);
    attribute_ip(IFA_BROADCAST, pod->ip | 0xffffffff >> pod->length);
    end();
    struct ifinfomsg up = {.ifi_index = index, .ifi_flags = UP, .ifi_change = UP};
    begin(RTM_NEWLINK, 0, &up, sizeof up);
    end();
}

void configure_pod(const struct attachment *pod, int pod_index) {
    char path[PATH_BYTES];
    int own = (int)need(openat(AT_FDCWD, "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "own netns");
    need(setns(pod->netns, CLONE_NEWNET), "setns");
    int netlink = open_netlink();
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_dad", pod->ifname);
    int setting = openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (setting >= 0) {
        need(write(setting, "0", 1), path);
        close(setting);
    }
    write_settings(pod, pod_index);
    write_route(pod->network, pod->network_length, pod->gateway, pod_index, 0);
    write_route(0, 0, pod->gateway, pod_index, NLM_F_ACK);
    send_all(netlink);
    acknowledged(receive(netlink, REPLY_BYTES), 0);
    close(netlink);
    need(setns(own, CLONE_NEWNET), "setns");
    close(own);
}

// Asked only once: the kernel has set it up by then, and the plugin asks again only when it has not.
void wait_for_port(int netlink, int host_index) {
    ask_link(netlink, NULL, host_index);
    if (link_of(receive(netlink, REPLY_BYTES)) == NULL) fail("the host end is gone");
}

static void read_clock(void) {
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
}

// The child that deletes shares our memory, but not our stack, nor the buffer for the next request.
static int ask_deletion(void *deleter) {
    close(0), close(1), close(2);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    sendto((int)(intptr_t)deleter, deletion, deletion_length, 0, (struct sockaddr *)&kernel, sizeof kernel);
    _exit(0);
}

// Like cni-plugin/bridge/delete-link.ts: a child asks for the deletion and waits for the kernel's barrier; we return when the device is
// gone.
void delete_link(int netlink, int index) {
    int events = open_socket(RTMGRP_LINK, 0), deleter = open_socket(0, 0);
    struct ifinfomsg link = {.ifi_index = index};
    begin(RTM_DELLINK, NLM_F_ACK, &link, sizeof link);
    end();
    memcpy(deletion, out, deletion_length = used);
    used = 0;
    static char stack[16384] __attribute__((aligned(16)));
    need(clone(ask_deletion, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)(intptr_t)deleter), "clone");
    read_clock();
    for (int gone = 0; !gone;) {
        struct pollfd ready[] = {{.fd = events, .events = POLLIN}, {.fd = deleter, .events = POLLIN}};
        struct timespec limit = {.tv_sec = 5};
        read_clock();
        if (need(ppoll(ready, 2, &limit, NULL), "poll") == 0) fail("the link does not go");
        for (const struct nlmsghdr *event; !gone && (event = receive(events, REPLY_BYTES)) != NULL;) {
            const struct ifinfomsg *which = NLMSG_DATA(event);
            gone = event->nlmsg_type == RTM_DELLINK && which->ifi_family == AF_UNSPEC && which->ifi_index == index;
        }
    }
    ask_link(netlink, NULL, index);
    acknowledged(receive(netlink, REPLY_BYTES), ENODEV);
    close(events);
    close(deleter);
}
