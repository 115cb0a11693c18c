/* magnum-api as a program: what keeps it from starting is said in one line with a failing exit
 * status; it tells when it is ready, and a signal ends it after the requests in flight. */
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "support/cunit_main.h"
#include "support/pg.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static struct pg *server;
static char *database, dir[] = "/tmp/magnum-api-program-XXXXXX";

static char *program(const char *name)
{
    const char *build = getenv("MAGNUM_BUILD_DIR");
    return str_fmt("%s/bin/%s", build ? build : ".", name);
}

/* Starts `name` with these arguments; *ret_err reads its standard error. -1: it can't be started,
 * which finish() tells. No assertions: the set-up uses them too. */
static pid_t spawn(const char *name, const char *const *args, int *ret_err)
{
    _cleanup_free_ char *path = program(name);
    const char *argv[16] = {path};
    int fds[2];
    pid_t pid = -1;
    posix_spawn_file_actions_t fa;
    for (size_t i = 0; args[i] && i < 14; i++)
        argv[i + 1] = args[i];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, fds[1], 2);
    posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, path, &fa, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&fa);
    close(fds[1]);
    *ret_err = fds[0];
    return pid;
}

/* Its exit status; its standard error in `text`. */
static int finish(pid_t pid, int err, char *text, size_t size)
{
    size_t n = 0;
    int status = 0;
    for (ssize_t r; n + 1 < size && (r = read(err, text + n, size - 1 - n)) > 0;)
        n += (size_t)r;
    text[n] = '\0';
    close(err);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int start(void)
{
    char text[4096];
    int err = -1;
    server = pg_start(false, NULL);
    if (!server || !mkdtemp(dir))
        return 1;
    database = str_fmt("database.connection=%s", pg_conninfo(server));
    const char *const args[] = {"--connection", pg_conninfo(server), "upgrade", NULL};
    pid_t pid = spawn("magnum-db-manage", args, &err);
    return finish(pid, err, text, sizeof text);
}

static int stop(void)
{
    free(database);
    pg_stop(&server);
    return rmdir(dir) == 0 ? 0 : 1;
}

static void wrong_settings_are_told(void)
{
    _cleanup_free_ char *empty = pg_new_database(server, "bare");
    _cleanup_free_ char *bare = str_fmt("database.connection=%s", empty);
    const struct {
        const char *args[7];
        int status;
        const char *says;
    } rows[] = {
        {{"--set", "api.port=99999"}, 1, "api.port"},
        {{"--set", "nosuch.option=1"}, 1, "nosuch"},
        {{"--set", "api.port"}, 1, "SECTION.NAME=VALUE"},
        {{"--config", "/nonexistent/magnum.yaml"}, 1, "/nonexistent/magnum.yaml"},
        {{"--config", "/dev/null"}, 1, "database.connection"},
        {{"--set", "database.connection=host=/nonexistent"}, 1, "no connection to the database"},
        {{"--set", bare}, 1, "magnum-db-manage upgrade"},
        {{"--set", database, "--set", "api.host=0.0.0.0"}, 1, "noauth"},
        {{"--set", database, "--set", "catalog.file=/nonexistent"}, 1, "catalog.file"},
        {{"surplus"}, 2, "surplus"},
        {{"--nosuch"}, 2, "nosuch"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[4096];
        int err = -1;
        pid_t pid = spawn("magnum-api", rows[i].args, &err);
        CU_ASSERT_EQUAL(finish(pid, err, text, sizeof text), rows[i].status);
        CU_ASSERT_PTR_NOT_NULL(strstr(text, rows[i].says));
        const char *newline = strchr(text, '\n');
        CU_ASSERT(newline && newline[1] == '\0'); /* one line */
    }
}

static int listen_somewhere(int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&in, len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void a_taken_port_is_told(void)
{
    char text[4096], option[32];
    int port = 0, err = -1;
    _cleanup_close_ int fd = listen_somewhere(&port);
    CU_ASSERT(fd >= 0);
    snprintf(option, sizeof option, "api.port=%d", port);
    const char *const args[] = {"--set", database, "--set", option, NULL};
    pid_t pid = spawn("magnum-api", args, &err);
    CU_ASSERT_EQUAL(finish(pid, err, text, sizeof text), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "taken"));
}

/* What the service manager is told; "" when nothing came in time. */
static const char *notified(int fd)
{
    static char text[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    text[0] = '\0';
    if (poll(&p, 1, 60000) == 1) {
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = '\0';
    }
    return text;
}

static bool answers(int port)
{
    static const char rq[] = "GET /v1/clusters HTTP/1.0\r\nHost: a\r\n\r\n";
    char text[64] = "";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        write(fd, rq, sizeof rq - 1) != (ssize_t)sizeof rq - 1)
        return false;
    return read(fd, text, sizeof text - 1) > 0 && strstr(text, " 200 ") != NULL;
}

static void it_is_ready_when_it_says_so(void)
{
    char text[4096], port_option[128], port_path[96];
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int err = -1;
    snprintf(port_path, sizeof port_path, "%s/port", dir);
    snprintf(port_option, sizeof port_option, "api.port_file=%s", port_path);
    snprintf(un.sun_path, sizeof un.sun_path, "%s/notify", dir);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    setenv("NOTIFY_SOCKET", un.sun_path, 1);
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        const char *const args[] = {"--set", database,    "--set", "api.port=0",
                                    "--set", port_option, NULL};
        pid_t pid = spawn("magnum-api", args, &err);
        CU_ASSERT_STRING_EQUAL(notified(fd), "READY=1");
        _cleanup_free_ char *port = NULL;
        size_t len = 0;
        struct err e = ERR_INIT;
        ASSERT_OK(io_read_file(port_path, 16, &port, &len, &e), &e);
        CU_ASSERT(answers(atoi(port)));
        CU_ASSERT_EQUAL(kill(pid, signals[i]), 0);
        CU_ASSERT_STRING_EQUAL(notified(fd), "STOPPING=1");
        CU_ASSERT_EQUAL(finish(pid, err, text, sizeof text), 0);
        CU_ASSERT_FALSE(answers(atoi(port)));
        unlink(port_path);
    }
    unsetenv("NOTIFY_SOCKET");
    unlink(un.sun_path);
}

TEST_MAIN("api_program", start, stop, TEST(wrong_settings_are_told), TEST(a_taken_port_is_told),
          TEST(it_is_ready_when_it_says_so))
