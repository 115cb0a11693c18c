/* Accepting against a real PostgreSQL: what is written, what is refused, quota and idempotency
 * races, two requests for one cluster, superseding and queueing. */
#include "component/db_fixture.h"

#include "base/str.h"

#include <pthread.h>
#include <string.h>

/* --- create --- */

static void create_writes_everything(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct operation_event_list ev = {NULL, 0};
    fresh_db();
    operation_init(&op);
    make_cluster(&m, "p", "c", 3);
    CU_ASSERT_TRUE(m.c.id > 0);
    CU_ASSERT_EQUAL(m.c.generation, 1);
    CU_ASSERT_STRING_EQUAL(m.c.status, "CREATE_IN_PROGRESS");
    ASSERT_OK(db_operation_get(db, &everything, m.op.id, &op, &e), &e);
    CU_ASSERT_STRING_EQUAL(op.status, "PENDING");
    CU_ASSERT_STRING_EQUAL(op.kind, "create");
    CU_ASSERT_STRING_EQUAL(op.cluster_id, m.c.uuid);
    CU_ASSERT_STRING_EQUAL(op.cluster_name, "c");
    CU_ASSERT_STRING_EQUAL(op.driver_id, "drv");
    CU_ASSERT_EQUAL(op.generation, 1);
    CU_ASSERT_EQUAL(op.lease_fence, 0);
    CU_ASSERT_PTR_NULL(op.prior);
    const json_t *groups = json_object_get(op.spec, "nodegroups");
    CU_ASSERT_EQUAL_FATAL(json_array_size(groups), 2);
    const json_t *worker = json_array_get(groups, 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(worker, "node_count")), 3);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(worker, "status")),
                           "CREATE_IN_PROGRESS");
    CU_ASSERT_PTR_NULL(json_object_get(json_object_get(op.spec, "cluster"), "trustee_password"));
    ASSERT_OK(db_operation_events(db, m.op.id, 0, 10, &ev, &e), &e);
    CU_ASSERT_EQUAL_FATAL(ev.n, 1);
    CU_ASSERT_STRING_EQUAL(ev.v[0].code, "accepted");
    CU_ASSERT_STRING_EQUAL(ev.v[0].request_id, "req-1");
    CU_ASSERT_STRING_EQUAL(ev.v[0].project_id, "p");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM observation"), "1");
    operation_event_list_done(&ev);
    operation_done(&op);
    made_done(&m);
}

static void quota_text_and_row(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct quota q;
    fresh_db();
    quota_init(&q);
    CU_ASSERT_EQUAL(accept_cluster(&m, "p", "c", 1, 0, NULL, &e), ERR_QUOTA);
    CU_ASSERT_STRING_EQUAL(e.msg,
                           "Resource limit exceeded: You have reached the maximum clusters per "
                           "project, 0. You may delete a cluster to make room for a new one.");
    made_done(&m);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "0");
    q.project_id = str_dup("p");
    q.resource = str_dup("Cluster");
    q.hard_limit = 1;
    ASSERT_OK(db_quota_insert(db, &q, &e), &e);
    ASSERT_OK(accept_cluster(&m, "p", "c", 1, 0, NULL, &e), &e);
    made_done(&m);
    CU_ASSERT_EQUAL(accept_cluster(&m, "p", "d", 1, 100, NULL, &e), ERR_QUOTA);
    made_done(&m);
    /* another project has its own */
    ASSERT_OK(accept_cluster(&m, "q", "d", 1, 1, NULL, &e), &e);
    made_done(&m);
    quota_done(&q);
}

