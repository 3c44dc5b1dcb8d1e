// Runs a program and either lists its system calls or kills one process at one of them, on entry, so that the call is
// not made. strace(1) can inject a signal, too, but counts in each process anew, so that a child's first call of a
// kind cannot be had without its parent's.
//
// usage: killer trace FILE PROGRAM            one line a call: process, number, which one of that number
//        killer kill PROCESS NUMBER NTH PROGRAM   exit status 0 = it died there, 3 = nothing did
// Processes are counted from 0 in the order of their appearance; calls from the program's execve(2) on.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <linux/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 64, NUMBERS = 1024 };

static struct {
    pid_t pid;
    int counts[NUMBERS];
} processes[PROCESSES];
static int known, started;

static int index_of(pid_t pid) {
    for (int i = 0; i < known; i++)
        if (processes[i].pid == pid) return i;
    if (known == PROCESSES) exit(2);
    processes[known].pid = pid;
    return known++;
}

// The number of the call that is being entered; −1 for any other stop.
static long entered(pid_t pid) {
    struct ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return -1;
    return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr < NUMBERS ? (long)info.entry.nr : -1;
}

static pid_t start(char **program) {
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execv(program[0], program);
        _exit(127);
    }
    int status;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || ptrace(PTRACE_SETOPTIONS, pid, 0, options) < 0) exit(2);
    index_of(pid);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    return pid;
}

int main(int argc, char **argv) {
    int tracing = argc == 4 && strcmp(argv[1], "trace") == 0;
    if (!tracing && argc != 6) return 2;
    FILE *log = tracing ? fopen(argv[2], "we") : NULL;
    int process = tracing ? -1 : atoi(argv[2]), number = tracing ? -1 : atoi(argv[3]);
    int nth = tracing ? -1 : atoi(argv[4]), died = 0;
    start(argv + argc - 1);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) break; // no process is left
        int who = index_of(pid);
        if (!WIFSTOPPED(status)) continue;
        int signal = WSTOPSIG(status), event = status >> 16;
        if (event == PTRACE_EVENT_EXEC) started = 1;
        long call = signal == (SIGTRAP | 0x80) && started ? entered(pid) : -1;
        if (call >= 0) {
            int count = ++processes[who].counts[call];
            if (log != NULL) fprintf(log, "%d %ld %d\n", who, call, count);
            if (who == process && call == number && count == nth) {
                kill(pid, SIGKILL);
                died = 1;
                continue;
            }
        }
        // A traced process starts with a SIGSTOP that is not meant for it.
        int ours = event != 0 || signal == (SIGTRAP | 0x80) || signal == SIGSTOP;
        ptrace(PTRACE_SYSCALL, pid, 0, ours ? 0 : signal);
    }
    if (log != NULL) fclose(log);
    return tracing || died ? 0 : 3;
}
