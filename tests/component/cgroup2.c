/* What is version 2's own of the cgroups around drivers: a process joins, all that it has started
 * ends by one write, the cgroup goes. On a hierarchy mounted for this test alone, in mounts of its
 * own; where memory and pids belong to version 1, as on many machines of both, limits can't be set
 * in it, so the cgroup is made here. Needs root. */
#include "base/io.h"
#include "drivers/cgroup.h"
#include "support/cunit_main.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/magnum-cgroup2-XXXXXX";
static bool mounted;

static int setup(void)
{
    if (!mkdtemp(top))
        return -1;
    if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        mounted = mount("none", top, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
    _cleanup_free_ char *try = str_fmt("%s/magnum-try-%ld", top, (long)getpid());
    mounted = mounted && try && mkdir(try, 0755) == 0 && rmdir(try) == 0;
    if (!mounted)
        fprintf(stderr, "skipped: cgroups of version 2 can't be had here (%s)\n", strerror(errno));
    return 0;
}

static int teardown(void)
{
    if (mounted)
        (void)umount2(top, MNT_DETACH);
    (void)rmdir(top);
    return 0;
}

/* It waits until it may start two more, tells that they are there, and they all wait for ever. */
static pid_t family(int *go, int *told)
{
    int to[2], from[2];
    CU_ASSERT_EQUAL_FATAL(pipe(to) | pipe(from), 0);
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        char c;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (read(to[0], &c, 1) != 1)
            _exit(1);
        if (fork() != 0)
            (void)!fork();
        (void)!write(from[1], "x", 1);
        for (;;)
            (void)pause();
    }
    (void)close(to[0]);
    (void)close(from[1]);
    *go = to[1];
    *told = from[0];
    return pid;
}

static int members(const struct cgroup *c)
{
    _cleanup_free_ char *path = str_fmt("%s/cgroup.procs", c->dirs[0]), *text = NULL;
    int n = 0;
    if (!path || io_read_file(path, 65536, &text, NULL, NULL) != 0)
        return -1;
    for (const char *p = text; *p; p++)
        n += *p == '\n';
    return n;
}

static void all_end_together(void)
{
    if (!mounted)
        return;
    struct cgroup_place place = {.version = 2};
    struct cgroup *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;
    char told[3];
    int go, from, status = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    pthread_mutex_init(&place.lock, NULL);
    pthread_mutex_init(&c->lock, NULL);
    c->place = &place;
    c->users = 1;
    c->dirs[0] = str_fmt("%s/magnum-test-%ld", top, (long)getpid());
    CU_ASSERT_EQUAL_FATAL(mkdir(c->dirs[0], 0755), 0);
    pid_t pid = family(&go, &from);
    ASSERT_OK(cgroup_join(c, pid, &e), &e);
    CU_ASSERT_EQUAL(members(c), 1);
    CU_ASSERT_EQUAL(write(go, "x", 1), 1);
    for (size_t n = 0; n < sizeof told;) {
        ssize_t got = read(from, told + n, sizeof told - n);
        CU_ASSERT_FATAL(got > 0);
        n += (size_t)got;
    }
    CU_ASSERT_EQUAL(members(c), 3);
    cgroup_end(c);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CU_ASSERT_EQUAL(read(from, told, 1), 0); /* the others' ends of the pipe are closed, too */
    /* Too late, nobody is put in any more: with us in it, it could not be removed. */
    ASSERT_OK(cgroup_join(c, getpid(), &e), &e);
    _cleanup_free_ char *dir = str_dup(c->dirs[0]);
    cgroup_free(&c);
    /* while the kernel still has the last of them it says EBUSY: swept later, as the keeper does */
    for (int i = 0; i < 10000 && place.left.n; i++) {
        cgroup_place_sweep(&place);
        (void)usleep(1000);
    }
    CU_ASSERT(access(dir, F_OK) < 0 && errno == ENOENT);
    strv_free(&place.left);
    pthread_mutex_destroy(&place.lock);
    (void)close(go);
    (void)close(from);
}

TEST_MAIN("cgroup2", setup, teardown, TEST(all_end_together))