/* Rows are sent together with what decides about them. */
static void what_is_refused_leaves_no_rows(void)
{
    static const char left[] =
        "SELECT (SELECT count(*) FROM cluster) + (SELECT count(*) FROM nodegroup)"
        " + (SELECT count(*) FROM operation) + (SELECT count(*) FROM operation_event)"
        " + (SELECT count(*) FROM observation) + (SELECT count(*) FROM idempotency)";
    struct db_idempotency idem = {.key = "k", .hash = "h", .keep_hours = 1};
    struct err e = ERR_INIT;
    struct made m;
    fresh_db();
    CU_ASSERT_EQUAL(accept_cluster(&m, "p", "c", 1, 0, &idem, &e), ERR_QUOTA);
    made_done(&m);
    CU_ASSERT_STRING_EQUAL(sql(left), "0");
    exec("DELETE FROM cluster_template");
    CU_ASSERT_EQUAL(accept_cluster(&m, "p", "c", 1, 100000, &idem, &e), ERR_NOT_FOUND);
    made_done(&m);
    CU_ASSERT_STRING_EQUAL(sql(left), "0");
    /* nor does one that fails in the middle: this index lets only the first group in */
    exec("CREATE UNIQUE INDEX one_role ON nodegroup (project_id)");
    CU_ASSERT_EQUAL(accept_cluster(&m, "p", "c", 1, 100000, &idem, &e), ERR_EXISTS);
    made_done(&m);
    CU_ASSERT_STRING_EQUAL(sql(left), "0");
}

enum { RACERS = 100, EACH = 4 };

struct creator {
    pthread_t t;
    int64_t limit;
    int accepted, refused;
};

static void *create_racer(void *arg)
{
    struct creator *x = arg;
    for (int i = 0; i < EACH; i++) {
        struct err e = ERR_INIT;
        struct made m;
        int rc = accept_cluster(&m, "race", "c", 1, x->limit, NULL, &e);
        x->accepted += rc == 0;
        x->refused += rc == ERR_QUOTA;
        made_done(&m);
    }
    return NULL;
}

/* Exactly `limit` of 400 are accepted, whatever way they are counted. */
static void race_for(int64_t limit)
{
    struct creator x[RACERS];
    int accepted = 0, refused = 0;
    char want[24];
    fresh_db();
    for (int i = 0; i < RACERS; i++) {
        x[i] = (struct creator){.limit = limit};
        pthread_create(&x[i].t, NULL, create_racer, &x[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(x[i].t, NULL);
        accepted += x[i].accepted;
        refused += x[i].refused;
    }
    CU_ASSERT_EQUAL(accepted, limit);
    CU_ASSERT_EQUAL(refused, RACERS * EACH - limit);
    snprintf(want, sizeof want, "%lld", (long long)limit);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), want);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), want);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) / 2 FROM nodegroup"), want);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM observation"), want);
}

static void quota_holds_in_a_race(void)
{
    race_for(7);
    race_for(210); /* begins under the shared lock (100 connections), ends under the other one */
}

/* --- idempotency --- */

static void a_repeated_create_is_the_first_one(void)
{
    struct err e = ERR_INIT;
    struct made a, b;
    fresh_db();
    struct db_idempotency idem = {.key = "k", .hash = "h", .keep_hours = 1};
    ASSERT_OK(accept_cluster(&a, "p", "c", 1, 1, &idem, &e), &e);
    CU_ASSERT_FALSE(idem.replayed);
    /* even though the quota is used up by now */
    ASSERT_OK(accept_cluster(&b, "p", "c", 1, 1, &idem, &e), &e);
    CU_ASSERT_TRUE(idem.replayed);
    CU_ASSERT_STRING_EQUAL(idem.resource, a.c.uuid);
    made_done(&b);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), "1");
    struct db_idempotency other = {.key = "k", .hash = "another", .keep_hours = 1};
    CU_ASSERT_EQUAL(accept_cluster(&b, "p", "c", 1, 9, &other, &e), ERR_CONFLICT);
    made_done(&b);
    /* another project, another name space; a failed request leaves the key free */
    CU_ASSERT_EQUAL(accept_cluster(&b, "q", "c", 1, 0, &other, &e), ERR_QUOTA);
    made_done(&b);
    ASSERT_OK(accept_cluster(&b, "q", "c", 1, 1, &idem, &e), &e);
    CU_ASSERT_FALSE(idem.replayed);
    made_done(&b);
    /* after its time the key is free again, and old keys are swept away */
    exec("UPDATE idempotency SET expires_at = now() - interval '1 second'");
    ASSERT_OK(accept_cluster(&b, "p", "c", 1, 9, &other, &e), &e);
    CU_ASSERT_FALSE(other.replayed);
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(hash, ',') FROM idempotency"), "another");
    made_done(&b);
    made_done(&a);
}

struct keyed {
    int rc;
    struct db_idempotency idem;
    char uuid[40];
};

