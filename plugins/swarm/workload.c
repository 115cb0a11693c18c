/* Containers through Docker's API, on the node behind the cluster's API address. A container is
 * named by the uuid that Magnum gave it, so that it is found again whoever asks, and made once.
 * Docker's words are passed on as "Docker API Error : ...". See workload.h. */
#include "workload.h"

#include "swarm_internal.h"

#include "lib/cleanup.h"
#include "lib/docker.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_CAP = 480,
    ASK_MS = 10000,
    RESERVE_MS = 2000, /* of the budget, to ask what came of a command that did not end */
    STOP_S = 5,        /* between Docker's SIGTERM and SIGKILL */
    LINES_MAX = 1000000,
};

struct ask { /* one call of the host */
    struct mag_instance *self;
    const mag_op *op;
    mag_error *err;
    int64_t end_ms;
};

static uint32_t left_ms(const struct ask *a)
{
    int64_t left = a->end_ms - mag_now_ms();
    return left > 1 ? (uint32_t)left : 1;
}

static struct ask begin(const struct mag_call *c)
{
    int64_t ms = c->op->budget_ms;
    return (struct ask){c->self, c->op, c->err,
                        mag_now_ms() + (ms > RESERVE_MS * 2 ? ms - RESERVE_MS : ms)};
}

static struct mag_docker docker(const struct ask *a, uint32_t timeout_ms)
{
    return (struct mag_docker){a->self->host, a->op, "cluster", "Docker API Error ",
                               timeout_ms ? timeout_ms : left_ms(a)};
}

/* ---- exchanges ---- */

static int32_t code_of(uint32_t status, const char *message)
{
    if (status == 404)
        return MAG_E_NOT_FOUND;
    if (status == 400)
        return MAG_E_INVALID;
    /* the state of a container is sometimes a conflict, sometimes an error of the server */
    if (status == 409 || strstr(message, "is not paused") || strstr(message, "is already paused"))
        return MAG_E_PRECONDITION;
    return status == 503 ? MAG_E_UNAVAILABLE : MAG_E_INTERNAL;
}

static int32_t refused(const struct ask *a, const struct mag_http_answer *got)
{
    _mag_json_ json_t *doc = NULL;
    (void)mag_json_parse(got->body, "answer", &doc, NULL);
    const char *message = mag_json_text(doc, "message", "no message");
    return mag_fail(a->err, code_of(got->status, message), 0, "DockerRefused", NULL,
                    "Docker API Error : %.400s (%u)", message, got->status);
}

/* 2xx, and 304: it is so already. */
static int32_t raw(const struct ask *a, const char *method, const char *path, const json_t *body,
                   uint32_t timeout_ms, struct mag_http_answer *ret)
{
    struct mag_docker d = docker(a, timeout_ms);
    int32_t rc = mag_docker_raw(&d, method, path, body, ret, a->err);
    if (rc != MAG_OK)
        return rc;
    return (ret->status >= 200 && ret->status < 300) || ret->status == 304 ? MAG_OK
                                                                           : refused(a, ret);
}

static int32_t call(const struct ask *a, const char *method, const char *path, const json_t *body,
                    json_t **ret)
{
    struct mag_http_answer got = {0};
    int32_t rc = raw(a, method, path, body, 0, &got);
    return rc == MAG_OK && ret ? mag_json_parse(got.body, path, ret, a->err) : rc;
}

/* "/containers/NAME" and what comes behind. */
static int32_t path_of(const struct ask *a, const char *name, const char *rest, char ret[PATH_CAP])
{
    char quoted[PATH_CAP / 2];
    if (mag_http_quote(quoted, sizeof quoted, name) &&
        snprintf(ret, PATH_CAP, "/containers/%s%s", quoted, rest) < PATH_CAP)
        return MAG_OK;
    return mag_fail(a->err, MAG_E_INVALID, MAG_ERR_USER, "BadName", NULL,
                    "'%.60s' is too long for a name", name);
}

