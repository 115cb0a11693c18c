/* Second source of the wrong drivers that are wrong as files: RUDE names what this one does while
 * it is loaded, or imports. Nothing here is ever called by wrong.c. */
#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum rude {
    /* at load time */
    RUDE_LOAD_FILE,
    RUDE_LOAD_THREAD,
    RUDE_LOAD_ENVIRONMENT,
    RUDE_LOAD_OUTPUT,
    RUDE_LOAD_MEMORY,
    RUDE_LOAD_SIGNAL,
    RUDE_LOAD_IFUNC,
    /* imports */
    RUDE_IMPORT_EXIT,
    RUDE_IMPORT_ABORT,
    RUDE_IMPORT_SYSTEM,
    RUDE_IMPORT_SIGNAL,
    RUDE_IMPORT_DLOPEN,
    RUDE_IMPORT_FORK,
    RUDE_IMPORT_SOCKET
};
enum { MUCH = 8 << 20 };

void *volatile rude_kept;
volatile int rude_last;
extern char **environ;

#if RUDE_AT_LOAD
static void *idle(void *p)
{
    return p;
}

static void work(void)
{
    static char variable[] = "MAGNUM_RUDE=1";
    static char *changed[] = {variable, NULL};
    pthread_t t;
    switch (RUDE) {
    case RUDE_LOAD_FILE:
        rude_last = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
        break;
    case RUDE_LOAD_THREAD:
        if (pthread_create(&t, NULL, idle, NULL) == 0)
            (void)pthread_join(t, NULL);
        break;
    case RUDE_LOAD_ENVIRONMENT:
        environ = changed; /* setenv would be found among the imports */
        break;
    case RUDE_LOAD_OUTPUT:
        puts("here I am");
        break;
    case RUDE_LOAD_MEMORY:
        rude_kept = memset(malloc(MUCH), 1, MUCH);
        break;
    case RUDE_LOAD_SIGNAL:
        (void)signal(SIGTERM, SIG_IGN);
        break;
    default:
        rude_last = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
        break;
    }
}
#endif

#if RUDE_AT_LOAD == 1
__attribute__((constructor)) static void at_load(void)
{
    work();
}
#elif RUDE_AT_LOAD == 2
static int answer(void)
{
    return 1;
}

/* The dynamic loader asks it which function is meant. */
__attribute__((used)) static int (*resolve(void))(void)
{
    work();
    return answer;
}
int rude_function(void) __attribute__((ifunc("resolve"), visibility("hidden")));
int (*volatile rude_pointer)(void) = rude_function;
#else
__attribute__((used)) static void calls(void)
{
    switch (RUDE) {
    case RUDE_IMPORT_EXIT:
        exit(1);
    case RUDE_IMPORT_ABORT:
        abort();
    case RUDE_IMPORT_SYSTEM:
        rude_last = system("true");
        break;
    case RUDE_IMPORT_SIGNAL:
        (void)signal(SIGTERM, SIG_IGN);
        break;
    case RUDE_IMPORT_DLOPEN:
        rude_kept = dlopen("libm.so.6", RTLD_NOW);
        break;
    case RUDE_IMPORT_FORK:
        rude_last = (int)fork();
        break;
    default:
        rude_last = socket(AF_INET, SOCK_STREAM, 0);
        break;
    }
}
#endif