static void *keyed_racer(void *arg)
{
    struct err e = ERR_INIT;
    struct made m;
    struct keyed *k = arg;
    k->idem = (struct db_idempotency){.key = "same", .hash = "h", .keep_hours = 1};
    k->rc = accept_cluster(&m, "p", "c", 1, 1000, &k->idem, &e);
    snprintf(k->uuid, sizeof k->uuid, "%s", k->idem.replayed ? k->idem.resource : m.c.uuid);
    made_done(&m);
    return NULL;
}

static void one_key_one_cluster_in_a_race(void)
{
    enum { N = 24 };
    pthread_t t[N];
    struct keyed k[N];
    int first = 0;
    fresh_db();
    for (int i = 0; i < N; i++)
        pthread_create(&t[i], NULL, keyed_racer, &k[i]);
    for (int i = 0; i < N; i++) {
        pthread_join(t[i], NULL);
        CU_ASSERT_EQUAL(k[i].rc, 0);
        first += !k[i].idem.replayed;
    }
    for (int i = 1; i < N; i++)
        CU_ASSERT_STRING_EQUAL(k[i].uuid, k[0].uuid);
    CU_ASSERT_EQUAL(first, 1);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), "1");
}

static void a_repeated_change_is_the_first_one(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, b;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct db_idempotency idem = {.key = "k", .hash = "h", .keep_hours = 1};
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 2;
    operation_init(&a);
    operation_init(&b);
    a.kind = str_dup("update");
    b.kind = str_dup("update");
    ASSERT_OK(db_accept_change(db, m.c.uuid, &a, &ch, &idem, &e), &e);
    /* an update of a cluster in UPDATE_IN_PROGRESS would be refused */
    ASSERT_OK(db_accept_change(db, m.c.uuid, &b, &ch, &idem, &e), &e);
    CU_ASSERT_TRUE(idem.replayed);
    CU_ASSERT_STRING_EQUAL(b.id, a.id);
    CU_ASSERT_EQUAL(b.generation, 2);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation"), "2");
    operation_done(&a);
    operation_done(&b);
    made_done(&m);
}

/* --- preconditions --- */

static void refused(const char *uuid, const char *kind, const struct db_change *ch, int code,
                    const char *text)
{
    struct err e = ERR_INIT;
    struct operation op;
    char before[64];
    snprintf(before, sizeof before, "%s",
             sql("SELECT md5(string_agg(c::text, '')) || (SELECT count(*) FROM operation)"
                 " FROM cluster c"));
    CU_ASSERT_EQUAL(change(uuid, kind, ch, &op, &e), code);
    if (strcmp(e.msg, text) != 0)
        fprintf(stderr, "%s: \"%s\"\n", kind, e.msg);
    CU_ASSERT_STRING_EQUAL(e.msg, text);
    CU_ASSERT_STRING_EQUAL(before, sql("SELECT md5(string_agg(c::text, '')) ||"
                                       " (SELECT count(*) FROM operation) FROM cluster c"));
    operation_done(&op);
}