static int32_t check_kind(const struct ask *a, const char *kind)
{
    if (strcmp(kind, "container") == 0)
        return MAG_OK;
    return mag_fail(a->err, MAG_E_UNSUPPORTED, MAG_ERR_USER, "KindNotOffered", NULL,
                    "Swarm clusters have no objects of the kind '%.40s'", kind);
}

/* ---- what a container is ---- */

static json_t *describe(const json_t *inspected)
{
    const json_t *state = mag_json_at(inspected, "State");
    const char *error = mag_json_text(state, "Error", ""), *name;
    char why[300] = "";
    bool ended = strcmp(mag_json_text(state, "Status", ""), "exited") == 0;
    if (*error)
        (void)snprintf(why, sizeof why, "%.280s", error);
    else if (ended)
        (void)snprintf(why, sizeof why, "It ended with exit code %lld%s",
                       (long long)mag_json_int(state, "ExitCode", 0),
                       mag_json_bool(state, "OOMKilled", false) ? ", out of memory" : "");
    const char *status = *error                                   ? "Error"
                         : mag_json_bool(state, "Paused", false)  ? "Paused"
                         : mag_json_bool(state, "Running", false) ? "Running"
                         : state                                  ? "Stopped"
                                                                  : "Unknown";
    name = mag_json_text(inspected, "Name", "");
    return json_pack("{s:s, s:s, s:s, s:s*, s:O*}", "name", name + (*name == '/'), "image",
                     mag_json_text(inspected, "Config.Image", ""), "status", status,
                     "status_reason", *why ? why : NULL, "labels",
                     mag_json_at(inspected, "Config.Labels"));
}

/* An entry of the list says the same in other words. */
static json_t *describe_listed(const json_t *entry)
{
    const char *state = mag_json_text(entry, "State", "");
    const char *status = strcmp(state, "running") == 0  ? "Running"
                         : strcmp(state, "paused") == 0 ? "Paused"
                         : strcmp(state, "dead") == 0   ? "Error"
                         : *state                       ? "Stopped"
                                                        : "Unknown";
    return json_pack("{s:s, s:s, s:s*, s:O*}", "image", mag_json_text(entry, "Image", ""), "status",
                     status, "status_reason",
                     strcmp(state, "exited") == 0 ? mag_json_text(entry, "Status", NULL) : NULL,
                     "labels", mag_json_at(entry, "Labels"));
}

static int32_t inspect(const struct ask *a, const char *name, json_t **ret)
{
    _mag_json_ json_t *doc = NULL;
    char path[PATH_CAP];
    int32_t rc = path_of(a, name, "/json", path);
    if (rc == MAG_OK)
        rc = call(a, "GET", path, NULL, &doc);
    if (rc != MAG_OK)
        return rc;
    *ret = describe(doc);
    return *ret ? MAG_OK : mag_fail_nomem(a->err);
}

int32_t workload_get(struct mag_call *c, const struct mag_object *o, json_t **ret)
{
    struct ask a = begin(c);
    int32_t rc = check_kind(&a, o->kind);
    return rc == MAG_OK ? inspect(&a, o->name, ret) : rc;
}

/* query: {"label_selector": the label they have}. */
static int32_t list_path(const struct ask *a, mag_bytes query, char ret[PATH_CAP])
{
    _mag_json_ json_t *q = NULL, *filter = NULL;
    _mag_free_ char *text = NULL;
    char quoted[PATH_CAP / 2];
    int32_t rc = mag_json_parse(query, "query", &q, a->err);
    const char *label = mag_json_text(q, "label_selector", NULL);
    if (rc != MAG_OK)
        return rc;
    filter = label ? json_pack("{s:[s]}", "label", label) : json_object();
    text = filter ? mag_json_dump(filter) : NULL;
    if (!text)
        return mag_fail_nomem(a->err);
    if (!mag_http_quote(quoted, sizeof quoted, text))
        return mag_fail(a->err, MAG_E_INVALID, MAG_ERR_USER, "BadQuery", NULL,
                        "The label selector is too long");
    (void)snprintf(ret, PATH_CAP, "/containers/json?all=true&filters=%s", quoted);
    return MAG_OK;
}

