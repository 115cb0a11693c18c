/* Endpoints and what may be sent over them, sockets with the shared options, and the small thread
 * tools of this folder. See rpc_internal.h. */
#include "base/clock.h"
#include "base/parse.h"
#include "config/config.h"
#include "rpc/rpc_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

/* Literal addresses only: a name could be resolved to somewhere else later. */
static bool is_loopback(const char *host_port)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    int end = 0;
    if (strncmp(host_port, "[::1]:", 6) == 0)
        return true;
    return sscanf(host_port, "%3u.%3u.%3u.%3u:%n", &a, &b, &c, &d, &end) == 4 && end > 0 &&
           a == 127 && b < 256 && c < 256 && d < 256;
}

/* ZeroMQ takes a port modulo 65536 without a word. */
static bool has_port(const char *endpoint)
{
    const char *colon = strrchr(endpoint + strlen("tcp://"), ':');
    int64_t port = 0;
    return colon && (strcmp(colon, ":*") == 0 || parse_i64(colon + 1, 0, 65535, &port));
}

int rpc_endpoint_check(const char *endpoint, bool curve, struct err *e)
{
    if (str_starts(endpoint, "ipc://") && endpoint[6])
        return 0;
    if (!str_starts(endpoint, "tcp://") || !has_port(endpoint))
        return err_set(e, ERR_CONFIG,
                       "endpoint \"%.128s\" must be tcp://address:port or ipc://path", endpoint);
    if (curve || is_loopback(endpoint + 6))
        return 0;
    return err_set(e, ERR_CONFIG,
                   "endpoint %.128s is not on the loopback interface: make keys with magnum-keygen "
                   "and set rpc.keys_dir",
                   endpoint);
}

int rpc_socket_set(zsock_t *s, int option, int value, struct err *e)
{
    if (zmq_setsockopt(zsock_resolve(s), option, &value, sizeof value) == 0)
        return 0;
    return err_set(e, ERR_CONFIG, "socket option %d can't be %d: %s", option, value,
                   zmq_strerror(zmq_errno()));
}

int rpc_monitor_open(zsock_t *s, int events, zsock_t **ret, struct err *e)
{
    /* Never the same again in this process: a socket closed is not at once a free address. */
    static atomic_ullong names;
    char name[64];
    snprintf(name, sizeof name, "inproc://magnum-monitor-%llu", atomic_fetch_add(&names, 1));
    if (zmq_socket_monitor(zsock_resolve(s), name, events) < 0)
        return err_set(e, ERR_UNAVAILABLE, "cannot watch the connection: %s",
                       zmq_strerror(zmq_errno()));
    *ret = zsock_new(ZMQ_PAIR);
    if (!*ret || zmq_connect(zsock_resolve(*ret), name) < 0)
        return err_set(e, ERR_UNAVAILABLE, "cannot watch the connection");
    return rpc_socket_set(*ret, ZMQ_RCVTIMEO, 0, e);
}

void rpc_monitor_close(zsock_t **s, zsock_t **monitor)
{
    /* Before its socket: the monitor's own end lives in the socket's thread. */
    if (*s)
        (void)zmq_socket_monitor(zsock_resolve(*s), NULL, 0);
    zsock_destroy(monitor);
    zsock_destroy(s);
}

static void prepare_czmq(void)
{
    /* czmq would otherwise take SIGINT and SIGTERM from the program. */
    zsys_handler_set(NULL);
    /* and would set itself up with the first socket, which two threads may make at once */
    zsys_init();
}

zsock_t *rpc_socket_new(const struct config *cfg, int type, const char *endpoint, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare_czmq);
    zsock_t *s = zsock_new(type);
    if (!s) {
        err_set(e, ERR_UNAVAILABLE, "cannot make a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
        return NULL;
    }
    int beat = (int)cfg->rpc_heartbeat_ms, queue = (int)cfg->rpc_queue_length;
    const int options[][2] = {
        {ZMQ_LINGER, 0},
        {ZMQ_SNDHWM, queue},
        {ZMQ_RCVHWM, queue},
        {ZMQ_RCVTIMEO, 0},
        {ZMQ_SNDTIMEO, 0},
        {ZMQ_HEARTBEAT_IVL, beat},
        {ZMQ_HEARTBEAT_TIMEOUT, beat * 3},
        {ZMQ_HEARTBEAT_TTL, beat * 3},
        {ZMQ_HANDSHAKE_IVL, 5000}, /* who connects and says nothing is put out after this */
        {ZMQ_RECONNECT_IVL, 100},
        {ZMQ_RECONNECT_IVL_MAX, 2000},
        {ZMQ_IPV6, strchr(endpoint, '[') != NULL},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(options); i++)
        rc = rpc_socket_set(s, options[i][0], options[i][1], e);
    int64_t max = cfg->rpc_max_message_bytes + RPC_FRAME_SLACK;
    if (rc == 0 && zmq_setsockopt(zsock_resolve(s), ZMQ_MAXMSGSIZE, &max, sizeof max) < 0)
        rc = err_set(e, ERR_CONFIG, "cannot limit messages to %lld bytes", (long long)max);
    if (rc < 0)
        zsock_destroy(&s);
    return s;
}

int rpc_thread_start(pthread_t *ret, void *(*fn)(void *), void *arg, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(ret, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0 ? 0 : err_set(e, ERR_NOMEM, "cannot start a thread: %s", strerror(rc));
}

int rpc_bell_new(struct err *e)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd >= 0 ? fd : err_errno(e, errno, "cannot make an eventfd");
}

void rpc_bell_ring(int fd)
{
    uint64_t one = 1;
    /* The only failure is a counter that is full, and then the bell rings already. */
    (void)!write(fd, &one, sizeof one);
}

void rpc_bell_quiet(int fd)
{
    uint64_t count = 0;
    (void)!read(fd, &count, sizeof count);
}
