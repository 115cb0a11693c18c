/* The parts of local nodes that need neither root nor daemons: locks, records, directories, files,
 * child processes. */
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/local/check.h"
#include "lib/local/cluster.h"
#include "lib/local/files.h"
#include "lib/local/node.h"
#include "lib/local/record.h"
#include "lib/local/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define A "01234567-89ab-4cde-8f01-23456789abcd"
#define B "01234567-ffff-4cde-8f01-23456789abcd"

static char top[64], state_dir[80];
static mag_error err;

static int set_up(void)
{
    snprintf(top, sizeof top, "/tmp/mag-lib-XXXXXX");
    if (!mkdtemp(top))
        return -1;
    snprintf(state_dir, sizeof state_dir, "%s/s", top);
    return 0;
}

static int tear_down(void)
{
    return mag_remove_tree(top, NULL) == MAG_OK ? 0 : -1;
}

static void test_lock(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/lock", top);
    CU_ASSERT(!mag_lock_held(path));
    CU_ASSERT_EQUAL(mag_lock_take(path, false), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    int fd = mag_lock_take(path, true);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT(mag_lock_held(path));
    CU_ASSERT(mag_lock_held(path)); /* looking does not take it */
    CU_ASSERT_EQUAL(mag_lock_take(path, true), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
    int ready[2];
    CU_ASSERT_EQUAL_FATAL(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork(); /* a child keeps it when its parent is gone */
    if (pid == 0) {
        char c;
        (void)close(ready[1]);
        (void)!read(ready[0], &c, 1);
        _exit(0);
    }
    (void)close(fd);
    CU_ASSERT(mag_lock_held(path));
    (void)close(ready[1]);
    (void)waitpid(pid, NULL, 0);
    (void)close(ready[0]);
    CU_ASSERT(!mag_lock_held(path));
}

static void test_record(void)
{
    struct mag_node_record r, again;
    mag_record_read(top, &r);
    CU_ASSERT_EQUAL(r.pid, 0);
    CU_ASSERT_EQUAL(mag_record_pidfd(&r), -1);
    pid_t pid = fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    r.port = 4711;
    CU_ASSERT_EQUAL(mag_record_of(pid, &r, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_record_write(top, &r, &err), MAG_OK);
    mag_record_read(top, &again);
    CU_ASSERT_EQUAL(again.pid, pid);
    CU_ASSERT_EQUAL(again.port, 4711);
    CU_ASSERT(mag_record_age_ms(&again) < 60000);
    int fd = mag_record_pidfd(&again);
    CU_ASSERT(fd >= 0);
    (void)close(fd);
    struct mag_node_record other = again; /* the same pid in another life */
    other.start++;
    CU_ASSERT_EQUAL(mag_record_pidfd(&other), -1);
    other = again;
    other.boot[0] ^= 1; /* or before the machine was restarted */
    CU_ASSERT_EQUAL(mag_record_pidfd(&other), -1);
    (void)kill(pid, SIGKILL);
    siginfo_t info;
    (void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    CU_ASSERT_EQUAL(mag_record_pidfd(&again), -1); /* a zombie is not alive */
    (void)waitpid(pid, NULL, 0);
    CU_ASSERT_EQUAL(mag_record_pidfd(&again), -1);
}

static void test_garbage_record(void)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{\"pid\": -1}",
                                        "{\"pid\": \"1\"}",
                                        "{\"pid\": 99999999999, \"port\": 70000}"};
    char path[96];
    snprintf(path, sizeof path, "%s/node.json", top);
    for (size_t i = 0; i < MAG_LEN(texts); i++) {
        struct mag_node_record r;
        CU_ASSERT_EQUAL(mag_write_file(path, mag_text(texts[i]), 0600, &err), MAG_OK);
        mag_record_read(top, &r);
        CU_ASSERT_EQUAL(r.pid, 0);
        CU_ASSERT_EQUAL(r.port, 0);
        CU_ASSERT_EQUAL(mag_record_pidfd(&r), -1);
    }
}

static void test_files(void)
{
    char path[200], deep[160];
    struct stat st;
    _mag_free_ char *text = NULL;
    snprintf(deep, sizeof deep, "%s/a/b/c", top);
    CU_ASSERT_EQUAL(mag_mkdirs(deep, 0700, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_mkdirs(deep, 0700, &err), MAG_OK);
    snprintf(path, sizeof path, "%s/key", deep);
    CU_ASSERT_EQUAL(mag_write_file(path, mag_text("old"), 0644, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_write_file(path, mag_text("secret"), 0600, &err), MAG_OK);
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
    CU_ASSERT_EQUAL(mag_read_file(path, 6, &text, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "secret");
    char *more = NULL;
    CU_ASSERT_EQUAL(mag_read_file(path, 5, &more, &err), MAG_E_INVALID);
    CU_ASSERT_EQUAL(mag_read_file("/proc/nonexistent/x", 5, &more, &err), MAG_E_NOT_FOUND);
    CU_ASSERT_PTR_NULL(more);
    /* A link inside a tree is removed, never followed. */
    char outside[96], link[200], tree[96];
    snprintf(outside, sizeof outside, "%s/outside", top);
    snprintf(tree, sizeof tree, "%s/a", top);
    snprintf(link, sizeof link, "%s/link", deep);
    CU_ASSERT_EQUAL(mag_write_file(outside, mag_text("keep"), 0600, &err), MAG_OK);
    CU_ASSERT_EQUAL(symlink(top, link), 0);
    CU_ASSERT_EQUAL(mag_remove_tree(tree, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_remove_tree(tree, &err), MAG_OK);
    CU_ASSERT_EQUAL(access(tree, F_OK), -1);
    CU_ASSERT_EQUAL(access(outside, F_OK), 0);
    CU_ASSERT_EQUAL(mag_write_file("/proc/nonexistent/x", mag_text("x"), 0600, &err),
                    MAG_E_UNAVAILABLE);
}

static int32_t open_cluster(const char *uuid, bool create, struct mag_local_cluster *c)
{
    *c = MAG_LOCAL_CLUSTER_INIT;
    return mag_local_open(state_dir, uuid, "/bin/true", "/bin/true", create, c, &err);
}

static void test_cluster_dirs(void)
{
    struct mag_local_cluster a, b, again;
    char found[MAG_LOCAL_BASE_MAX];
    CU_ASSERT_EQUAL(open_cluster(A, false, &a), MAG_OK);
    CU_ASSERT_STRING_EQUAL(a.dir, ""); /* nothing is made by looking */
    CU_ASSERT_EQUAL(access(state_dir, F_OK), -1);
    CU_ASSERT_EQUAL(open_cluster(A, true, &a), MAG_OK);
    CU_ASSERT_EQUAL(open_cluster(A, true, &again), MAG_AGAIN); /* one at a time */
    CU_ASSERT_EQUAL(open_cluster(B, true, &b), MAG_OK);        /* the same first eight digits */
    CU_ASSERT_STRING_NOT_EQUAL(a.dir, b.dir);
    CU_ASSERT_EQUAL(strlen(b.dir), strlen(a.dir) + 4);
    CU_ASSERT_EQUAL(mag_local_find(state_dir, B, found, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(found, b.dir);
    mag_local_close(&a);
    CU_ASSERT_EQUAL(open_cluster(A, false, &again), MAG_OK);
    CU_ASSERT_STRING_EQUAL(again.dir, a.dir);
    CU_ASSERT_EQUAL(mag_local_destroy(&again, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_local_find(state_dir, B, found, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(found, b.dir); /* it keeps its name when the shorter one is free */
    CU_ASSERT_EQUAL(mag_local_find(state_dir, A, found, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(found, "");
    CU_ASSERT_EQUAL(mag_local_destroy(&b, &err), MAG_OK);
    CU_ASSERT_EQUAL(open_cluster("../../../etc", true, &a), MAG_E_INVALID);
}

static void test_places(void)
{
    static const char *const bad[] = {"relative", "/run/magnum", "/var/lib/docker", "/etc/docker/x",
                                      "/a/path/that/is/much/too/long/for/the/sockets/below/it"};
    struct mag_local_cluster c;
    for (size_t i = 0; i < MAG_LEN(bad); i++) {
        err = (mag_error){.struct_size = sizeof err};
        CU_ASSERT_EQUAL(mag_local_open(bad[i], A, "/bin/true", "/bin/true", true, &c, &err),
                        MAG_E_INVALID);
        CU_ASSERT(err.flags & MAG_ERR_OPERATOR);
        CU_ASSERT(strstr(err.remedy, "state_dir") != NULL);
    }
}

static void test_names(void)
{
    struct mag_local_cluster c = {.uuid = A, .dir = "/s/01234567", .lock_fd = -1};
    char text[96], base[MAG_LOCAL_BASE_MAX + 8], ip[16];
    mag_local_base(&c, 200, base);
    CU_ASSERT_STRING_EQUAL(base, "/s/01234567/n200");
    mag_local_netns(&c, 0, text);
    CU_ASSERT_STRING_EQUAL(text, "mag-" A "-fab");
    mag_local_netns(&c, 200, text);
    CU_ASSERT_STRING_EQUAL(text, "mag-" A "-n200");
    mag_local_cgroup(&c, 7, text);
    CU_ASSERT_STRING_EQUAL(text, "/magnum/" A "/n7");
    mag_local_address(1, ip);
    CU_ASSERT_STRING_EQUAL(ip, "10.77.0.11");
    mag_local_address(200, ip);
    CU_ASSERT_STRING_EQUAL(ip, "10.77.0.210");
}

static void test_spawn(void)
{
    _mag_free_ char *out = NULL;
    const char *const cat[] = {"/bin/cat", NULL};
    CU_ASSERT_EQUAL(mag_run(cat, "hello\n", -1, 60000, &out, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(out, "hello\n");
    const char *const fails[] = {"/bin/sh", "-c", "echo first >&2; echo the reason >&2; exit 3",
                                 NULL};
    CU_ASSERT_EQUAL(mag_run(fails, NULL, -1, 60000, NULL, &err), MAG_E_UNAVAILABLE);
    CU_ASSERT_STRING_EQUAL(err.message, "the reason");
    const char *const missing[] = {"/proc/nonexistent/x", NULL};
    CU_ASSERT(mag_run(missing, NULL, -1, 60000, NULL, &err) < 0);
    const char *const hangs[] = {"/bin/sleep", "60", NULL};
    CU_ASSERT_EQUAL(mag_run(hangs, NULL, -1, 50, NULL, &err), MAG_E_TIMEOUT);
    /* Nothing of ours is open in a child but what was handed over, as descriptor 3. */
    int secret = fcntl(STDERR_FILENO, F_DUPFD, 20), kept = open("/dev/null", O_RDONLY);
    char script[128];
    snprintf(script, sizeof script, "test -e /proc/$$/fd/3 && ! test -e /proc/$$/fd/%d", secret);
    const char *const look[] = {"/bin/sh", "-c", script, NULL};
    CU_ASSERT_EQUAL(mag_run(look, NULL, kept, 60000, NULL, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_run(look, NULL, -1, 60000, NULL, &err), MAG_E_UNAVAILABLE);
    (void)close(secret);
    (void)close(kept);
}

static void test_find_program(void)
{
    char path[64] = "unchanged";
    CU_ASSERT(!mag_find_program("/nonexistent:/etc", "sh", path, sizeof path));
    CU_ASSERT_STRING_EQUAL(path, "unchanged");
    CU_ASSERT(mag_find_program("::/nonexistent:/bin", "sh", path, sizeof path));
    CU_ASSERT_STRING_EQUAL(path, "/bin/sh");
    CU_ASSERT(!mag_find_program("/bin", "sh", path, 4));
}

/* What is missing is named together, with the packages that bring it, each once. */
static void test_check_names_packages(void)
{
    static const struct mag_local_program programs[] = {
        {"no-such-daemon", "daemon.io"}, {"no-such-tool", "daemon.io"}, {"no-such", "tools"}};
    char fresh[96];
    snprintf(fresh, sizeof fresh, "%s/fresh", top);
    const struct mag_local_wants wants = {
        .state_dir = fresh, .programs = programs, .n_programs = MAG_LEN(programs)};
    struct mag_local_machine m;
    err = (mag_error){.struct_size = sizeof err};
    int32_t rc = mag_local_check(&wants, &m, &err);
    CU_ASSERT(err.flags & MAG_ERR_OPERATOR);
    if (geteuid() != 0) {
        CU_ASSERT_EQUAL(rc, MAG_E_UNSUPPORTED);
        CU_ASSERT(strstr(err.remedy, "as root") != NULL);
        return;
    }
    CU_ASSERT_EQUAL(rc, MAG_E_NOT_FOUND);
    CU_ASSERT(strstr(err.message, "no-such-daemon, no-such-tool, no-such") != NULL);
    CU_ASSERT(strstr(err.remedy, "apt-get install daemon.io tools") != NULL);
    CU_ASSERT_EQUAL(access(fresh, F_OK), -1); /* nothing was made */
}

static void test_node_states(void)
{
    char base[160], lock[200];
    struct mag_node_record r;
    snprintf(base, sizeof base, "%s/node", top);
    snprintf(lock, sizeof lock, "%s/lock", base);
    CU_ASSERT_EQUAL(mag_node_look(base, NULL), MAG_NODE_ABSENT);
    CU_ASSERT_EQUAL(mag_mkdirs(base, 0700, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_node_look(base, NULL), MAG_NODE_STOPPED);
    int fd = mag_lock_take(lock, true);
    CU_ASSERT_EQUAL(mag_node_look(base, NULL), MAG_NODE_CHANGING); /* not recorded yet */
    memset(&r, 0, sizeof r);
    CU_ASSERT_EQUAL(mag_record_of(getpid(), &r, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_record_write(base, &r, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_node_look(base, &r), MAG_NODE_RUNNING);
    CU_ASSERT_EQUAL(r.pid, getpid());
    (void)close(fd);
    CU_ASSERT_EQUAL(mag_node_look(base, NULL), MAG_NODE_CHANGING); /* on its way out */
    r.start++;
    CU_ASSERT_EQUAL(mag_record_write(base, &r, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_node_look(base, NULL), MAG_NODE_STOPPED);
    char words[32];
    snprintf(lock, sizeof lock, "%s/log", base);
    CU_ASSERT_EQUAL(mag_write_file(lock, mag_text("one\nlast line\n\n"), 0600, &err), MAG_OK);
    mag_node_last_words(base, words, sizeof words);
    CU_ASSERT_STRING_EQUAL(words, "last line");
}

TEST_MAIN("sdk_lib_local", set_up, tear_down, TEST(test_lock), TEST(test_record),
          TEST(test_garbage_record), TEST(test_files), TEST(test_cluster_dirs), TEST(test_places),
          TEST(test_names), TEST(test_spawn), TEST(test_find_program),
          TEST(test_check_names_packages), TEST(test_node_states))
