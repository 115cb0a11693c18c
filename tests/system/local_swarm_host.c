/* See local_swarm_host.h. */
#include "system/local_swarm_host.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"
#include "system/local_swarm_cert.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <magnum/credentials.h>
#include <magnum/stats.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <uuid/uuid.h>

enum { ARENA_MAX = 512, STEPS_MAX = 20000 };

static struct {
    struct world *w;
    const struct drive *d;
    struct driven *out; /* shared with the parent */
    void *arena[ARENA_MAX];
    size_t n_arena;
    int changes, checkpoints;
} host;

/* --- the store ------------------------------------------------------------------------------- */

json_t *world_store(const struct world *w)
{
    char path[128];
    snprintf(path, sizeof path, "%s/store.json", w->dir);
    json_t *j = json_load_file(path, 0, NULL);
    return j ? j : json_pack("{s:s, s:[], s:{}}", "state", "", "ledger", "outputs");
}

static void save_store(json_t *j)
{
    char path[128];
    _mag_free_ char *text = json_dumps(j, JSON_INDENT(1));
    snprintf(path, sizeof path, "%s/store.json", host.w->dir);
    mag_error e = {.struct_size = sizeof e};
    if (mag_write_file(path, mag_text(text), 0600, &e) != MAG_OK)
        fprintf(stderr, "store: %s\n", e.message);
    json_decref(j);
}

/* --- upcalls --------------------------------------------------------------------------------- */

static void *keep(void *p)
{
    if (host.n_arena < ARENA_MAX)
        host.arena[host.n_arena++] = p;
    return p;
}

static void forget_all(void)
{
    while (host.n_arena)
        free(host.arena[--host.n_arena]);
}

/* Every upcall comes by here when it is done: the place where a crash is most telling. */
static int32_t done(bool changes, int32_t rc)
{
    host.out->upcalls++;
    if (host.d->fence_after && host.checkpoints > host.d->fence_after)
        host.out->after_fence++;
    host.changes += changes;
    if (changes && host.d->die_after && host.changes >= host.d->die_after)
        raise(SIGKILL);
    return rc;
}

static void up_log(void *ctx, uint32_t level, const char *message)
{
    (void)ctx;
    if (level <= MAG_LOG_WARNING || getenv("TEST_VERBOSE"))
        fprintf(stderr, "  plugin[%u]: %s\n", level, message);
}

static const char *up_config(void *ctx, const char *key)
{
    static char helper[512];
    (void)ctx;
    if (strcmp(key, "state_dir") == 0)
        return host.w->state_dir;
    if (strcmp(key, "program_path") == 0)
        return host.w->program_path;
    if (strcmp(key, "local_node_program") != 0)
        return NULL;
    snprintf(helper, sizeof helper, "%s/bin/magnum-local-node", getenv("MAGNUM_BUILD_DIR"));
    return helper;
}

struct sink {
    char *data;
    size_t len;
};
static size_t sink_write(char *p, size_t size, size_t n, void *ctx)
{
    struct sink *s = ctx;
    char *data = realloc(s->data, s->len + size * n + 1);
    if (!data)
        return 0;
    memcpy(data + s->len, p, size * n);
    s->data = data;
    s->len += size * n;
    data[s->len] = '\0';
    return size * n;
}

static struct curl_slist *header_list(const char *headers)
{
    struct curl_slist *l = NULL;
    while (headers && *headers) {
        size_t n = strcspn(headers, "\n");
        char line[512];
        snprintf(line, sizeof line, "%.*s", (int)n, headers);
        if (n)
            l = curl_slist_append(l, line);
        headers += n + (headers[n] == '\n');
    }
    return l;
}

