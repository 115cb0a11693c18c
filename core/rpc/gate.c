/* The gate: which keys may connect to the CURVE servers of this process. libzmq asks it at each
 * handshake by the ZeroMQ Authentication Protocol (ZeroMQ RFC 27, a REP socket at a fixed inproc
 * address), and it looks into authorized/ each time, so files may come and go while it runs. What
 * is no key there, or is the same key as another file, does no harm: czmq's own handler ends the
 * process over the latter. Neighbours: keys.c, server.c, news.c. */
#include "base/log.h"
#include "rpc/rpc_internal.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { KEY_BYTES = 32, KEY_TEXT = 41 };
static const char address[] = "@inproc://zeromq.zap.01";

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static zactor_t *gate;
static unsigned gate_users;
static char *gate_dir;

/* Does the file hold this public key? */
static bool holds(const char *dir, const char *name, const char *key)
{
    _cleanup_free_ char *path = str_fmt("%s/%s", dir, name);
    zcert_t *cert = path ? zcert_load(path) : NULL;
    bool same = cert && strcmp(zcert_public_txt(cert), key) == 0;
    zcert_destroy(&cert);
    return same;
}

static bool authorized(const char *dir, const char *key)
{
    bool found = false;
    DIR *d = opendir(dir);
    if (!d) {
        log_error("rpc.gate", "cannot read %s: nobody is let in", dir);
        return false;
    }
    for (struct dirent *en; !found && (en = readdir(d));)
        found = en->d_name[0] != '.' && holds(dir, en->d_name, key);
    closedir(d);
    return found;
}

static bool is_text(zframe_t *f, const char *text)
{
    return f && zframe_streq(f, text);
}

/* The frames: version, request id, domain, address, identity, mechanism, credentials. */
static void answer(const char *dir, zsock_t *zap, zmsg_t *asked)
{
    char key[KEY_TEXT] = "";
    zframe_t *version = zmsg_first(asked), *id = zmsg_next(asked);
    for (int skip = 0; skip < 3; skip++)
        (void)zmsg_next(asked);
    zframe_t *mechanism = zmsg_next(asked), *credentials = zmsg_next(asked);
    bool curve = is_text(version, "1.0") && is_text(mechanism, "CURVE") && credentials &&
                 zframe_size(credentials) == KEY_BYTES &&
                 zmq_z85_encode(key, zframe_data(credentials), KEY_BYTES);
    bool in = curve && authorized(dir, key);
    zmsg_t *reply = zmsg_new();
    zmsg_addstr(reply, "1.0");
    zmsg_addmem(reply, id ? zframe_data(id) : NULL, id ? zframe_size(id) : 0);
    zmsg_addstr(reply, in ? "200" : "400");
    zmsg_addstr(reply, in ? "OK" : "No access");
    zmsg_addstr(reply, in ? key : "");
    zmsg_addmem(reply, NULL, 0);
    if (zmsg_send(&reply, zap) < 0)
        zmsg_destroy(&reply);
}

static void gate_main(zsock_t *pipe, void *own)
{
    _cleanup_free_ char *dir = own;
    zsock_t *zap = zsock_new_rep(address);
    zpoller_t *poller = zap ? zpoller_new(pipe, zap, NULL) : NULL;
    if (poller) /* signals are the main thread's affair */
        zpoller_set_nonstop(poller, true);
    zsock_signal(pipe, 0); /* begun */
    zsock_signal(pipe, poller ? 0 : 1);
    for (void *ready; poller && (ready = zpoller_wait(poller, -1)) && ready != pipe;) {
        zmsg_t *asked = zmsg_recv(zap);
        if (asked)
            answer(dir, zap, asked);
        zmsg_destroy(&asked);
    }
    zpoller_destroy(&poller);
    /* A socket closed is not at once a free address, and the next gate needs it. */
    if (zap)
        zsock_unbind(zap, "%s", address + 1);
    zsock_destroy(&zap);
}

static int gate_start(const char *authorized_dir, struct err *e)
{
    _cleanup_free_ char *copy = strdup(authorized_dir);
    char *its = strdup(authorized_dir); /* the thread's own */
    if (!copy || !its) {
        free(its);
        return err_nomem(e);
    }
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    gate = zactor_new(gate_main, its);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!gate || zsock_wait(gate) != 0) {
        zactor_destroy(&gate);
        return err_set(e, ERR_INTERNAL, "cannot start ZeroMQ authentication");
    }
    gate_dir = TAKE_PTR(copy);
    return 0;
}

int rpc_gate_open(const char *dir, struct err *e)
{
    _cleanup_free_ char *path = str_fmt("%s/authorized", dir);
    if (!path)
        return err_nomem(e);
    int rc = rpc_authorized_check(path, dir, e);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&gate_lock);
    if (gate_users == 0)
        rc = gate_start(path, e);
    else if (strcmp(gate_dir, path) != 0)
        rc = err_set(e, ERR_CONFIG, "this process already lets in the keys of %s", gate_dir);
    if (rc == 0)
        gate_users++;
    pthread_mutex_unlock(&gate_lock);
    return rc;
}

void rpc_gate_close(void)
{
    pthread_mutex_lock(&gate_lock);
    if (--gate_users == 0) {
        zactor_destroy(&gate);
        free(gate_dir);
        gate_dir = NULL;
    }
    pthread_mutex_unlock(&gate_lock);
}
