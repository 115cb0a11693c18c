/* See mesos_api.h. */
#include "mesos_api.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REDIRECT = 307, REFUSED = 503, URL_MAX = 512, WINDOW_S = 86400 };

/* ---- one exchange ---- */

struct answer {
    uint32_t status;
    json_t *doc;      /* of a 200, NULL when its body is empty or no JSON */
    char leader[300]; /* host in a redirect's Location */
};
static void answer_done(struct answer *a)
{
    json_decref(a->doc);
}
#define _answer_ __attribute__((cleanup(answer_done)))

/* Mesos leaves the scheme out: "//10.0.0.5:5050/state". */
static void read_location(const char *headers, char ret[300])
{
    const char *line = headers ? strstr(headers, "location: ") : NULL;
    const char *at = line ? strstr(line, "//") : NULL;
    size_t len = at ? strcspn(at + 2, ":/\r\n") : 0;
    if (len > 0 && len < 300)
        (void)snprintf(ret, 300, "%.*s", (int)len, at + 2);
}

static int32_t ask(const struct mesos_masters *m, const char *url, const char *method,
                   const json_t *body, struct answer *ret, mag_error *err)
{
    struct mag_http_call c = {.method = method,
                              .service = "url",
                              .path = url,
                              .headers = "Accept: application/json\n",
                              .json = body,
                              .timeout_ms = m->timeout_ms};
    struct mag_http_answer a = {0};
    *ret = (struct answer){0};
    int32_t rc = mag_http_do(m->host, m->op, &c, &a, err);
    if (rc != MAG_OK)
        return rc;
    ret->status = a.status;
    if (a.status == REDIRECT)
        read_location(a.headers, ret->leader);
    if (a.status == 200 && a.body.len)
        return mag_json_parse(a.body, url, &ret->doc, err);
    return MAG_OK;
}

static int32_t ask_master(const struct mesos_masters *m, size_t at, const char *method,
                          const char *path, const json_t *body, struct answer *ret, mag_error *err)
{
    char url[URL_MAX];
    (void)snprintf(url, sizeof url, "http://%s:%d%s", m->address[at], MESOS_MASTER_PORT, path);
    return ask(m, url, method, body, ret, err);
}

static int32_t electing(mag_error *err)
{
    return mag_fail(err, MAG_E_BUSY, MAG_ERR_RETRYABLE, "MesosElection", NULL,
                    "The Mesos masters are choosing their leader");
}

/* To the leader; whoever else answers has lost that place since it was last asked. */
static int32_t ask_leader(const struct mesos_masters *m, const struct mesos_state *s,
                          const char *method, const char *path, const json_t *body,
                          struct answer *ret, mag_error *err)
{
    int32_t rc = ask_master(m, s->leader, method, path, body, ret, err);
    if (rc != MAG_OK)
        return rc;
    if (ret->status == REDIRECT || ret->status == REFUSED)
        return electing(err);
    if (ret->status >= 200 && ret->status < 300)
        return MAG_OK;
    return mag_fail(err, MAG_E_INTERNAL, MAG_ERR_OPERATOR, "MesosRefused",
                    "look into the log of the Mesos master",
                    "%s %s: the Mesos master %s answered %u", method, path, m->address[s->leader],
                    ret->status);
}

/* ---- state ---- */

void mesos_state_done(struct mesos_state *s)
{
    free(s->v);
    *s = (struct mesos_state){0};
}

static double number(const json_t *j, const char *path)
{
    const json_t *v = mag_json_at(j, path);
    return json_is_number(v) ? json_number_value(v) : 0;
}

static struct mesos_agent *agent_by_id(struct mesos_state *s, const char *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].id, id) == 0)
            return &s->v[i];
    return NULL;
}

static void count_tasks(const json_t *doc, struct mesos_state *s)
{
    size_t i, k;
    json_t *framework, *task;
    json_array_foreach(mag_json_at(doc, "frameworks"), i, framework)
    {
        json_array_foreach(mag_json_at(framework, "tasks"), k, task)
        {
            struct mesos_agent *a = agent_by_id(s, mag_json_text(task, "slave_id", ""));
            if (a)
                a->tasks++;
        }
    }
}

static int32_t read_state(const json_t *doc, struct mesos_state *s, mag_error *err)
{
    const json_t *slaves = mag_json_at(doc, "slaves");
    size_t i;
    json_t *e;
    s->v = calloc(json_array_size(slaves) + 1, sizeof *s->v);
    if (!s->v)
        return mag_fail_nomem(err);
    (void)snprintf(s->version, sizeof s->version, "%s", mag_json_text(doc, "version", ""));
    (void)snprintf(s->leader_pid, sizeof s->leader_pid, "%s", mag_json_text(doc, "leader", ""));
    json_array_foreach(slaves, i, e)
    {
        struct mesos_agent *a = &s->v[s->n++];
        (void)snprintf(a->id, sizeof a->id, "%s", mag_json_text(e, "id", ""));
        (void)snprintf(a->host, sizeof a->host, "%s", mag_json_text(e, "hostname", ""));
        a->active = mag_json_bool(e, "active", false);
        s->cpus += number(e, "resources.cpus");
        s->mem += number(e, "resources.mem");
        s->cpus_used += number(e, "used_resources.cpus");
        s->mem_used += number(e, "used_resources.mem");
    }
    count_tasks(doc, s);
    return MAG_OK;
}

