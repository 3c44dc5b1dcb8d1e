// Ends the agent's process when its event loop hangs. All of it is done by signal handlers, which the kernel runs while JavaScript is stuck
// in an endless loop or in a system call. They need neither a thread nor memory.
//
// A beat of the loop sets the kernel's timer (alarm(2)) to FIRST_SEC. When there was no beat for this time, the loop gets MORE_SEC more,
// and then the process ends. There are two stages because a process that was stopped (SIGSTOP, a frozen cgroup, a machine in suspension)
// goes on with the first one when it continues, and its next beat sets the timer again. With one stage, having been stopped would end it.
//
// A signal to stop sets the timer to STOP_SEC, and beats have no effect any more. Node's own handler, which is called then, only writes the
// signal's number into a pipe that the loop may never read.
//
// Needs no header and no library except the C library that the process already has: deadline-node.ts loads it.

typedef void (*handler)(int);
struct pollfd { int fd; short events, revents; };
extern handler signal(int, handler);
extern unsigned alarm(unsigned);
extern int poll(struct pollfd *, unsigned long, int);
extern long write(int, const void *, unsigned long);
extern void _exit(int) __attribute__((noreturn));

enum { SIGINT = 2, SIGALRM = 14, SIGTERM = 15, SIGNALS = 16, STDERR = 2, POLLOUT = 4 };
enum { FIRST_SEC = 4, MORE_SEC = 26, STOP_SEC = 4 };

static volatile int is_silent, is_stopping;
// On emulated processors all times are stretched by this factor.
static unsigned factor = 1;
static handler nodes[SIGNALS];

static const char stood_still[] = "{\"level\":\"error\",\"msg\":\"ended by the kernel's timer: "
  "the event loop has stood still for 30 s; data plane left in place\"}\n";
static const char not_stopped[] = "{\"level\":\"error\",\"msg\":\"ended by the kernel's timer: "
  "not stopped in time; data plane left in place\"}\n";

// A pipe that poll reports as writable takes 4096 bytes without blocking. When nobody reads the log, the line is lost.
static void say(const char *line, unsigned long length) {
  struct pollfd log = {STDERR, POLLOUT, 0};
  if (poll(&log, 1, 0) == 1 && write(STDERR, line, length) < 0) return;
}

static void on_alarm(int number) {
  if (!is_stopping && !is_silent) {
    is_silent = 1;
    alarm(MORE_SEC * factor);
    return;
  }
  if (is_stopping) say(not_stopped, sizeof not_stopped - 1);
  else say(stood_still, sizeof stood_still - 1);
  _exit(number);
}

static void on_stop(int number) {
  if (!is_stopping) {
    is_stopping = 1;
    alarm(STOP_SEC * factor);
  }
  nodes[number](number);
}

/** Called at each beat of the loop. If on_stop interrupts it before the last call, this does no harm, since both set the same time. */
void deadline_beat(void) {
  is_silent = 0;
  if (!is_stopping) alarm(FIRST_SEC * factor);
}

/** Call when Node has installed its handlers of SIGTERM and SIGINT. */
void deadline_start(unsigned times) {
  if (times > 1) factor = times;
  signal(SIGALRM, on_alarm);
  nodes[SIGTERM] = signal(SIGTERM, on_stop);
  nodes[SIGINT] = signal(SIGINT, on_stop);
  deadline_beat();
}