static void status_decides(void)
{
    struct err e = ERR_INIT;
    struct made m;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    const char *u = m.c.uuid;
    struct db_change ch = DB_CHANGE_INIT, none = DB_CHANGE_INIT;
    ch.node_count = 2;
    refused(u, "update", &ch, ERR_UNSUPPORTED,
            "Updating a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    refused(u, "rotate_ca", &none, ERR_UNSUPPORTED,
            "Updating a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    refused(u, "scale", &ch, ERR_UNSUPPORTED,
            "Resizing a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    refused(u, "upgrade", &none, ERR_UNSUPPORTED,
            "Upgrading a cluster when status is \"CREATE_IN_PROGRESS\" is not supported.");
    refused(u, "rotate_credential", &none, ERR_UNSUPPORTED,
            "Rotating credentials when cluster status is \"CREATE_IN_PROGRESS\" is not "
            "supported.");
    refused(u, "nodegroup_delete", &none, ERR_UNSUPPORTED,
            "nodegroup_delete when nodegroup status is \"CREATE_IN_PROGRESS\" is not supported.");
    refused("nope", "update", &ch, ERR_NOT_FOUND, "Cluster nope could not be found.");
    refused(u, "create", &ch, ERR_INTERNAL, "operation kind \"create\" is no change of a cluster");
    refused(u, "dance", &ch, ERR_INTERNAL, "unknown operation kind \"dance\"");
    CU_ASSERT_EQUAL(db_accept_health(db, u, "HEALTHY", NULL, &e), ERR_UNSUPPORTED);
    exec("UPDATE cluster SET status = 'CREATE_COMPLETE'");
    exec("UPDATE nodegroup SET status = 'CREATE_COMPLETE'");
    ch.nodegroup = "nope";
    refused(u, "scale", &ch, ERR_NOT_FOUND, "Nodegroup nope could not be found.");
    ch.nodegroup = "default-worker";
    refused(u, "nodegroup_delete", &ch, ERR_UNSUPPORTED,
            "Deleting a default nodegroup is not supported.");
    exec("UPDATE nodegroup SET status = 'CREATE_FAILED'");
    refused(u, "nodegroup_update", &ch, ERR_UNSUPPORTED,
            "nodegroup_update when nodegroup status is \"CREATE_COMPLETE\" is not supported.");
    struct nodegroup n;
    nodegroup_init(&n);
    n.name = str_dup("default-worker");
    struct db_change add = DB_CHANGE_INIT;
    add.add = &n;
    refused(u, "nodegroup_create", &add, ERR_EXISTS,
            "A node group with name default-worker already exists in the cluster c.");
    nodegroup_done(&n);
    exec("UPDATE cluster SET status = 'DELETE_FAILED'");
    refused(u, "scale", &ch, ERR_UNSUPPORTED,
            "Resizing a cluster when status is \"DELETE_FAILED\" is not supported.");
    made_done(&m);
}

static void health_without_an_operation(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster c;
    fresh_db();
    cluster_init(&c);
    make_complete(&m, "p", "c", 1);
    _cleanup_json_ json_t *reason = json_pack("{s:s}", "api", "ok");
    ASSERT_OK(db_accept_health(db, m.c.uuid, "HEALTHY", reason, &e), &e);
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.health_status, "HEALTHY");
    CU_ASSERT_TRUE(json_equal(c.health_status_reason, reason));
    CU_ASSERT_EQUAL(c.generation, 1);
    CU_ASSERT_EQUAL(db_accept_health(db, "nope", "HEALTHY", NULL, &e), ERR_NOT_FOUND);
    cluster_done(&c);
    made_done(&m);
}

/* --- changes --- */

static void a_resize_touches_one_group(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 5;
    _cleanup_json_ json_t *params = json_pack("{s:[s]}", "nodes_to_remove", "a");
    ch.params = params;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &op, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(name || ' ' || status || ' ' || node_count, ', '"
                               " ORDER BY id) FROM nodegroup"),
                           "default-master CREATE_COMPLETE 1, default-worker UPDATE_IN_PROGRESS 5");
    CU_ASSERT_EQUAL(op.generation, 2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(op.nodegroup_id);
    const json_t *worker = json_array_get(json_object_get(op.spec, "nodegroups"), 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(worker, "node_count")), 5);
    CU_ASSERT_TRUE(json_equal(json_object_get(op.spec, "params"), params));
    /* prior is what the create completed */
    worker = json_array_get(json_object_get(op.prior, "nodegroups"), 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(worker, "node_count")), 1);
    CU_ASSERT_STRING_EQUAL(op.project_id, "p");
    operation_done(&op);
    made_done(&m);
}