int32_t workload_list(struct mag_call *c, const struct mag_object *o, json_t **ret)
{
    _mag_json_ json_t *all = NULL, *items = json_array();
    struct ask a = begin(c);
    char path[PATH_CAP];
    size_t i;
    json_t *v;
    int32_t rc = check_kind(&a, o->kind);
    if (rc == MAG_OK)
        rc = list_path(&a, o->doc, path);
    if (rc == MAG_OK)
        rc = call(&a, "GET", path, NULL, &all);
    json_array_foreach(all, i, v)
    {
        if (json_array_append_new(items, describe_listed(v)) < 0)
            rc = mag_fail_nomem(c->err);
    }
    if (rc == MAG_OK)
        *ret = json_pack("{s:O, s:b}", "items", items, "truncated", 0);
    return rc;
}

/* ---- making and removing ---- */

/* Docker answers 200 before it knows; a failure is a line of the stream. */
static int32_t pull_result(const struct ask *a, mag_bytes stream)
{
    const char *p = stream.data, *end = p ? p + stream.len : p;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((eol ? eol : end) - p);
        _mag_json_ json_t *line = NULL;
        (void)mag_json_parse((mag_bytes){p, n}, "progress", &line, NULL);
        const char *error = mag_json_text(line, "error", NULL);
        if (error)
            return mag_fail(a->err, MAG_E_NOT_FOUND, MAG_ERR_USER, "ImageNotPulled", NULL,
                            "Docker API Error : %.400s", error);
        p += n + 1;
    }
    return MAG_OK;
}

static int32_t need_image(const struct ask *a, const char *image)
{
    struct mag_http_answer got = {0};
    char quoted[PATH_CAP / 2], tag[PATH_CAP / 4] = "", path[PATH_CAP];
    const char *colon = workload_tag(image);
    _mag_free_ char *repo = strndup(image, (size_t)(colon - image));
    if (!repo)
        return mag_fail_nomem(a->err);
    bool fits = mag_http_quote(quoted, sizeof quoted, image);
    (void)snprintf(path, sizeof path, "/images/%s/json", fits ? quoted : "");
    int32_t rc = fits ? raw(a, "GET", path, NULL, ASK_MS, &got) : MAG_E_INVALID;
    if (rc == MAG_OK || (fits && rc != MAG_E_NOT_FOUND))
        return rc;
    fits = fits && mag_http_quote(quoted, sizeof quoted, repo) &&
           mag_http_quote(tag, sizeof tag, *colon ? colon + 1 : "latest");
    if (!fits)
        return mag_fail(a->err, MAG_E_INVALID, MAG_ERR_USER, "BadImage", NULL,
                        "'%.60s' is too long for an image", image);
    bool digest = strchr(image, '@') != NULL;
    (void)snprintf(path, sizeof path, "/images/create?fromImage=%s%s%s", quoted,
                   digest ? "" : "&tag=", digest ? "" : tag);
    rc = raw(a, "POST", path, NULL, 0, &got);
    if (rc == MAG_E_INTERNAL) /* the daemon's answer to whatever the registry said */
        rc = MAG_E_NOT_FOUND;
    return rc == MAG_OK ? pull_result(a, got.body) : rc;
}

/* doc: {"id", "name", "image", "command", "memory", "labels"}. */
static int32_t spec_of(const struct ask *a, const json_t *doc, json_t **ret)
{
    const char *command = mag_json_text(doc, "command", ""), *id = mag_json_text(doc, "id", "");
    _mag_json_ json_t *words = *command ? workload_words(command) : NULL;
    if (*command && !words)
        return mag_fail(a->err, MAG_E_INVALID, MAG_ERR_USER, "BadCommand", NULL,
                        "The command is no line of words: a quote is not closed, or it is empty");
    *ret = json_pack("{s:s, s:s, s:O*, s:O*, s:{s:I}}", "Image", mag_json_text(doc, "image", ""),
                     "Hostname", id, "Cmd", words, "Labels", mag_json_at(doc, "labels"),
                     "HostConfig", "Memory", (json_int_t)mag_json_int(doc, "memory", 0));
    const char *name = mag_json_text(doc, "name", NULL);
    json_t *labels = *ret ? json_deep_copy(json_object_get(*ret, "Labels")) : NULL;
    if (labels && name &&
        json_object_set_new(labels, "magnum.openstack.org/name", json_string(name)) == 0)
        (void)json_object_set(*ret, "Labels", labels);
    json_decref(labels);
    return *ret ? MAG_OK : mag_fail_nomem(a->err);
}

