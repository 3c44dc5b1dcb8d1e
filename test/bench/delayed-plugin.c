// A plugin that waits: DELAY_MS before it becomes the plugin PLUGIN (BEFORE), or after that has ended.
// gcc -static -DPLUGIN='"/path"' -DDELAY_MS=5 -DBEFORE=1

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void delay(void) {
    struct timespec time = {0, DELAY_MS * 1000000L};
    nanosleep(&time, NULL);
}

int main(int argc, char **argv) {
    (void)argc;
    if (BEFORE) delay();
    else {
        pid_t child = fork();
        int status = 0;
        if (child < 0) return 1;
        if (child > 0) {
            waitpid(child, &status, 0);
            delay();
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        }
    }
    execv(PLUGIN, argv);
    return 127;
}
