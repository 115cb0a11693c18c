/* Accepts, checks who it is, and hands over to the relay; one thread per connection, since there
 * are few and they live long. One more watches the directory for new certificates. See front.h. */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum {
    CONNECTIONS_MAX = 1024,
    HANDSHAKE_MS = 10000,
    DAEMON_MS = 20000, /* a daemon that is just starting is waited for */
    RETRY_MS = 20,
    STACK_BYTES = 256 << 10,
    FILE_MAX = 1 << 20,
    SERIAL_MAX = 128
};

struct connection {
    int fd;
    SSL *ssl;
    bool checked; /* the handshake is done: its client may be looked at */
    struct connection *next;
};
static struct {
    const char *dir;
    pthread_mutex_t lock; /* the rest */
    SSL_CTX *ctx;         /* NULL: nothing could be loaded yet */
    unsigned generation;  /* of ctx */
    struct connection *list;
    size_t n;
} front = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- certificates ---- */
static bool read_pem(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, cap - 1, f) : 0;
    if (f)
        (void)fclose(f);
    text[n] = '\0';
    return n > 0 && n < cap - 1;
}

static bool trust_rest(SSL_CTX *ctx, BIO *in)
{
    size_t n = 0;
    for (X509 *ca; (ca = PEM_read_bio_X509(in, NULL, NULL, NULL)); n++) {
        bool ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1 &&
                  SSL_CTX_add_client_CA(ctx, ca) == 1;
        X509_free(ca);
        if (!ok)
            return false;
    }
    ERR_clear_error(); /* the end of the file is one */
    return n > 0;
}

static bool fill(SSL_CTX *ctx, const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    X509 *cert = key ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    bool ok = cert && SSL_CTX_use_certificate(ctx, cert) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1 &&
              trust_rest(ctx, in);
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(in);
    return ok;
}

static SSL_CTX *make_context(const char *pem)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return NULL;
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (fill(ctx, pem))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static void say_loaded(const char *text)
{
    char path[512], fresh[520];
    (void)snprintf(path, sizeof path, "%s/front.loaded", front.dir);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(fresh, "we");
    if (f && fputs(text, f) >= 0 && fclose(f) == 0)
        (void)rename(fresh, path);
    else if (f)
        (void)fprintf(stderr, "front: %s: %s\n", path, strerror(errno));
}

/* Does this trust still hold for the client of a connection? Under the lock. */
static bool still_trusted(SSL_CTX *ctx, SSL *ssl)
{
    X509 *peer = SSL_get0_peer_certificate(ssl);
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    bool ok = peer && v &&
              X509_STORE_CTX_init(v, SSL_CTX_get_cert_store(ctx), peer,
                                  SSL_get_peer_cert_chain(ssl)) == 1 &&
              X509_STORE_CTX_set_purpose(v, X509_PURPOSE_SSL_CLIENT) == 1 &&
              X509_verify_cert(v) == 1;
    X509_STORE_CTX_free(v);
    ERR_clear_error();
    return ok;
}

static void take_over(SSL_CTX *ctx)
{
    pthread_mutex_lock(&front.lock);
    SSL_CTX *old = front.ctx;
    front.ctx = ctx;
    front.generation++;
    for (struct connection *c = front.list; c; c = c->next)
        if (c->checked && !still_trusted(ctx, c->ssl))
            (void)shutdown(c->fd, SHUT_RDWR); /* its thread sees the end */
    pthread_mutex_unlock(&front.lock);
    SSL_CTX_free(old);
}

static void load(void)
{
    static char pem[FILE_MAX]; /* one thread loads */
    char path[512], serial[SERIAL_MAX + 8] = "";
    (void)snprintf(path, sizeof path, "%s/front.pem", front.dir);
    SSL_CTX *ctx = read_pem(path, pem, sizeof pem) ? make_context(pem) : NULL;
    (void)sscanf(pem, "# serial %128[^\n]", serial);
    explicit_bzero(pem, sizeof pem);
    if (ctx) {
        take_over(ctx);
        say_loaded(serial);
        return;
    }
    char why[256] = "the file is missing or too long", text[300];
    if (ERR_peek_error())
        ERR_error_string_n(ERR_get_error(), why, sizeof why);
    ERR_clear_error();
    (void)snprintf(text, sizeof text, "error: %s", why);
    say_loaded(text);
}