static int32_t up_http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                       mag_error *err)
{
    char url[1024];
    struct sink body = {0};
    (void)ctx;
    (void)op;
    if (strncmp(rq->service, "unix:", 5) != 0)
        return MAG_E_DENIED;
    int64_t start = mag_now_ms();
    CURL *c = curl_easy_init();
    struct curl_slist *l = header_list(rq->headers);
    snprintf(url, sizeof url, "http://node%s", rq->path);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, rq->service + 5);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, rq->method);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, l);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, rq->timeout_ms ? (long)rq->timeout_ms : 30000L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, sink_write);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
    if (rq->body.len || strcmp(rq->method, "POST") == 0) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)rq->body.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, rq->body.data ? rq->body.data : "");
    }
    CURLcode rc = curl_easy_perform(c);
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(c);
    curl_slist_free_all(l);
    keep(body.data);
    bool changes = strcmp(rq->method, "GET") != 0;
    if (getenv("TEST_VERBOSE"))
        fprintf(stderr, "  %lld ms: %s %s %s: %d %ld\n", (long long)(mag_now_ms() - start),
                rq->service, rq->method, rq->path, (int)rc, status);
    if (rc != CURLE_OK) {
        snprintf(err->reason, sizeof err->reason, "Transport");
        snprintf(err->message, sizeof err->message, "%s", curl_easy_strerror(rc));
        return done(changes, rc == CURLE_OPERATION_TIMEDOUT ? MAG_E_TIMEOUT : MAG_E_UNAVAILABLE);
    }
    rp->status = (uint32_t)status;
    rp->body = (mag_bytes){body.data, body.len};
    rp->headers = "";
    return done(changes, MAG_OK);
}

static int32_t up_checkpoint(void *ctx, const mag_op *op, mag_bytes state, mag_error *err)
{
    (void)ctx;
    (void)op;
    host.checkpoints++;
    if (host.d->fence_after && host.checkpoints >= host.d->fence_after) {
        host.checkpoints = host.d->fence_after + 1;
        snprintf(err->reason, sizeof err->reason, "Fenced");
        return MAG_E_PRECONDITION;
    }
    json_t *s = world_store(host.w);
    json_object_set_new(s, "state", json_stringn(state.data, (size_t)state.len));
    save_store(s);
    return done(true, MAG_OK);
}

static int32_t up_output(void *ctx, const mag_op *op, const char *key, mag_bytes json,
                         mag_error *err)
{
    (void)ctx;
    (void)op;
    (void)err;
    json_t *s = world_store(host.w);
    json_object_set_new(json_object_get(s, "outputs"), key,
                        json_loadb(json.data, (size_t)json.len, JSON_DECODE_ANY, NULL));
    save_store(s);
    return done(true, MAG_OK);
}

static int32_t up_cancelled(void *ctx, const mag_op *op)
{
    (void)ctx;
    (void)op;
    return 0;
}

static json_t *ledger_entry(json_t *store, const char *kind, const char *name, size_t *ret_at)
{
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(store, "ledger"), i, e)
    {
        *ret_at = i;
        if (strcmp(json_string_value(json_object_get(e, "kind")), kind) == 0 &&
            strcmp(json_string_value(json_object_get(e, "name")), name) == 0)
            return e;
    }
    return NULL;
}

static int32_t up_declare(void *ctx, const mag_op *op, const char *kind, const char *name,
                          mag_bytes data, mag_error *err)
{
    size_t at;
    json_t *s = world_store(host.w);
    (void)ctx;
    (void)op;
    (void)err;
    if (!ledger_entry(s, kind, name, &at)) {
        json_t *e = json_pack("{s:s, s:s, s:s}", "kind", kind, "name", name, "state", "intent");
        if (data.len)
            json_object_set_new(e, "data", json_loadb(data.data, (size_t)data.len, 0, NULL));
        json_array_append_new(json_object_get(s, "ledger"), e);
    }
    save_store(s);
    return done(true, MAG_OK);
}

static int32_t up_confirm(void *ctx, const mag_op *op, const char *kind, const char *name,
                          const char *external_id, mag_error *err)
{
    size_t at;
    json_t *s = world_store(host.w);
    json_t *e = ledger_entry(s, kind, name, &at);
    (void)ctx;
    (void)op;
    (void)err;
    if (e)
        json_object_set_new(e, "state", json_string("confirmed"));
    if (e && external_id)
        json_object_set_new(e, "external_id", json_string(external_id));
    save_store(s);
    return done(true, e ? MAG_OK : MAG_E_NOT_FOUND);
}

static int32_t up_drop(void *ctx, const mag_op *op, const char *kind, const char *name,
                       mag_error *err)
{
    size_t at;
    json_t *s = world_store(host.w);
    (void)ctx;
    (void)op;
    (void)err;
    if (ledger_entry(s, kind, name, &at))
        json_array_remove(json_object_get(s, "ledger"), at);
    save_store(s);
    return done(true, MAG_OK);
}

