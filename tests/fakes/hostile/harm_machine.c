/* Takes all there is of processes, memory, descriptors, disk, log. See hostile.h. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BOMB = 5000, HOG_MB = 1024, PAGE = 4096 };

static void *sleep_for_ever(void *arg)
{
    (void)poll(NULL, 0, -1);
    return arg;
}

json_t *harm_forks(const json_t *p)
{
    int made = 0, why = 0;
    (void)p;
    for (int i = 0; i < BOMB && !why; i++) {
        pid_t pid = fork();
        if (pid == 0)
            sleep_for_ever(NULL);
        why = pid < 0 ? errno : 0;
        made += pid > 0;
    }
    return json_pack("{s:i,s:i}", "made", made, "errno", why);
}

json_t *harm_threads(const json_t *p)
{
    int made = 0, why = 0;
    pthread_attr_t small;
    (void)p;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    for (int i = 0; i < BOMB && !why; i++) {
        pthread_t id;
        why = pthread_create(&id, &small, sleep_for_ever, NULL);
        made += why == 0;
    }
    return json_pack("{s:i,s:i}", "made", made, "errno", why);
}

json_t *harm_hog(const json_t *p)
{
    int mb = 0;
    (void)p;
    for (char *m; mb < HOG_MB && (m = malloc(1 << 20)) != NULL; mb++)
        memset(m, 1, 1 << 20);
    return json_pack("{s:i}", "mb", mb);
}

/* Shared memory is in no process's own limit. */
json_t *harm_shared_hog(const json_t *p)
{
    int mb = 0;
    (void)p;
    for (; mb < HOG_MB; mb++) {
        char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED)
            break;
        for (int at = 0; at < 1 << 20; at += PAGE)
            m[at] = 1;
    }
    return json_pack("{s:i}", "mb", mb);
}

json_t *harm_fds(const json_t *p)
{
    int n = 0;
    (void)p;
    while (n < BOMB && open("/dev/null", O_RDONLY) >= 0)
        n++;
    return json_pack("{s:i,s:i}", "opened", n, "errno", errno);
}

json_t *harm_disk(const json_t *p)
{
    static const char block[1 << 16];
    int kb = 0, why = 0;
    (void)p;
    for (int file = 0; file < 64 && why != ENOSPC; file++) {
        char path[32];
        snprintf(path, sizeof path, "/tmp/%d", file);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        why = fd < 0 ? errno : 0;
        for (int i = 0; i < 4096 && !why; i++) {
            ssize_t n = write(fd, block, sizeof block);
            why = n < 0 ? errno : 0;
            kb += n > 0 ? (int)(n / 1024) : 0;
        }
        if (fd >= 0)
            close(fd);
    }
    return json_pack("{s:i,s:i}", "kb", kb, "errno", why);
}

json_t *harm_log(const json_t *p)
{
    static char line[4096];
    (void)p;
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    for (;;)
        (void)!write(STDOUT_FILENO, line, sizeof line);
}

/* Grandchildren with a session of their own, whose parent is gone: nobody's children. */
json_t *harm_orphans(const json_t *p)
{
    int made = 0;
    (void)p;
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
            if (fork() != 0)
                _exit(0);
            sleep_for_ever(NULL);
        }
        made += pid > 0;
    }
    return json_pack("{s:i}", "made", made);
}
