// Loads a path between two network namespaces with as little work of its own as possible, so that what is measured is the path.
//   path-load serve PORT CPU        answers at the four ports from PORT on until it is killed; prints a line when it listens
//   path-load MODE PORT CPU ADDRESS SECONDS [TIMES [CONGESTION]]
//                                   prints "RATE PROCESSOR": exchanges a second, or for stream Gbit/s, and seconds of all processors for
//                                   each exchange or GB. The rate is that of the median exchange, or of the median slice of the time: so it
//                                   leaves out when other programs had the processor. With TIMES the time is divided into so many runs,
//                                   each with a connection of its own; the rate is that of the best run, and the processors' time that of
//                                   all runs, because the kernel counts it by ticks. CONGESTION is the congestion control of TCP
//   path-load first PORT CPU ADDRESS 0        prints the microseconds of one exchange by UDP from a fresh port
//   path-load forget                removes all connections that the kernel tracks in this namespace
//   path-load tunnel-segments DEVICE on|off
// MODE is tcp or udp (one byte there and back), connect (connect, one byte there and back, close) or stream. A CPU of -1 is any.

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Offsets that are added to PORT.
enum { TCP, UDP, CONNECT, STREAM };
enum { WARM_UP = 200, BLOCK = 1 << 17, MOST = 1 << 20, SLICES = 20 };
// Seconds that an answer may take. TCP sends what was lost again; a path that is silent for longer than this is broken.
enum { UDP_LIMIT = 1, TCP_LIMIT = 15 };

static char block[BLOCK];
static float samples[MOST];
static int base;
// The congestion control of TCP connections; the machine's own when absent.
static const char *congestion;

static void fail(const char *what) {
    // What the kernel says when a time limit of a socket is over: EINPROGRESS for connect(2).
    if (errno == EAGAIN || errno == EINPROGRESS)
        fprintf(stderr, "%s: nothing came back in time (%d s by TCP, %d s by UDP)\n", what, TCP_LIMIT, UDP_LIMIT);
    else
        perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

// Seconds that all processors have worked since the start of the machine.
static double worked(void) {
    unsigned long long user, nice, system, idle, wait, irq, softirq;
    FILE *file = fopen("/proc/stat", "r");
    if (!file || fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &softirq) != 7)
        fail("/proc/stat");
    fclose(file);
    return (user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

static int compare(const void *a, const void *b) {
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static double median(long count) {
    qsort(samples, count, sizeof samples[0], compare);
    return samples[count / 2];
}

static void pin(int cpu) {
    cpu_set_t set;
    if (cpu < 0) return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
}

static void set(int socket, int level, int option) {
    int one = 1;
    setsockopt(socket, level, option, &one, sizeof one);
}

// Without this, a peer would be waited for for ever whose packets are lost, or who is gone.
static void limit(int socket, int seconds) {
    struct timeval time = {.tv_sec = seconds};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

static int open_at(int type, const char *address, int port) {
    int fd = socket(AF_INET, type, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(base + port)};
    if (address) {
        inet_pton(AF_INET, address, &at.sin_addr);
        if (type == SOCK_STREAM) set(fd, IPPROTO_TCP, TCP_NODELAY);
        if (type == SOCK_STREAM && congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, strlen(congestion)))
            fail(congestion);
        limit(fd, type == SOCK_STREAM ? TCP_LIMIT : UDP_LIMIT);
        if (connect(fd, (void *)&at, sizeof at)) fail("connect");
    } else {
        set(fd, SOL_SOCKET, SO_REUSEADDR);
        if (bind(fd, (void *)&at, sizeof at)) fail("bind");
        if (type == SOCK_STREAM && listen(fd, 512)) fail("listen");
    }
    return fd;
}

// Sends back every byte that arrives.
static void echo(int fd) {
    char bytes[64];
    ssize_t length;
    set(fd, IPPROTO_TCP, TCP_NODELAY);
    while ((length = read(fd, bytes, sizeof bytes)) > 0)
        if (write(fd, bytes, length) != length) return;
}

// Reads everything, and then sends how much it was.
static void take(int fd) {
    long long sum = 0;
    ssize_t length;
    while ((length = read(fd, block, sizeof block)) > 0) sum += length;
    if (write(fd, &sum, sizeof sum) < 0) return;
}

static void answer_once(int fd) {
    char byte;
    if (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) != 1) return;
}

static void serve_stream(int port, void (*handle)(int), int forks) {
    int listener = open_at(SOCK_STREAM, NULL, port);
    if (fork()) return;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        limit(fd, TCP_LIMIT);
        if (!forks || !fork()) {
            handle(fd);
            if (forks) _exit(0);
        }
        close(fd);
        while (forks && waitpid(-1, NULL, WNOHANG) > 0) continue;
    }
}

static void serve(void) {
    serve_stream(TCP, echo, 1);
    serve_stream(STREAM, take, 1);
    serve_stream(CONNECT, answer_once, 0);
    int udp = open_at(SOCK_DGRAM, NULL, UDP);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        char bytes[64];
        ssize_t length = recvfrom(udp, bytes, sizeof bytes, 0, (void *)&from, &size);
        if (length >= 0) sendto(udp, bytes, length, 0, (void *)&from, size);
    }
}

static void exchange(int fd) {
    char byte = 7;
    if (write(fd, &byte, 1) != 1) fail("write");
    errno = 0;
    if (read(fd, &byte, 1) != 1) fail("read");
}