static void a_group_is_updated(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct nodegroup n;
    fresh_db();
    nodegroup_init(&n);
    make_complete(&m, "p", "c", 3);
    struct db_change ch = DB_CHANGE_INIT;
    _cleanup_json_ json_t *labels = json_pack("{s:s}", "k", "v"), *taints = json_array();
    ch.nodegroup = "default-worker";
    ch.min_node_count = 1;
    ch.max_node_count = 9;
    ch.node_labels = labels;
    ch.node_taints = taints;
    ASSERT_OK(change(m.c.uuid, "nodegroup_update", &ch, &op, &e), &e);
    operation_done(&op);
    ASSERT_OK(db_nodegroup_get(db, m.c.uuid, NULL, &n, &e), &e);
    CU_ASSERT_EQUAL(n.min_node_count, 1);
    CU_ASSERT_EQUAL(n.max_node_count, 9);
    CU_ASSERT_EQUAL(n.node_count, 3);
    CU_ASSERT_TRUE(json_equal(n.node_labels, labels));
    CU_ASSERT_TRUE(json_equal(n.node_taints, taints));
    CU_ASSERT_STRING_EQUAL(n.status, "UPDATE_IN_PROGRESS");
    struct db_change clear = DB_CHANGE_INIT;
    clear.nodegroup = n.uuid;
    clear.clear_max = true;
    ASSERT_OK(change(m.c.uuid, "nodegroup_update", &clear, &op, &e), &e);
    ASSERT_OK(db_nodegroup_get(db, m.c.uuid, NULL, &n, &e), &e);
    CU_ASSERT_EQUAL(n.max_node_count, MODEL_UNSET);
    CU_ASSERT_EQUAL(n.min_node_count, 1);
    operation_done(&op);
    nodegroup_done(&n);
    made_done(&m);
}

static void an_upgrade_changes_template_and_labels(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct template t;
    struct cluster c;
    fresh_db();
    template_init(&t);
    cluster_init(&c);
    t.name = str_dup("new");
    ASSERT_OK(db_template_insert(db, &t, &e), &e);
    make_complete(&m, "p", "c", 1);
    struct db_change ch = DB_CHANGE_INIT;
    _cleanup_json_ json_t *labels = json_pack("{s:s}", "kube_tag", "v2");
    ch.template_uuid = t.uuid;
    ch.labels = labels;
    ASSERT_OK(change(m.c.uuid, "upgrade", &ch, &op, &e), &e);
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_object_get(json_object_get(op.spec, "template"), "name")), "new");
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.cluster_template_id, t.uuid);
    CU_ASSERT_TRUE(json_equal(c.labels, labels));
    operation_done(&op);
    exec("UPDATE cluster SET status = 'UPDATE_COMPLETE'");
    ch.template_uuid = "00000000-0000-0000-0000-00000000dead";
    CU_ASSERT_EQUAL(change(m.c.uuid, "upgrade", &ch, &op, &e), ERR_NOT_FOUND);
    operation_done(&op);
    cluster_done(&c);
    template_done(&t);
    made_done(&m);
}

static void a_delete_is_always_accepted_once(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, b;
    struct op_guard g;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    static const char *const statuses[] = {"CREATE_FAILED",   "UPDATE_FAILED", "DELETE_FAILED",
                                           "ROLLBACK_FAILED", "RESUME_FAILED", "ADOPT_COMPLETE"};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char query[160];
        snprintf(query, sizeof query,
                 "UPDATE cluster SET status = '%s'; UPDATE operation SET status = 'FAILED',"
                 " finished_at = now() WHERE finished_at IS NULL",
                 statuses[i]);
        exec(query);
        ASSERT_OK(change(m.c.uuid, "delete", NULL, &a, &e), &e);
        CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "DELETE_IN_PROGRESS");
        operation_done(&a);
    }
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &a, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &b, &g));
    CU_ASSERT_STRING_EQUAL(a.id, b.id);
    operation_done(&b);
    /* again, now with force: still the same one, which is forced from now on */
    operation_init(&b);
    b.kind = str_dup("delete");
    b.force = true;
    ASSERT_OK(db_accept_change(db, m.c.uuid, &b, NULL, NULL, &e), &e);
    CU_ASSERT_STRING_EQUAL(a.id, b.id);
    CU_ASSERT_TRUE(b.force);
    CU_ASSERT_STRING_EQUAL(b.status, "RUNNING");
    operation_done(&a);
    operation_done(&b);
    made_done(&m);
}

/* --- two at a time --- */

struct racer {
    pthread_t t;
    const char *uuid, *kind;
    int rc;
    struct operation op;
};

static void *change_racer(void *arg)
{
    struct racer *r = arg;
    struct err e = ERR_INIT;
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 4;
    r->rc = change(r->uuid, r->kind, &ch, &r->op, &e);
    return NULL;
}

static void race(struct racer *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pthread_create(&r[i].t, NULL, change_racer, &r[i]);
    for (size_t i = 0; i < n; i++)
        pthread_join(r[i].t, NULL);
}

