#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/fault/fault.h"

#include "tests/fault/disk.h"
#include "tests/fault/disk_log.h"
#include "tests/support/daemon.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_ONCE = 4, SELF_SECONDS = 120 };

/* Those that are open. */
static struct fault *all[AT_ONCE];

void fault_open(struct fault *fault) {
    /* In memory, if possible: nothing here needs a real disk. */
    const char *parent = getenv("TMPDIR");
    if (parent == NULL)
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    *fault = (struct fault){0};
    snprintf(fault->folder, sizeof fault->folder, "%s/fault-XXXXXX", parent);
    if (mkdtemp(fault->folder) == NULL)
        fail_msg("%s: %s", fault->folder, strerror(errno));
    snprintf(fault->root, sizeof fault->root, "%s/root", fault->folder);
    snprintf(fault->plan_path, sizeof fault->plan_path, "%s/plan", fault->folder);
    snprintf(fault->log, sizeof fault->log, "%s/log", fault->folder);
    snprintf(fault->left, sizeof fault->left, "%s/left", fault->folder);
    assert_int_equal(mkdir(fault->root, 0700), 0);
    int fd = open(fault->plan_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof *fault->plan), 0);
    fault->plan = mmap(NULL, sizeof *fault->plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(fault->plan != MAP_FAILED);
    close(fd);
    for (int i = 0; i < AT_ONCE; i++)
        if (all[i] == NULL) {
            all[i] = fault;
            return;
        }
    fail_msg("too many at once");
}

void fault_close(struct fault *fault) {
    for (int i = 0; i < AT_ONCE; i++)
        if (all[i] == fault)
            all[i] = NULL;
    munmap(fault->plan, sizeof *fault->plan);
    disk_remove_folder(fault->folder);
}

int fault_set_up(void **state) {
    fault_open(*state);
    return 0;
}

int fault_tear_down(void **state) {
    int failed = scenario_teardown(state);
    fault_end();
    for (int i = 0; i < AT_ONCE; i++)
        if (all[i] != NULL)
            fault_close(all[i]);
    return failed;
}

void fault_begin(const struct fault *fault, bool with_log) {
    const char *build = getenv("BUILD");
    char layer[PATH_MAX], relative[PATH_MAX];
    snprintf(relative, sizeof relative, "%s/tests/fault/layer.so", build != NULL && *build != '\0' ? build : "build");
    if (realpath(relative, layer) == NULL)
        fail_msg("%s: %s", relative, strerror(errno));
    setenv("LD_PRELOAD", layer, 1);
    setenv("MALLOC_PERTURB_", "165", 1); /* what is used before it is set, or after it was freed, shows */
    setenv("FAULT_PLAN", fault->plan_path, 1);
    setenv("FAULT_ROOT", fault->root, 1);
    if (with_log)
        setenv("FAULT_LOG", fault->log, 1);
}

void fault_end(void) {
    unsetenv("LD_PRELOAD");
    unsetenv("MALLOC_PERTURB_");
    unsetenv("FAULT_PLAN");
    unsetenv("FAULT_ROOT");
    unsetenv("FAULT_LOG");
}

void fault_set(struct fault *fault, int kinds, int error, long from, long to) {
    struct fault_plan *plan = fault->plan;
    atomic_store(&plan->kinds, 0);
    atomic_store(&plan->error, error);
    atomic_store(&plan->from, from);
    atomic_store(&plan->to, to);
    atomic_store(&plan->seen, 0);
    atomic_store(&plan->failed, 0);
    atomic_store(&plan->kinds, kinds);
}

void fault_clear(struct fault *fault) {
    atomic_store(&fault->plan->kinds, 0);
}

int fault_run_self(const struct fault *fault, const char *what, const char *more) {
    fault_begin(fault, true);
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(SELF_SECONDS);
        if (getppid() == parent)
            execl("/proc/self/exe", "self", what, fault->root, more, (char *)NULL);
        _exit(127);
    }
    fault_end();
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void fault_begin_anew(const struct fault *fault) {
    assert_int_equal(remove(fault->log), 0);
    disk_remove_folder(fault->root);
    assert_int_equal(mkdir(fault->root, 0700), 0);
}

void fault_each(struct fault *fault, const struct fault_each *each) {
    long n = 1;
    for (bool failed = true; failed; n += n < 5 ? 1 : each->step) {
        char which[128];
        fault_set(fault, each->kinds, each->error, n, each->for_good ? 1000000000 : n);
        int status = fault_run_self(fault, each->what, NULL);
        failed = atomic_load(&fault->plan->failed) > 0;
        fault_clear(fault);
        snprintf(which, sizeof which, "%s %s operation %ld", strerror(each->error), each->for_good ? "from" : "at",
                 n);
        if (status != 0)
            fail_msg("%s: the process ended with %d", which, status);
        each->look(which);
        fault_begin_anew(fault);
    }
    print_message("%ld operations\n", n);
}

const char *fault_where(const struct fault *fault, const char *program) {
    static char text[512];
    char command[PATH_MAX + 64], self[PATH_MAX];
    if (program == NULL)
        program = realpath("/proc/self/exe", self);
    snprintf(command, sizeof command, "addr2line -f -s -e %s 0x%lx", program,
             (unsigned long)atomic_load(&fault->plan->where));
    FILE *pipe = popen(command, "re");
    size_t n = pipe != NULL ? fread(text, 1, sizeof text - 1, pipe) : 0;
    text[n] = '\0';
    if (pipe != NULL)
        pclose(pipe);
    for (char *at; (at = strchr(text, '\n')) != NULL;)
        *at = ' ';
    return text;
}

void fault_note(const char *format, ...) {
    void (*mark)(const char *);
    *(void **)&mark = dlsym(RTLD_DEFAULT, "fault_mark");
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (mark != NULL)
        mark(text);
}

void fault_note_beside(const struct fault *fault, const char *format, ...) {
    struct {
        struct disk_record record;
        char text[128];
    } mark = {.record = {.kind = DISK_MARK, .n = sizeof mark.text}};
    va_list args;
    va_start(args, format);
    vsnprintf(mark.text, sizeof mark.text, format, args);
    va_end(args);
    int fd = open(fault->log, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &mark, sizeof mark), sizeof mark); /* whole between the layer's */
    close(fd);
}

long fault_seen_here(void) {
    long (*seen)(void);
    *(void **)&seen = dlsym(RTLD_DEFAULT, "fault_seen");
    return seen != NULL ? seen() : 0;
}
