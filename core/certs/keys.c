/* Keys made ahead of need: an RSA key of 4096 bits takes a second of CPU, and a create needs four
 * of them. One thread at the lowest priority fills the pool; a taken key is replaced. */
#include "certs/x509_internal.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NICE = 19, RETRY_MS = 10000 };

struct key_pool {
    char *type;
    size_t size;
    pthread_t maker;
    bool runs;
    pthread_mutex_t lock;
    pthread_cond_t wanted; /* a key was taken, or the end */
    EVP_PKEY **keys;       /* the first n */
    size_t n;
    bool stop;
};

/* One more key; NULL when that failed (then it is waited a while). */
static EVP_PKEY *make(struct key_pool *p)
{
    struct err e = ERR_INIT;
    EVP_PKEY *key = NULL;
    if (x509_make_key(p->type, &key, &e) < 0)
        log_warn("certs.keys", "%s; trying again", e.msg);
    return key;
}

static void wait_for_want(struct key_pool *p, bool failed)
{
    (void)cond_wait_until(&p->wanted, &p->lock, failed ? clock_mono_ms() + RETRY_MS : INT64_MAX);
}

static void *maker_thread(void *arg)
{
    struct key_pool *p = arg;
    /* threads have a nice value of their own on Linux */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        if (p->n == p->size) {
            wait_for_want(p, false);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        EVP_PKEY *key = make(p);
        pthread_mutex_lock(&p->lock);
        if (key)
            p->keys[p->n++] = key;
        else if (!p->stop)
            wait_for_want(p, true);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void key_pool_free(struct key_pool **pool)
{
    struct key_pool *p = TAKE_PTR(*pool);
    if (!p)
        return;
    if (p->runs) {
        pthread_mutex_lock(&p->lock);
        p->stop = true;
        pthread_cond_signal(&p->wanted);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->maker, NULL);
    }
    for (size_t i = 0; i < p->n; i++)
        EVP_PKEY_free(p->keys[i]);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wanted);
    free(p->keys);
    free(p->type);
    free(p);
}

int key_pool_new(const char *key_type, size_t size, struct key_pool **ret, struct err *e)
{
    struct key_pool *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    pthread_mutex_init(&p->lock, NULL);
    cond_init(&p->wanted);
    p->size = size;
    p->type = str_dup(key_type);
    p->keys = calloc(size + 1, sizeof(EVP_PKEY *));
    int rc = p->type && p->keys ? 0 : err_nomem(e);
    if (rc == 0 && size > 0) {
        int bad = pthread_create(&p->maker, NULL, maker_thread, p);
        rc = bad ? err_errno(e, bad, "cannot start a thread") : 0;
        p->runs = bad == 0;
    }
    if (rc < 0) {
        key_pool_free(&p);
        return rc;
    }
    *ret = p;
    return 0;
}

EVP_PKEY *key_pool_take(struct key_pool *p, const char *type)
{
    EVP_PKEY *key = NULL;
    if (strcmp(p->type, type) != 0)
        return NULL;
    pthread_mutex_lock(&p->lock);
    if (p->n > 0) {
        key = p->keys[--p->n];
        pthread_cond_signal(&p->wanted);
    }
    pthread_mutex_unlock(&p->lock);
    return key;
}

size_t key_pool_ready(struct key_pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->n;
    pthread_mutex_unlock(&p->lock);
    return n;
}
