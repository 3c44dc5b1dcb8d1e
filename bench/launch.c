// Starts programs as a container runtime does (vfork and exec, the configuration on stdin, stdout read to its
// end, wait) and prints how long each took. usage: launch RUNS PROGRAM..., the programs interleaved; one line of
// nanoseconds a run, in the order of the programs. Their environment is ours; stdin is empty.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// The nanoseconds until it has ended successfully; any other end stops the measurement.
static long long launch(char *program) {
    int out[2], status;
    if (pipe2(out, O_CLOEXEC) < 0) exit(1);
    long long start = now();
    pid_t child = vfork();
    if (child == 0) {
        dup2(out[1], 1);
        execv(program, (char *[]){program, NULL});
        _exit(127);
    }
    close(out[1]);
    char bytes[4096];
    while (read(out[0], bytes, sizeof bytes) > 0) continue;
    close(out[0]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "%s did not end well\n", program);
        exit(1);
    }
    return now() - start;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (int run = atoi(argv[1]); run > 0; run--)
        for (int at = 2; at < argc; at++) printf("%lld%c", launch(argv[at]), at + 1 < argc ? ' ' : '\n');
    return 0;
}