static void parallel_updates_one_wins(void)
{
    enum { N = 16 };
    struct racer r[N];
    struct made m;
    int accepted = 0, refusals = 0;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    for (int i = 0; i < N; i++)
        r[i] = (struct racer){.uuid = m.c.uuid, .kind = "update"};
    race(r, N);
    for (int i = 0; i < N; i++) {
        accepted += r[i].rc == 0;
        refusals += r[i].rc == ERR_UNSUPPORTED;
        operation_done(&r[i].op);
    }
    CU_ASSERT_EQUAL(accepted, 1);
    CU_ASSERT_EQUAL(refusals, N - 1);
    CU_ASSERT_STRING_EQUAL(sql("SELECT generation FROM cluster"), "2");
    made_done(&m);
}

static void parallel_resizes_supersede_each_other(void)
{
    enum { N = 16 };
    struct racer r[N];
    struct made m;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    for (int i = 0; i < N; i++)
        r[i] = (struct racer){.uuid = m.c.uuid, .kind = "scale"};
    race(r, N);
    for (int i = 0; i < N; i++) {
        CU_ASSERT_EQUAL(r[i].rc, 0);
        operation_done(&r[i].op);
    }
    CU_ASSERT_STRING_EQUAL(sql("SELECT generation FROM cluster"), "17");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE status = 'PENDING'"), "1");
    CU_ASSERT_STRING_EQUAL(sql("SELECT generation FROM operation WHERE status = 'PENDING'"), "17");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE status = 'CANCELLED' AND"
                               " superseded_by IS NOT NULL AND finished_at IS NOT NULL"),
                           "15");
    made_done(&m);
}

static void parallel_deletes_are_one(void)
{
    enum { N = 16 };
    struct racer r[N];
    struct made m;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    for (int i = 0; i < N; i++)
        r[i] = (struct racer){.uuid = m.c.uuid, .kind = "delete"};
    race(r, N);
    for (int i = 0; i < N; i++) {
        CU_ASSERT_EQUAL(r[i].rc, 0);
        CU_ASSERT_STRING_EQUAL(r[i].op.id, r[0].op.id);
    }
    for (int i = 0; i < N; i++)
        operation_done(&r[i].op);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE kind = 'delete'"), "1");
    made_done(&m);
}

static void a_delete_takes_over_from_a_running_create(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation create, del, got;
    struct op_guard g, g2;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("w1", 60000, &create, &g));
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM operation WHERE kind = 'create'"), "RUNNING");
    bool held = false;
    unsigned char news = 0;
    ASSERT_OK(db_op_renew(db, "w1", 60000, &g.id, 1, &held, &news, &e), &e);
    CU_ASSERT_TRUE(held);
    CU_ASSERT_EQUAL(news, OP_NEWS_CANCEL | OP_NEWS_SUPERSEDED);
    /* the old one can't move on, but what it makes is still written down */
    struct op_store s = {.attempt = MODEL_UNSET,
                         .host_failures = MODEL_UNSET,
                         .steps = MODEL_UNSET,
                         .percent = MODEL_UNSET};
    CU_ASSERT_EQUAL(db_op_checkpoint(db, &g, "{}", 5, NULL, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_op_store(db, &g, &s, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_cluster_set_certs(db, &g, "m", "a", NULL, NULL, NULL, &e), ERR_FENCED);
    ASSERT_OK(db_ledger_declare(db, &g, "node", "n1", NULL, &e), &e);
    ASSERT_OK(db_ledger_confirm(db, &g, "node", "n1", "x1", &e), &e);
    /* the new one waits */
    CU_ASSERT_FALSE_FATAL(lease_one("w2", 60000, &got, &g2));
    /* even its success leaves the cluster to the delete */
    ASSERT_OK(finish(&g, &create, true, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status || ' ' || code FROM operation WHERE kind = 'create'"),
                           "CANCELLED Superseded");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "DELETE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(DISTINCT status, ',') FROM nodegroup"),
                           "DELETE_IN_PROGRESS");
    CU_ASSERT_TRUE_FATAL(lease_one("w2", 60000, &got, &g2));
    CU_ASSERT_STRING_EQUAL(got.id, del.id);
    CU_ASSERT_EQUAL(db_ledger_declare(db, &g, "node", "n2", NULL, &e), ERR_FENCED);
    operation_done(&create);
    operation_done(&del);
    operation_done(&got);
    made_done(&m);
}

