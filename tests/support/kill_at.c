/* Preloaded into a program under test: kills it with SIGKILL right before its nth call that changes
 * the file system (environment: KILL_AT=n), so that a test can walk through all the points at which
 * a machine may fail. Without KILL_AT it counts, and writes the count to KILL_AT_COUNT at exit. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long calls;

static void step(void)
{
    const char *at = getenv("KILL_AT");
    calls++;
    if (at && calls == atol(at))
        raise(SIGKILL);
}

__attribute__((destructor)) static void tell(void)
{
    const char *file = getenv("KILL_AT_COUNT");
    FILE *f = file ? fopen(file, "w") : NULL;
    if (f) {
        fprintf(f, "%ld", calls);
        fclose(f);
    }
}

/* ISO C knows no conversion between pointers to objects and to functions; POSIX does. */
#define NEXT(name, to)                                                                             \
    do {                                                                                           \
        void *p_ = dlsym(RTLD_NEXT, name);                                                         \
        memcpy(&(to), &p_, sizeof p_);                                                             \
    } while (0)

int mkdir(const char *path, mode_t mode)
{
    step();
    int (*real)(const char *, mode_t);
    NEXT("mkdir", real);
    return real(path, mode);
}

int rename(const char *from, const char *to)
{
    step();
    int (*real)(const char *, const char *);
    NEXT("rename", real);
    return real(from, to);
}

int fsync(int fd)
{
    step();
    int (*real)(int);
    NEXT("fsync", real);
    return real(fd);
}

int remove(const char *path)
{
    step();
    int (*real)(const char *);
    NEXT("remove", real);
    return real(path);
}

ssize_t write(int fd, const void *data, size_t len)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        step();
    ssize_t (*real)(int, const void *, size_t);
    NEXT("write", real);
    return real(fd, data, len);
}