static size_t place_of(const struct mesos_masters *m, const char *host)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->address[i], host) == 0 || (m->inside[i] && strcmp(m->inside[i], host) == 0))
            return i;
    return m->n;
}

static bool leads(const json_t *doc)
{
    const char *pid = mag_json_text(doc, "pid", NULL);
    return pid && strcmp(mag_json_text(doc, "leader", ""), pid) == 0;
}

/* *ret_next: who it says leads; m->n when it says nothing. MAG_OK with a leader's state only. */
static int32_t state_of(const struct mesos_masters *m, size_t at, struct mesos_state *ret,
                        size_t *ret_next, mag_error *err)
{
    _answer_ struct answer a;
    *ret_next = m->n;
    int32_t rc = ask_master(m, at, "GET", "/state", NULL, &a, err);
    if (rc != MAG_OK)
        return rc;
    if (a.status == REDIRECT)
        *ret_next = place_of(m, a.leader);
    if (!a.doc || !leads(a.doc))
        return electing(err);
    *ret = (struct mesos_state){.leader = at};
    return read_state(a.doc, ret, err);
}

int32_t mesos_state_read(const struct mesos_masters *m, struct mesos_state *ret, mag_error *err)
{
    mag_error why = {.struct_size = sizeof why};
    int32_t worst = MAG_E_UNAVAILABLE;
    bool asked[MESOS_MASTERS_MAX] = {false};
    for (size_t i = 0; i < m->n; i++) {
        size_t next = i;
        while (next < m->n && !asked[next]) {
            asked[next] = true;
            int32_t rc = state_of(m, next, ret, &next, &why);
            if (rc == MAG_OK)
                return rc;
            if (rc == MAG_E_PRECONDITION || rc == MAG_E_CANCELLED) {
                *err = why;
                return rc;
            }
            worst = rc == MAG_E_BUSY ? rc : worst;
        }
    }
    return worst == MAG_E_BUSY
               ? electing(err)
               : mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "NoMesosMaster", NULL,
                          "None of the %zu Mesos masters answers", m->n);
}

const struct mesos_agent *mesos_agent_at(const struct mesos_state *s, const char *host)
{
    const struct mesos_agent *found = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].host, host) == 0 && (!found || s->v[i].active))
            found = &s->v[i]; /* of two lives of a node the active one counts */
    return found;
}

int32_t mesos_health_of(const struct mesos_masters *m, size_t at, mag_error *err)
{
    _answer_ struct answer a;
    char url[URL_MAX];
    (void)snprintf(url, sizeof url, "http://%s:%d/master/health", m->address[at],
                   MESOS_MASTER_PORT);
    int32_t rc = ask(m, url, "GET", NULL, &a, err);
    if (rc == MAG_OK && a.status != 200)
        rc = mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "MasterUnhealthy", NULL,
                      "its health answers %u", a.status);
    return rc;
}

/* ---- maintenance ---- */

static json_t *machine(const char *host)
{
    return json_pack("{s:s, s:s}", "hostname", host, "ip", host);
}

static bool is_host(const json_t *id, const char *host)
{
    return strcmp(mag_json_text(id, "hostname", ""), host) == 0;
}

static bool names_host(const json_t *ids, const char *host)
{
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        if (is_host(id, host))
            return true;
    }
    return false;
}

static bool scheduled(const json_t *schedule, const char *host)
{
    size_t i;
    json_t *w;
    json_array_foreach(mag_json_at(schedule, "windows"), i, w)
    {
        if (names_host(mag_json_at(w, "machine_ids"), host))
            return true;
    }
    return false;
}

static json_t *window(json_t *machines)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    json_int_t now = (json_int_t)t.tv_sec * 1000000000 + t.tv_nsec;
    return json_pack("{s:O, s:{s:{s:I}, s:{s:I}}}", "machine_ids", machines, "unavailability",
                     "start", "nanoseconds", now, "duration", "nanoseconds",
                     (json_int_t)WINDOW_S * 1000000000);
}

static int32_t post(const struct mesos_masters *m, const struct mesos_state *s, const char *path,
                    const json_t *body, mag_error *err)
{
    _answer_ struct answer a;
    return ask_leader(m, s, "POST", path, body, &a, err);
}