static void a_replaced_resize_does_not_end_its_successor(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, b, got;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 2;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &a, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    ch.node_count = 3;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &b, &e), &e);
    _cleanup_json_ json_t *outputs = json_pack("{s:s}", "api_address", "http://old");
    struct op_finish f = {.status = OPS_SUCCEEDED,
                          .cluster_status = "UPDATE_COMPLETE",
                          .nodegroup_status = "UPDATE_COMPLETE",
                          .outputs = outputs};
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(sql("SELECT status || node_count FROM nodegroup WHERE role = 'worker'"),
                           "UPDATE_IN_PROGRESS3");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster WHERE api_address IS NOT NULL"), "0");
    operation_done(&got);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, b.id);
    operation_done(&got);
    operation_done(&a);
    operation_done(&b);
    made_done(&m);
}

static void a_dead_runners_create_ends_by_the_next_lease(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation create, del, got;
    struct op_guard g, g2;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("w1", 60000, &create, &g));
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
    exec("UPDATE operation SET lease_until = now() - interval '1 second' WHERE kind = 'create'");
    CU_ASSERT_TRUE_FATAL(lease_one("w2", 60000, &got, &g2));
    CU_ASSERT_STRING_EQUAL(got.id, del.id);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM operation WHERE kind = 'create'"), "CANCELLED");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(v.code, ',' ORDER BY v.id) FROM operation_event v"
                               " JOIN operation o ON o.id = v.operation_id"
                               " WHERE o.kind = 'create'"),
                           "accepted,superseded,cancelled");
    CU_ASSERT_EQUAL(finish(&g, &create, true, &e), ERR_FENCED);
    CU_ASSERT_EQUAL(db_ledger_confirm(db, &g, "node", "n1", NULL, &e), ERR_FENCED);
    operation_done(&create);
    operation_done(&del);
    operation_done(&got);
    made_done(&m);
}

/* --- the queue of one cluster --- */

static void add_group(const char *uuid, const char *name, struct operation *op)
{
    struct err e = ERR_INIT;
    struct nodegroup n;
    struct db_change ch = DB_CHANGE_INIT;
    nodegroup_init(&n);
    n.name = str_dup(name);
    n.node_count = 2;
    ch.add = &n;
    ASSERT_OK(change(uuid, "nodegroup_create", &ch, op, &e), &e);
    nodegroup_done(&n);
}

static void groups_queue_instead_of_replacing(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, b, got, none;
    struct op_guard g, g2;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    add_group(m.c.uuid, "one", &a);
    add_group(m.c.uuid, "two", &b);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, a.id);
    CU_ASSERT_FALSE_FATAL(lease_one("w", 60000, &none, &g2));
    ASSERT_OK(db_op_checkpoint(db, &g, "{\"v\":1}", 50, NULL, &e), &e);
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    operation_done(&got);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT string_agg(name || ' ' || status, ', ' ORDER BY id) FROM nodegroup"
            " WHERE NOT is_default"),
        "one CREATE_COMPLETE, two CREATE_IN_PROGRESS");
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, b.id);
    /* it waited, and sees what came before it */
    const json_t *one = json_array_get(json_object_get(got.spec, "nodegroups"), 2);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(one, "status")), "CREATE_COMPLETE");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(got.prior, "nodegroups")), 3);
    ASSERT_OK(finish(&g, &got, false, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_FAILED");
    CU_ASSERT_STRING_EQUAL(sql("SELECT status || ' ' || status_reason FROM nodegroup"
                               " WHERE name = 'two'"),
                           "CREATE_FAILED it broke");
    operation_done(&a);
    operation_done(&b);
    operation_done(&got);
    made_done(&m);
}

static void a_deleted_group_is_no_longer_wanted(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, d, s, got;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    add_group(m.c.uuid, "one", &a);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    operation_done(&got);
    struct db_change ch = DB_CHANGE_INIT, up = DB_CHANGE_INIT;
    ch.nodegroup = "one";
    ASSERT_OK(change(m.c.uuid, "nodegroup_delete", &ch, &d, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT status FROM nodegroup WHERE name = 'one'"),
                           "DELETE_IN_PROGRESS");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(d.spec, "nodegroups")), 2);
    CU_ASSERT_PTR_NOT_NULL(d.nodegroup_id);
    /* a resize meanwhile does not cancel it */
    up.node_count = 7;
    ASSERT_OK(change(m.c.uuid, "scale", &up, &s, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, d.id);
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    operation_done(&got);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM nodegroup"), "2");
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, s.id);
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_COMPLETE");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(DISTINCT status, ',') FROM nodegroup WHERE role"
                               " <> 'master'"),
                           "UPDATE_COMPLETE");
    operation_done(&a);
    operation_done(&d);
    operation_done(&s);
    operation_done(&got);
    made_done(&m);
}