static void *watch(void *arg)
{
    char buf[4096] __attribute__((aligned(8)));
    int fd = *(int *)arg;
    for (;;) {
        bool mine = false;
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno != EINTR)
            return NULL;
        for (char *p = buf; n > 0 && p < buf + n;) {
            const struct inotify_event *ev = (const struct inotify_event *)(const void *)p;
            mine |= ev->len && strcmp(ev->name, "front.pem") == 0;
            p += sizeof *ev + ev->len;
        }
        if (mine)
            load();
    }
}

/* ---- one connection ---- */
static bool handshake(SSL *ssl, int fd)
{
    int64_t until = now_ms() + HANDSHAKE_MS;
    for (int rc; (rc = SSL_accept(ssl)) != 1;) {
        int why = SSL_get_error(ssl, rc);
        struct pollfd p = {.fd = fd, .events = why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};
        int64_t left = until - now_ms();
        if ((why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) || left <= 0 ||
            poll(&p, 1, (int)left) == 0)
            return false;
    }
    return true;
}

/* Trust may have changed while the client was being checked by the former one. */
static bool admit(struct connection *c, unsigned generation)
{
    pthread_mutex_lock(&front.lock);
    c->checked = true;
    bool ok = generation == front.generation || still_trusted(front.ctx, c->ssl);
    pthread_mutex_unlock(&front.lock);
    return ok;
}

static int to_daemon(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int64_t until = now_ms() + DAEMON_MS;
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/docker.sock", front.dir);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
            fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
            return fd;
        if (fd >= 0)
            (void)close(fd);
        if (fd < 0 || now_ms() >= until)
            return -1;
        (void)poll(NULL, 0, RETRY_MS);
    }
}

static void enlist(struct connection *c)
{
    pthread_mutex_lock(&front.lock);
    c->next = front.list;
    front.list = c;
    front.n++;
    pthread_mutex_unlock(&front.lock);
}

static void leave(struct connection *c)
{
    pthread_mutex_lock(&front.lock);
    struct connection **at = &front.list;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    front.n--;
    pthread_mutex_unlock(&front.lock);
    SSL_free(c->ssl);
    (void)close(c->fd);
    free(c);
}

static void *serve_one(void *arg)
{
    struct connection *c = arg;
    unsigned generation;
    pthread_mutex_lock(&front.lock);
    generation = front.generation;
    c->ssl = front.ctx ? SSL_new(front.ctx) : NULL;
    pthread_mutex_unlock(&front.lock);
    enlist(c);
    if (c->ssl && SSL_set_fd(c->ssl, c->fd) == 1 && handshake(c->ssl, c->fd) &&
        admit(c, generation)) {
        int daemon = to_daemon();
        if (daemon >= 0) {
            front_relay(c->ssl, c->fd, daemon);
            (void)close(daemon);
        }
    }
    ERR_clear_error();
    leave(c);
    return NULL;
}

static void begin(int fd, const pthread_attr_t *attr)
{
    static const int on = 1, idle = 60, every = 15, probes = 4;
    pthread_t thread;
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        (void)close(fd);
        return;
    }
    c->fd = fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (pthread_create(&thread, attr, serve_one, c)) {
        (void)close(fd);
        free(c);
    }
}

static bool full(void)
{
    pthread_mutex_lock(&front.lock);
    bool full = front.n >= CONNECTIONS_MAX || !front.ctx;
    pthread_mutex_unlock(&front.lock);
    return full;
}

int front_serve(int listen_fd, const char *dir)
{
    int events = inotify_init1(IN_CLOEXEC);
    pthread_attr_t attr;
    pthread_t watcher;
    front.dir = dir;
    (void)signal(SIGPIPE, SIG_IGN);
    if (events < 0 || inotify_add_watch(events, dir, IN_MOVED_TO) < 0 || pthread_attr_init(&attr) ||
        pthread_attr_setstacksize(&attr, STACK_BYTES) ||
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED)) {
        perror("front: begin");
        return 1;
    }
    load();
    if (pthread_create(&watcher, NULL, watch, &events)) {
        perror("front: thread");
        return 1;
    }
    for (;;) {
        struct pollfd p = {.fd = listen_fd, .events = POLLIN};
        if (full()) { /* those who come wait in the socket's queue */
            (void)poll(NULL, 0, RETRY_MS);
            continue;
        }
        if (poll(&p, 1, -1) <= 0)
            continue;
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            begin(fd, &attr);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            (void)poll(NULL, 0, RETRY_MS);
    }
}