int32_t workload_create(struct mag_call *c, const struct mag_object *o, json_t **ret)
{
    _mag_json_ json_t *doc = NULL, *spec = NULL, *made = NULL;
    struct ask a = begin(c);
    char path[PATH_CAP];
    int32_t rc = check_kind(&a, o->kind);
    if (rc == MAG_OK)
        rc = mag_json_parse(o->doc, "container", &doc, c->err);
    const char *id = mag_json_text(doc, "id", ""), *image = mag_json_text(doc, "image", "");
    if (rc == MAG_OK && (!*id || !*image))
        rc = mag_fail(c->err, MAG_E_INVALID, MAG_ERR_USER, "BadContainer", NULL,
                      "A container needs an id and an image");
    if (rc == MAG_OK)
        rc = spec_of(&a, doc, &spec);
    if (rc == MAG_OK)
        rc = need_image(&a, image);
    if (rc != MAG_OK)
        return rc;
    (void)snprintf(path, sizeof path, "/containers/create?name=%.60s", id); /* a uuid */
    rc = call(&a, "POST", path, spec, &made);
    return rc == MAG_OK ? inspect(&a, id, ret) : rc;
}

int32_t workload_remove(struct mag_call *c, const struct mag_object *o, json_t **ret)
{
    struct ask a = begin(c);
    char path[PATH_CAP];
    (void)ret;
    int32_t rc = check_kind(&a, o->kind);
    if (rc == MAG_OK)
        rc = path_of(&a, o->name, "?force=true&v=true", path);
    return rc == MAG_OK ? call(&a, "DELETE", path, NULL, NULL) : rc;
}

/* ---- actions ---- */

static int32_t answer_output(const struct ask *a, mag_bytes stream, const json_t *code,
                             json_t **ret)
{
    _mag_free_ char *text = workload_output(stream.data, stream.len);
    *ret = text ? json_pack("{s:s, s:O*}", "output", text, "exit_code", code) : NULL;
    return *ret ? MAG_OK : mag_fail_nomem(a->err);
}

static int32_t logs(const struct ask *a, const char *name, json_t **ret)
{
    struct mag_http_answer got = {0};
    char rest[96], path[PATH_CAP];
    long lines = strtol(mag_config(a->self->host, "container_log_lines", "1000"), NULL, 10);
    if (lines < 1 || lines > LINES_MAX)
        return mag_fail(a->err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadOption", NULL,
                        "container_log_lines is a number from 1 to %d", LINES_MAX);
    (void)snprintf(rest, sizeof rest, "/logs?stdout=true&stderr=true&tail=%ld", lines);
    int32_t rc = path_of(a, name, rest, path);
    if (rc == MAG_OK)
        rc = raw(a, "GET", path, NULL, 0, &got);
    return rc == MAG_OK ? answer_output(a, got.body, NULL, ret) : rc;
}

/* The stream ended with the deadline, not with the command: it goes on, and Docker has no way to
 * stop it but with its container. */
static int32_t still_runs(const struct ask *a, const char *path)
{
    _mag_json_ json_t *doc = NULL;
    struct mag_http_answer got = {0};
    mag_error ignored = {.struct_size = sizeof ignored};
    struct mag_docker d = docker(a, RESERVE_MS / 2);
    if (mag_docker_raw(&d, "GET", path, NULL, &got, &ignored) == MAG_OK)
        (void)mag_json_parse(got.body, path, &doc, NULL);
    bool runs = mag_json_bool(doc, "Running", true);
    return mag_fail(a->err, MAG_E_TIMEOUT, 0, "CommandRuns",
                    "reboot or stop the container to end it", "The command did not end in time; %s",
                    runs ? "it still runs in the container" : "its output did not arrive");
}

