/* `explain`: which driver a kind of cluster, a template or an existing cluster gets, and why not
 * the others. By the API's own rules. See driver_manage.h. */
#include "cmd/driver_manage.h"

#include "api/driver_select.h"
#include "base/jsonx.h"
#include "db/db_cluster.h"
#include "db/db_service.h"
#include "db/db_template.h"

#include <stdio.h>

static const struct db_scope all = {.all_projects = true, .admin = true};

struct question {
    struct driver_triple triple;
    const char *named; /* the driver that the template names, or NULL */
    struct template t;
};

static int add(json_t *rows, const struct driver_row *d, const char *answer, const char *why,
               struct err *e)
{
    json_t *row = json_pack("{s:s?,s:s?,s:s,s:s}", "driver", d->id, "version", d->version, "answer",
                            answer, "why", why);
    return json_array_append_new(rows, row) < 0 ? err_nomem(e) : 0;
}

/* Why this one was taken, or why another one was although it might be used. */
static const char *reason(const struct question *q, const struct driver_row *d, bool taken)
{
    if (q->named && (str_eq(q->named, d->name) || str_eq(q->named, d->id)))
        return "the template names it";
    if (driver_is_default(d, &q->triple))
        return "it is the default for this kind of cluster";
    if (!taken)
        return "another driver comes first: the default, or else the first by name";
    return q->named ? "the driver that the template names can't be used"
                    : "the first by name of those that can be used";
}

static int answer_row(const struct request *r, const struct question *q,
                      const struct driver_row *chosen, const struct driver_row *d, json_t *rows,
                      struct err *e)
{
    _cleanup_str_ struct str why = STR_INIT;
    bool fits = driver_provides(d, &q->triple);
    bool usable = driver_usable(r->cfg, r->project, d, &why);
    if (!fits && !(q->named && (str_eq(q->named, d->name) || str_eq(q->named, d->id))))
        return 0; /* of no interest */
    if (d == chosen && d->wanted_version && !str_eq(d->wanted_version, d->version)) {
        _cleanup_free_ char *text = str_fmt("%s; version %s was chosen, but no conductor has it",
                                            reason(q, d, true), d->wanted_version);
        return text ? add(rows, d, "chosen", text, e) : err_nomem(e);
    }
    if (d == chosen)
        return add(rows, d, "chosen", reason(q, d, true), e);
    if (!usable || !fits)
        return add(rows, d, "no", usable ? "it does not make this kind of cluster" : str_text(&why),
                   e);
    return add(rows, d, "no", reason(q, d, false), e);
}

static int answer(struct request *r, const struct question *q, const struct driver_row_list *l,
                  struct err *e)
{
    static const char *const columns[] = {"driver", "version", "answer", "why", NULL};
    _cleanup_json_ json_t *rows = json_array();
    const struct driver_row *chosen = NULL;
    struct err none = ERR_INIT, unused = ERR_INIT;
    int rc = q->named ? driver_named(r->cfg, r->project, l, q->named, &chosen, &unused) : -1;
    if (rc != 0 || !driver_provides(chosen, &q->triple)) {
        chosen = NULL;
        rc = driver_for_triple(r->cfg, r->project, l, &q->triple, &chosen, &none);
    }
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].kind, "coe-driver")) {
            int bad = answer_row(r, q, chosen, &l->v[i], rows, e);
            if (bad)
                return bad;
        }
    int bad = output_list(r->format, rows, columns, e);
    if (bad)
        return bad;
    return rc == 0 ? 0 : err_set(e, ERR_INVALID, "%s", none.msg);
}

static int of_template(struct request *r, const char *ident, struct question *q, struct err *e)
{
    int rc = db_template_get(r->db, &all, ident, false, &q->t, e);
    if (rc != 0)
        return rc;
    q->triple = (struct driver_triple){q->t.server_type, q->t.cluster_distro, q->t.coe};
    q->named = str_blank(q->t.driver) ? NULL : q->t.driver;
    return 0;
}

/* An existing cluster stays with its driver and version. */
static int of_cluster(struct request *r, struct err *e)
{
    struct cluster c;
    cluster_init(&c);
    int rc = db_cluster_get(r->db, &all, r->cluster, &c, e);
    _cleanup_json_ json_t *item =
        json_pack("{s:s?,s:s?,s:s?,s:s}", "cluster", c.uuid, "driver", c.driver_id, "version",
                  c.driver_version, "why",
                  c.driver_version ? "it belongs to this version until migrate-clusters moves it"
                                   : "it was made before there were versions: its next operation "
                                     "is carried out by the current one");
    cluster_done(&c);
    if (rc == 0 && !item)
        rc = err_nomem(e);
    return rc == 0 ? output_item(r->format, item, e) : rc;
}

int do_explain(struct request *r, struct err *e)
{
    struct driver_row_list l = {0};
    struct question q = {.named = NULL};
    int rc = need_database(r, e);
    if (rc == 0 && r->cluster)
        return of_cluster(r, e);
    template_init(&q.t);
    if (rc == 0 && r->template)
        rc = of_template(r, r->template, &q, e);
    else if (rc == 0 && r->n_args == 3)
        q.triple = (struct driver_triple){r->args[0], r->args[1], r->args[2]};
    else if (rc == 0)
        rc = err_set(e, ERR_INVALID,
                     "say what to explain: SERVER_TYPE OS COE, --template T or --cluster C");
    if (rc == 0)
        rc = db_driver_list(r->db, 0, &l, e);
    if (rc == 0)
        rc = answer(r, &q, &l, e);
    driver_row_list_done(&l);
    template_done(&q.t);
    return rc;
}