static void a_resize_of_another_group_settles_both(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, b, got;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    exec("INSERT INTO nodegroup (uuid, name, cluster_id, status) SELECT 'g', 'gpu', uuid,"
         " 'CREATE_COMPLETE' FROM cluster");
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 3;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &a, &e), &e);
    ch.nodegroup = "gpu";
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &b, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, b.id);
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT string_agg(name || ' ' || status, ', ' ORDER BY id) FROM nodegroup"),
        "default-master CREATE_COMPLETE, default-worker UPDATE_COMPLETE, gpu UPDATE_COMPLETE");
    operation_done(&a);
    operation_done(&b);
    operation_done(&got);
    made_done(&m);
}

static void a_delete_cancels_the_queue(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation a, b, d, got;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    add_group(m.c.uuid, "one", &a);
    add_group(m.c.uuid, "two", &b);
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &d, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation WHERE status = 'CANCELLED'"), "2");
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(DISTINCT status, ',') FROM nodegroup"),
                           "DELETE_IN_PROGRESS");
    CU_ASSERT_EQUAL(json_array_size(json_object_get(d.spec, "nodegroups")), 4);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    CU_ASSERT_STRING_EQUAL(got.id, d.id);
    operation_done(&a);
    operation_done(&b);
    operation_done(&d);
    operation_done(&got);
    made_done(&m);
}

static void cancel_is_asked_once(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation got;
    struct op_guard g;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    exec("UPDATE operation SET due_at = now() + interval '1 hour'");
    ASSERT_OK(db_accept_cancel(db, m.op.id, "somebody", &e), &e);
    ASSERT_OK(db_accept_cancel(db, m.op.id, "somebody", &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM operation_event"), "2");
    CU_ASSERT_STRING_EQUAL(sql("SELECT code || ' ' || actor FROM operation_event ORDER BY id DESC"),
                           "cancel-requested somebody");
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g)); /* due at once */
    CU_ASSERT_TRUE(got.cancel_requested);
    ASSERT_OK(finish(&g, &got, false, &e), &e);
    CU_ASSERT_EQUAL(db_accept_cancel(db, m.op.id, "somebody", &e), ERR_CONFLICT);
    CU_ASSERT_EQUAL(db_accept_cancel(db, "nope", "somebody", &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "Operation nope could not be found.");
    operation_done(&got);
    made_done(&m);
}

TEST_MAIN("db_accept", fixture_start, fixture_stop, TEST(create_writes_everything),
          TEST(quota_text_and_row), TEST(what_is_refused_leaves_no_rows),
          TEST(quota_holds_in_a_race), TEST(a_repeated_create_is_the_first_one),
          TEST(one_key_one_cluster_in_a_race), TEST(a_repeated_change_is_the_first_one),
          TEST(status_decides), TEST(health_without_an_operation), TEST(a_resize_touches_one_group),
          TEST(a_group_is_updated), TEST(an_upgrade_changes_template_and_labels),
          TEST(a_delete_is_always_accepted_once), TEST(parallel_updates_one_wins),
          TEST(parallel_resizes_supersede_each_other), TEST(parallel_deletes_are_one),
          TEST(a_delete_takes_over_from_a_running_create),
          TEST(a_replaced_resize_does_not_end_its_successor),
          TEST(a_dead_runners_create_ends_by_the_next_lease),
          TEST(groups_queue_instead_of_replacing), TEST(a_deleted_group_is_no_longer_wanted),
          TEST(a_resize_of_another_group_settles_both), TEST(a_delete_cancels_the_queue),
          TEST(cancel_is_asked_once))