static void connect_once(const char *address) {
    struct linger hard = {.l_onoff = 1};
    int fd = open_at(SOCK_STREAM, address, CONNECT);
    exchange(fd);
    // Avoids TIME_WAIT, which would use up the ports.
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

typedef struct {
    // Exchanges a second, or Gbit/s.
    double rate;
    // Exchanges, or GB, and the seconds that all processors worked for them.
    double amount, work;
} Result;

static Result exchanges(const char *mode, const char *address, double seconds) {
    int connects = !strcmp(mode, "connect");
    int fd = connects ? -1 : !strcmp(mode, "udp") ? open_at(SOCK_DGRAM, address, UDP) : open_at(SOCK_STREAM, address, TCP);
    for (int warm = 0; warm < WARM_UP && !connects; warm++) exchange(fd);
    double at = now(), before = worked(), end = at + seconds;
    long count = 0;
    while (at < end && count < MOST) {
        connects ? connect_once(address) : exchange(fd);
        double next = now();
        samples[count++] = next - at;
        at = next;
    }
    double work = worked() - before;
    if (fd >= 0) close(fd);
    return (Result){1 / median(count), count, work};
}

static Result stream(const char *address, double seconds) {
    int fd = open_at(SOCK_STREAM, address, STREAM);
    double before = worked();
    long long sum = 0;
    for (int slice = 0; slice < SLICES; slice++) {
        double start = now(), at = start;
        long long sent = 0;
        while ((at = now()) - start < seconds / SLICES) {
            ssize_t length = write(fd, block, sizeof block);
            if (length <= 0) fail("write");
            sent += length;
        }
        samples[slice] = sent * 8 / (at - start) / 1e9;
    }
    shutdown(fd, SHUT_WR);
    errno = 0;
    if (read(fd, &sum, sizeof sum) != sizeof sum) fail("read");
    double work = worked() - before;
    close(fd);
    return (Result){median(SLICES), sum / 1e9, work};
}

// The scheduler falls into one of several rhythms with each run, and keeps it. After a pause it begins anew.
static void best(const char *mode, const char *address, double seconds, int times) {
    enum { LEAST_US = 10000, SPREAD_US = 20000 };
    int streams = !strcmp(mode, "stream");
    Result all = {0};
    for (int run = 0; run < times; run++) {
        if (run > 0) usleep(LEAST_US + random() % SPREAD_US);
        Result result = streams ? stream(address, seconds / times) : exchanges(mode, address, seconds / times);
        if (result.rate > all.rate) all.rate = result.rate;
        all.amount += result.amount;
        all.work += result.work;
    }
    printf(streams ? "%.6f %.4f\n" : "%.1f %.9f\n", all.rate, all.work / all.amount);
}

static void first(const char *address) {
    int fd = open_at(SOCK_DGRAM, address, UDP);
    double start = now();
    exchange(fd);
    printf("%.1f 0\n", (now() - start) * 1e6);
}

static void forget(void) {
    struct {
        struct nlmsghdr header;
        struct nfgenmsg family;
    } request = {.header = {.nlmsg_len = sizeof request,
                            .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK}};
    char answer[256];
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    if (send(fd, &request, sizeof request, 0) < 0) fail("send");
    if (recv(fd, answer, sizeof answer, 0) < 0) fail("recv");
    int code = *(int *)(answer + sizeof(struct nlmsghdr));
    if (code) {
        fprintf(stderr, "conntrack: error %d\n", code);
        exit(1);
    }
}

static void ethtool(int fd, const char *device, void *data) {
    struct ifreq request = {.ifr_data = data};
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCETHTOOL, &request)) fail("ethtool");
}

// Every feature of the device whose name begins with tx-udp_tnl.
static void tunnel_segments(const char *device, int on) {
    enum { MOST = 256 };
    static struct {
        struct ethtool_gstrings head;
        char names[MOST][ETH_GSTRING_LEN];
    } strings = {.head = {.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES}};
    static struct {
        struct ethtool_sfeatures head;
        struct ethtool_set_features_block blocks[MOST / 32];
    } features = {.head = {.cmd = ETHTOOL_SFEATURES}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), found = 0;
    ethtool(fd, device, &strings);
    features.head.size = (strings.head.len + 31) / 32;
    for (unsigned at = 0; at < strings.head.len && at < MOST; at++) {
        if (strncmp(strings.names[at], "tx-udp_tnl", 10)) continue;
        features.blocks[at / 32].valid |= 1u << at % 32;
        if (on) features.blocks[at / 32].requested |= 1u << at % 32;
        found = 1;
    }
    if (!found) {
        fprintf(stderr, "%s has no tunnel segmentation\n", device);
        exit(1);
    }
    ethtool(fd, device, &features);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && !strcmp(argv[1], "forget")) return forget(), 0;
    if (argc == 4 && !strcmp(argv[1], "tunnel-segments")) return tunnel_segments(argv[2], !strcmp(argv[3], "on")), 0;
    if (argc < 4) return 2;
    base = atoi(argv[2]);
    pin(atoi(argv[3]));
    if (argc == 4 && !strcmp(argv[1], "serve")) return serve(), 0;
    if (argc < 6 || argc > 8) return 2;
    if (argc == 8) congestion = argv[7];
    if (!strcmp(argv[1], "first")) return first(argv[4]), 0;
    return best(argv[1], argv[4], atof(argv[5]), argc >= 7 ? atoi(argv[6]) : 1), 0;
}