static int32_t up_list(void *ctx, const mag_op *op, const char *kind, mag_bytes *ret,
                       mag_error *err)
{
    json_t *s = world_store(host.w);
    char *text = keep(json_dumps(json_object_get(s, "ledger"), 0));
    (void)ctx;
    (void)op;
    (void)kind;
    (void)err;
    json_decref(s);
    *ret = mag_text(text);
    return done(false, MAG_OK);
}

static int32_t up_issue(void *ctx, const mag_op *op, mag_bytes request, mag_bytes *ret,
                        mag_error *err)
{
    (void)ctx;
    (void)op;
    json_t *rq = json_loadb(request.data, (size_t)request.len, 0, NULL);
    json_t *made = cert_issue(host.w->dir, rq);
    json_decref(rq);
    if (!made) {
        snprintf(err->reason, sizeof err->reason, "NoCa");
        return MAG_E_INTERNAL;
    }
    *ret = mag_text(keep(json_dumps(made, 0)));
    json_decref(made);
    return done(true, MAG_OK);
}

static const void *up_service(void *ctx, const char *id)
{
    static const mag_host_ledger ledger = {.struct_size = sizeof ledger,
                                           .declare = up_declare,
                                           .confirm = up_confirm,
                                           .drop = up_drop,
                                           .list = up_list};
    static const mag_host_cert cert = {.struct_size = sizeof cert, .issue = up_issue};
    (void)ctx;
    if (strcmp(id, MAG_HOST_LEDGER) == 0)
        return &ledger;
    return strcmp(id, MAG_HOST_CERT) == 0 ? &cert : NULL;
}

/* --- one call -------------------------------------------------------------------------------- */

static int64_t unix_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static mag_step_fn step_of(const mag_lifecycle *l, const char *verb)
{
    return strcmp(verb, "create") == 0   ? l->create
           : strcmp(verb, "update") == 0 ? l->update
           : strcmp(verb, "scale") == 0  ? l->scale
           : strcmp(verb, "remove") == 0 ? l->remove
           : strcmp(verb, "health") == 0 ? l->health
                                         : NULL;
}

static void publish_answer(mag_bytes doc)
{
    json_t *s = world_store(host.w);
    json_object_set_new(s, "answer", json_loadb(doc.data, (size_t)doc.len, 0, NULL));
    save_store(s);
}

static int32_t short_call(const mag_plugin *p, void *self, const mag_op *op, mag_error *err)
{
    const char *verb = host.d->verb;
    mag_bytes doc = {0};
    int32_t rc = MAG_E_UNSUPPORTED;
    if (strcmp(verb, "probe") == 0)
        return p->probe(self, err);
    if (strcmp(verb, "validate") == 0)
        return ((const mag_lifecycle *)p->get_interface(self, MAG_IFACE_LIFECYCLE))
            ->validate(self, op, err);
    if (strcmp(verb, "client_config") == 0)
        rc = ((const mag_credentials *)p->get_interface(self, MAG_IFACE_CREDENTIALS))
                 ->client_config(self, op, &doc, err);
    if (strcmp(verb, "stats") == 0)
        rc =
            ((const mag_stats *)p->get_interface(self, MAG_IFACE_STATS))->read(self, op, &doc, err);
    if (rc == MAG_OK)
        publish_answer(doc);
    return rc;
}

static int32_t run_steps(const mag_plugin *p, void *self, mag_error *err)
{
    const struct drive *d = host.d;
    const mag_lifecycle *l = p->get_interface(self, MAG_IFACE_LIFECYCLE);
    mag_step_fn step = step_of(l, d->verb);
    _mag_free_ char *spec = json_dumps(d->spec, 0);
    for (int i = 0; i < STEPS_MAX; i++) {
        json_t *store = world_store(host.w);
        const char *state = json_string_value(json_object_get(store, "state"));
        mag_op op = {.struct_size = sizeof op,
                     .kind = d->kind,
                     .attempt = 1,
                     .op_id = d->op_id,
                     .cluster_id = host.w->uuid,
                     .project_id = "test",
                     .generation = 1,
                     .spec = mag_text(spec),
                     .state = mag_text(state),
                     .deadline_unix_ms = unix_ms() + 600000,
                     .budget_ms = 30000};
        mag_step out = {.struct_size = sizeof out};
        *err = (mag_error){.struct_size = sizeof *err};
        int32_t rc = step ? step(self, &op, &out, err) : short_call(p, self, &op, err);
        host.out->steps++;
        json_decref(store);
        forget_all();
        if (getenv("TEST_VERBOSE"))
            fprintf(stderr, "  step %d: %d %u%% %s%s\n", i, rc, out.percent, out.message,
                    err->message);
        if (out.message[0])
            snprintf(host.out->step_message, sizeof host.out->step_message, "%s", out.message);
        if (rc != MAG_AGAIN)
            return rc;
        (void)poll(NULL, 0, (int)out.wait_ms);
    }
    return MAG_AGAIN;
}