static int32_t run_exec(const struct ask *a, const char *id, json_t **ret)
{
    _mag_json_ json_t *doc = NULL;
    _mag_json_ json_t *body = json_pack("{s:b, s:b}", "Detach", 0, "Tty", 0);
    struct mag_http_answer got = {0}, state = {0};
    char start[PATH_CAP], show[PATH_CAP];
    if (!body)
        return mag_fail_nomem(a->err);
    (void)snprintf(start, sizeof start, "/exec/%.80s/start", id);
    (void)snprintf(show, sizeof show, "/exec/%.80s/json", id);
    int32_t rc = raw(a, "POST", start, body, 0, &got);
    if (rc == MAG_E_TIMEOUT)
        return still_runs(a, show);
    if (rc == MAG_OK)
        rc = raw(a, "GET", show, NULL, ASK_MS, &state);
    if (rc == MAG_OK)
        rc = mag_json_parse(state.body, show, &doc, a->err);
    return rc == MAG_OK ? answer_output(a, got.body, mag_json_at(doc, "ExitCode"), ret) : rc;
}

static int32_t execute(const struct ask *a, const char *name, mag_bytes args, json_t **ret)
{
    _mag_json_ json_t *doc = NULL, *body = NULL, *made = NULL, *words = NULL;
    char path[PATH_CAP];
    int32_t rc = mag_json_parse(args, "arguments", &doc, a->err);
    if (rc == MAG_OK)
        words = workload_words(mag_json_text(doc, "command", ""));
    if (rc == MAG_OK && !words)
        rc = mag_fail(a->err, MAG_E_INVALID, MAG_ERR_USER, "BadCommand", NULL,
                      "The command is no line of words: a quote is not closed, or it is empty");
    if (rc == MAG_OK)
        rc = path_of(a, name, "/exec", path);
    if (rc != MAG_OK)
        return rc;
    body = json_pack("{s:b, s:b, s:O}", "AttachStdout", 1, "AttachStderr", 1, "Cmd", words);
    rc = body ? call(a, "POST", path, body, &made) : mag_fail_nomem(a->err);
    return rc == MAG_OK ? run_exec(a, mag_json_text(made, "Id", ""), ret) : rc;
}

/* Twice the same is fine: Docker says 304. */
static int32_t change(const struct ask *a, const char *name, const char *verb, json_t **ret)
{
    _mag_json_ json_t *now = NULL;
    char rest[40], path[PATH_CAP];
    bool waits = strcmp(verb, "stop") == 0 || strcmp(verb, "reboot") == 0;
    (void)snprintf(rest, sizeof rest, "/%s", strcmp(verb, "reboot") == 0 ? "restart" : verb);
    if (waits) {
        size_t n = strlen(rest);
        (void)snprintf(rest + n, sizeof rest - n, "?t=%d", STOP_S);
    }
    int32_t rc = path_of(a, name, rest, path);
    if (rc == MAG_OK)
        rc = call(a, "POST", path, NULL, NULL);
    if (rc == MAG_OK)
        rc = inspect(a, name, &now);
    if (rc != MAG_OK)
        return rc;
    *ret = json_pack("{s:O}", "container", now);
    return *ret ? MAG_OK : mag_fail_nomem(a->err);
}

int32_t workload_act(struct mag_call *c, const struct mag_object *o, json_t **ret)
{
    static const char *const changes[] = {"start", "stop", "reboot", "pause", "unpause"};
    struct ask a = begin(c);
    int32_t rc = check_kind(&a, o->kind);
    if (rc != MAG_OK)
        return rc;
    if (strcmp(o->action, "logs") == 0)
        return logs(&a, o->name, ret);
    if (strcmp(o->action, "execute") == 0)
        return execute(&a, o->name, o->doc, ret);
    for (size_t i = 0; i < MAG_LEN(changes); i++)
        if (strcmp(o->action, changes[i]) == 0)
            return change(&a, o->name, o->action, ret);
    return mag_fail(c->err, MAG_E_UNSUPPORTED, MAG_ERR_USER, "VerbNotOffered", NULL,
                    "Containers have no action '%.40s'", o->action);
}
