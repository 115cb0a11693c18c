/* See check.h: the world beyond HTTP. A vendor's own program over a pipe, or a store of documents
 * that is enough for a driver of plain REST resources. */
#include "check.h"

#include "base/io.h"
#include "base/jsonx.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 << 20 };

struct backend {
    FILE *to, *from; /* of a program */
    pid_t pid;
    json_t *documents; /* built-in: {path: text} */
    unsigned next_id;
};

static int start(struct backend *b, const char *program, const char *scratch, struct err *e)
{
    int in[2], out[2];
    if (pipe(in) < 0 || pipe(out) < 0)
        return err_errno(e, errno, "cannot start the backend");
    b->pid = fork();
    if (b->pid < 0)
        return err_errno(e, errno, "cannot start the backend");
    if (b->pid == 0) {
        if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
            _exit(127);
        for (int fd = 3; fd < 256; fd++)
            (void)close(fd);
        (void)setenv("MAGNUM_CHECK_DIR", scratch, 1);
        execl("/bin/sh", "sh", "-c", program, (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    b->to = fdopen(in[1], "w");
    b->from = fdopen(out[0], "r");
    return b->to && b->from ? 0 : err_nomem(e);
}

int backend_open(const char *program, const char *scratch, struct backend **ret, struct err *e)
{
    struct backend *b = calloc(1, sizeof *b);
    if (!b || !(b->documents = json_object())) {
        free(b);
        return err_nomem(e);
    }
    int rc = program ? start(b, program, scratch, e) : 0;
    if (rc != 0) {
        backend_close(&b);
        return rc;
    }
    *ret = b;
    return 0;
}

void backend_close(struct backend **bp)
{
    struct backend *b = *bp;
    if (!b)
        return;
    *bp = NULL;
    if (b->to)
        (void)fclose(b->to);
    if (b->from)
        (void)fclose(b->from);
    if (b->pid > 0) {
        (void)kill(b->pid, SIGTERM);
        (void)waitpid(b->pid, NULL, 0);
    }
    json_decref(b->documents);
    free(b);
}

/* One question to the program; takes over `question`. */
static int ask(struct backend *b, json_t *question, json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *q = question;
    _cleanup_free_ char *line = NULL;
    size_t cap = 0;
    if (!q)
        return err_nomem(e);
    if (json_dumpf(q, b->to, JSON_COMPACT) < 0 || fputc('\n', b->to) < 0 || fflush(b->to) < 0)
        return err_set(e, ERR_IO, "the backend program does not take questions");
    ssize_t n = getline(&line, &cap, b->from);
    if (n <= 0 || n > LINE_MAX_BYTES)
        return err_set(e, ERR_IO, "the backend program gave no answer");
    return jsonx_parse(line, (size_t)n, 64, ret, e);
}

/* ---- the built-in one ---- */

static int answer(struct http_reply *rp, int status, const char *body, struct err *e)
{
    rp->status = status;
    rp->body = str_dup(body ? body : "");
    rp->headers = str_dup("content-type: application/json\n");
    rp->body_len = rp->body ? strlen(rp->body) : 0;
    return rp->body && rp->headers ? 0 : err_nomem(e);
}

static int keep(struct backend *b, const char *path, const struct http_call_spec *rq)
{
    return json_object_set_new(b->documents, path,
                               json_stringn(rq->body ? (const char *)rq->body : "", rq->body_len));
}

static int built_in(struct backend *b, const struct http_call_spec *rq, struct http_reply *rp,
                    struct err *e)
{
    char path[1024];
    snprintf(path, sizeof path, "%s %.*s", rq->service, (int)strcspn(rq->path, "?"), rq->path);
    const char *have = json_string_value(json_object_get(b->documents, path));
    if (str_eq(rq->method, "PUT"))
        return keep(b, path, rq) < 0 ? err_set(e, ERR_INVALID, "the body is not UTF-8")
                                     : answer(rp, have ? 200 : 201, "{}", e);
    if (str_eq(rq->method, "POST")) {
        char child[1100], id[64];
        snprintf(child, sizeof child, "%s/%u", path, ++b->next_id);
        snprintf(id, sizeof id, "{\"id\": \"%u\"}", b->next_id);
        return keep(b, child, rq) < 0 ? err_set(e, ERR_INVALID, "the body is not UTF-8")
                                      : answer(rp, 201, id, e);
    }
    if (str_eq(rq->method, "DELETE")) {
        (void)json_object_del(b->documents, path);
        return answer(rp, have ? 204 : 404, "", e);
    }
    return have ? answer(rp, 200, have, e) : answer(rp, 404, "{}", e);
}

/* ---- both ---- */

int backend_http(struct backend *b, const struct http_call_spec *rq, struct http_reply *rp,
                 struct err *e)
{
    _cleanup_json_ json_t *a = NULL;
    if (!b->to)
        return built_in(b, rq, rp, e);
    int rc = ask(b,
                 json_pack("{s:s,s:s,s:s,s:s,s:s?,s:o}", "do", "http", "method", rq->method,
                           "service", rq->service, "path", rq->path, "headers", rq->headers, "body",
                           json_stringn(rq->body ? (const char *)rq->body : "", rq->body_len)),
                 &a, e);
    if (rc != 0)
        return rc;
    rc = answer(rp, (int)jsonx_int(a, "status", 500), jsonx_str(a, "body"), e);
    const char *headers = jsonx_str(a, "headers");
    if (rc == 0 && headers) {
        free(rp->headers);
        rp->headers = str_dup(headers);
        rc = rp->headers ? 0 : err_nomem(e);
    }
    return rc;
}

int backend_cert(struct backend *b, const char *cluster, const char *verb, const json_t *args,
                 json_t **ret, struct err *e)
{
    _cleanup_json_ json_t *a = NULL;
    *ret = NULL;
    if (!b->to)
        return 0;
    int rc = ask(b,
                 json_pack("{s:s,s:s,s:s,s:O}", "do", "cert", "cluster", cluster, "verb", verb,
                           "args", args),
                 &a, e);
    if (rc == 0)
        *ret = json_incref(json_object_get(a, "value"));
    return rc;
}

int backend_count(struct backend *b, const char *cluster, json_t *list, struct err *e)
{
    _cleanup_json_ json_t *a = NULL;
    const char *path;
    json_t *v;
    size_t i;
    if (!b->to) {
        json_object_foreach(b->documents, path, v)
        {
            if (strstr(path, cluster) && json_array_append_new(list, json_string(path)) < 0)
                return err_nomem(e);
        }
        return 0;
    }
    int rc = ask(b, json_pack("{s:s,s:s}", "do", "count", "cluster", cluster), &a, e);
    if (rc != 0)
        return rc;
    if (!json_is_array(json_object_get(a, "resources")))
        return err_set(e, ERR_INVALID, "the backend program's count has no \"resources\"");
    json_array_foreach(json_object_get(a, "resources"), i, v)
    {
        if (json_array_append(list, v) < 0)
            return err_nomem(e);
    }
    return 0;
}