int32_t mesos_maintain(const struct mesos_masters *m, const struct mesos_state *s,
                       const json_t *hosts, mag_error *err)
{
    _answer_ struct answer a;
    int32_t rc = ask_leader(m, s, "GET", "/maintenance/schedule", NULL, &a, err);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *schedule = a.doc ? json_deep_copy(a.doc) : json_object();
    _mag_json_ json_t *machines = json_array();
    size_t i;
    json_t *host;
    json_array_foreach(hosts, i, host)
    {
        const char *name = json_string_value(host);
        if (name && !scheduled(schedule, name) && json_array_append_new(machines, machine(name)))
            return mag_fail_nomem(err);
    }
    if (json_array_size(machines) == 0)
        return MAG_OK;
    if (!json_is_array(mag_json_at(schedule, "windows")))
        (void)json_object_set_new(schedule, "windows", json_array());
    if (json_array_append_new(json_object_get(schedule, "windows"), window(machines)))
        return mag_fail_nomem(err);
    return post(m, s, "/maintenance/schedule", schedule, err);
}

static int32_t down_machines(const struct mesos_masters *m, const struct mesos_state *s,
                             json_t **ret, mag_error *err)
{
    _answer_ struct answer a;
    int32_t rc = ask_leader(m, s, "GET", "/maintenance/status", NULL, &a, err);
    json_t *list = mag_json_at(a.doc, "down_machines");
    *ret = json_is_array(list) ? json_incref(list) : json_array();
    return rc == MAG_OK && !*ret ? mag_fail_nomem(err) : rc;
}

/* Those of `hosts` that are (down: true) or are not among the machines that are down. */
static json_t *pick(const json_t *hosts, const json_t *down, bool want)
{
    json_t *list = json_array();
    size_t i;
    json_t *host;
    json_array_foreach(hosts, i, host)
    {
        const char *name = json_string_value(host);
        if (name && names_host(down, name) == want)
            (void)json_array_append_new(list, machine(name));
    }
    return list;
}

int32_t mesos_machines_down(const struct mesos_masters *m, const struct mesos_state *s,
                            const json_t *hosts, mag_error *err)
{
    _mag_json_ json_t *down = NULL;
    int32_t rc = down_machines(m, s, &down, err);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *list = pick(hosts, down, false);
    return json_array_size(list) ? post(m, s, "/machine/down", list, err) : MAG_OK;
}

/* A window without machines is not allowed: it goes as a whole. */
static json_t *without(const json_t *schedule, const json_t *hosts, bool *ret_changed)
{
    json_t *windows = json_array();
    size_t i, k, h;
    json_t *w, *id, *host;
    json_array_foreach(mag_json_at(schedule, "windows"), i, w)
    {
        json_t *copy = json_copy(w), *left = json_array();
        json_array_foreach(mag_json_at(w, "machine_ids"), k, id)
        {
            bool out = false;
            json_array_foreach(hosts, h, host)
            {
                out |= is_host(id, json_string_value(host));
            }
            *ret_changed |= out;
            if (!out)
                (void)json_array_append(left, id);
        }
        (void)json_object_set(copy, "machine_ids", left);
        if (json_array_size(left))
            (void)json_array_append(windows, copy);
        json_decref(left);
        json_decref(copy);
    }
    return json_pack("{s:o}", "windows", windows);
}

int32_t mesos_machines_forget(const struct mesos_masters *m, const struct mesos_state *s,
                              const json_t *hosts, mag_error *err)
{
    _mag_json_ json_t *down = NULL;
    bool changed = false;
    int32_t rc = down_machines(m, s, &down, err);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *up = pick(hosts, down, true); /* which takes them out of the schedule */
    if (json_array_size(up))
        rc = post(m, s, "/machine/up", up, err);
    _answer_ struct answer a = {0};
    if (rc == MAG_OK)
        rc = ask_leader(m, s, "GET", "/maintenance/schedule", NULL, &a, err);
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *rest = without(a.doc, hosts, &changed);
    return changed ? post(m, s, "/maintenance/schedule", rest, err) : MAG_OK;
}

/* ---- Marathon ---- */

int32_t marathon_info(const struct mesos_masters *m, const char *address, struct marathon_info *ret,
                      mag_error *err)
{
    _answer_ struct answer a;
    char url[URL_MAX];
    (void)snprintf(url, sizeof url, "http://%s:%d/v2/info", address, MARATHON_PORT);
    *ret = (struct marathon_info){.elected = false};
    int32_t rc = ask(m, url, "GET", NULL, &a, err);
    if (rc != MAG_OK)
        return rc;
    if (!a.doc)
        return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE, "MarathonUnavailable", NULL,
                        "Marathon answers %u", a.status);
    (void)snprintf(ret->version, sizeof ret->version, "%s", mag_json_text(a.doc, "version", ""));
    (void)snprintf(ret->leader, sizeof ret->leader, "%s", mag_json_text(a.doc, "leader", ""));
    ret->elected = mag_json_bool(a.doc, "elected", false);
    return MAG_OK;
}