static void child(void)
{
    static const mag_host table = {.struct_size = sizeof table,
                                   .abi_major = MAG_ABI_MAJOR,
                                   .abi_minor = MAG_ABI_MINOR,
                                   .log = up_log,
                                   .config = up_config,
                                   .http = up_http,
                                   .checkpoint = up_checkpoint,
                                   .output = up_output,
                                   .cancelled = up_cancelled,
                                   .get_service = up_service};
    char path[512];
    void *self = NULL;
    mag_error err = {.struct_size = sizeof err};
    snprintf(path, sizeof path, "%s/plugins/swarm.so", getenv("MAGNUM_BUILD_DIR"));
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    mag_plugin_entry_fn entry = NULL;
    if (lib)
        *(void **)&entry = dlsym(lib, "mag_plugin_entry");
    const mag_plugin *p = entry ? entry(MAG_ABI_MAJOR, MAG_ABI_MINOR) : NULL;
    if (!p) {
        fprintf(stderr, "%s: %s\n", path, dlerror());
        _exit(2);
    }
    int32_t rc = p->create(&table, &self, &err);
    if (rc == MAG_OK)
        rc = run_steps(p, self, &err);
    p->destroy(self);
    host.out->rc = rc;
    host.out->flags = err.flags;
    memcpy(host.out->reason, err.reason, sizeof err.reason);
    memcpy(host.out->message, err.message, sizeof err.message);
    memcpy(host.out->remedy, err.remedy, sizeof err.remedy);
}

int drive(struct world *w, const struct drive *d, struct driven *ret)
{
    struct driven *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    host.w = w;
    host.d = d;
    host.out = shared;
    host.changes = host.checkpoints = 0;
    int64_t start = mag_now_ms();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        child();
        exit(0);
    }
    int status = 0, pidfd = pid < 0 ? -1 : pidfd_open(pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (pidfd >= 0 && poll(&p, 1, d->kill_after_ms ? d->kill_after_ms : 240000) == 0)
        kill(pid, SIGKILL);
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (pidfd >= 0)
        close(pidfd);
    *ret = *shared;
    ret->ms = mag_now_ms() - start;
    ret->killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    munmap(shared, sizeof *shared);
    return pid > 0 && (ret->killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) ? 0 : -1;
}

/* --- the world ------------------------------------------------------------------------------- */

int world_init(struct world *w)
{
    uuid_t u;
    if (w->dir[0]) /* a test ended early */
        world_done(w);
    *w = (struct world){.dir = "/tmp/mag-swarm-XXXXXX"};
    uuid_generate(u);
    uuid_unparse_lower(u, w->uuid);
    if (!mkdtemp(w->dir))
        return -1;
    snprintf(w->state_dir, sizeof w->state_dir, "%s/s", w->dir);
    return cert_make_ca(w->dir);
}

void world_done(struct world *w)
{
    _mag_json_ json_t *spec = json_object();
    struct driven r;
    if (!w->dir[0])
        return;
    struct drive d = {.verb = "remove", .kind = MAG_OP_DELETE, .op_id = "cleanup", .spec = spec};
    if (drive(w, &d, &r) != 0 || r.rc != MAG_OK)
        fprintf(stderr, "cleanup of %s: %s\n", w->uuid, r.message);
    (void)mag_remove_tree(w->dir, NULL);
    *w = (struct world){0};
}

int world_client_cert(const struct world *w)
{
    static const char *const files[][2] = {
        {"ca", "ca.pem"}, {"certificate", "cert.pem"}, {"private_key", "key.pem"}};
    char path[128];
    _mag_json_ json_t *rq = json_pack("{s:s, s:[s]}", "cn", "client", "usages", "client");
    _mag_json_ json_t *made = cert_issue(w->dir, rq);
    for (size_t i = 0; made && i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", w->dir, files[i][1]);
        if (mag_write_file(path, mag_text(mag_json_text(made, files[i][0], "")), 0600, NULL) !=
            MAG_OK)
            return -1;
    }
    return made ? 0 : -1;
}
