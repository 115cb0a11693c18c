/* How operations end, and what is done when they don't: blocked ones shown to old clients, retry,
 * forced delete with its report, refusals undone, resizes that name nodes. See db_accept.h and
 * db_operation.h. */
#include "component/db_fixture.h"

#include "base/str.h"
#include "model/codes.h"

#include <string.h>

static struct op_store plain_store(void)
{
    return (struct op_store){.attempt = MODEL_UNSET,
                             .host_failures = MODEL_UNSET,
                             .steps = MODEL_UNSET,
                             .percent = MODEL_UNSET};
}

static void store(const struct op_guard *g, const struct op_store *s)
{
    struct err e = ERR_INIT;
    ASSERT_OK(db_op_store(db, g, s, &e), &e);
}

/* Leases what is due, fails it with this code. */
static void fail(struct operation *op, bool refused)
{
    struct err e = ERR_INIT;
    struct op_guard g;
    enum op_kind k = OP_CREATE;
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, op, &g));
    CU_ASSERT_TRUE_FATAL(op_kind_parse(op->kind, &k));
    struct op_finish f = {.status = OPS_FAILED,
                          .cluster_status = status_on_failure(k),
                          .nodegroup_status = status_group_on_failure(k),
                          .status_reason = "it broke",
                          .code = "Denied",
                          .reason = "it broke",
                          .remedy = "mend it",
                          .actor = "operator",
                          .steps = 7,
                          .attempt = 2,
                          .host_failures = 1,
                          .percent = 40,
                          .refused = refused};
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
}

static int retry(const char *id, struct operation *op, struct err *e)
{
    operation_init(op);
    op->id = str_dup(id);
    op->user_id = str_dup("u2");
    op->request_id = str_dup("req-2");
    op->deadline_at = 4102444800000000; /* 2100 */
    return db_accept_retry(db, op, "somebody", e);
}

/* ---- ended rows ---- */
static void an_ended_row_keeps_its_counts(void)
{
    struct made m;
    struct operation op;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    fail(&op, false);
    CU_ASSERT_STRING_EQUAL(sql("SELECT concat_ws(' ', steps, attempt, host_failures, percent, code,"
                               " actor) FROM operation"),
                           "7 2 1 40 Denied operator");
    operation_done(&op);
    made_done(&m);
}

/* ---- blocked ---- */
static void old_clients_see_why_it_is_blocked(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, scale, other;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 3;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &scale, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    struct op_store s = plain_store();
    s.status = OPS_BLOCKED;
    s.blocked = s.show = s.set_reason = true;
    s.code = "Unavailable";
    s.reason = "503 from the backend";
    s.actor = "operator";
    s.remedy = "check it";
    store(&g, &s);
    const char *shown = "SELECT c.status_reason = 'BLOCKED since ' || to_char(o.blocked_since AT"
                        " TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' (Unavailable): "
                        "503 from the backend; the operator must act: check it'"
                        " AND g.status_reason = c.status_reason FROM cluster c, operation o,"
                        " nodegroup g WHERE o.kind = 'scale' AND g.name = 'default-worker'";
    CU_ASSERT_STRING_EQUAL(sql(shown), "t");
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM nodegroup WHERE status_reason IS NOT NULL"),
                           "1"); /* the group it is about */
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_IN_PROGRESS");
    /* since when stays, whatever happens while it is blocked */
    const char *since = "SELECT blocked_since FROM operation WHERE kind = 'scale'";
    _cleanup_free_ char *first = str_dup(sql(since));
    store(&g, &s);
    CU_ASSERT_STRING_EQUAL(sql(since), first);
    /* a request that queues behind it does not hide it */
    struct nodegroup add;
    nodegroup_init(&add);
    add.name = str_dup("more");
    struct db_change group = DB_CHANGE_INIT;
    group.add = &add;
    ASSERT_OK(change(m.c.uuid, "nodegroup_create", &group, &other, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql(shown), "t");
    /* progress takes it back */
    s = plain_store();
    s.status = OPS_RUNNING;
    s.show = s.set_reason = true;
    store(&g, &s);
    CU_ASSERT_STRING_EQUAL(sql("SELECT (SELECT count(*) FROM cluster WHERE status_reason IS NOT"
                               " NULL) + (SELECT count(*) FROM nodegroup WHERE status_reason IS NOT"
                               " NULL)"),
                           "0");
    CU_ASSERT_STRING_EQUAL(sql("SELECT blocked_since IS NULL FROM operation WHERE kind = 'scale'"),
                           "t");
    nodegroup_done(&add);
    operation_done(&op);
    operation_done(&scale);
    operation_done(&other);
    made_done(&m);
}

/* ---- retry ---- */
static void a_blocked_one_is_due_at_once(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, got;
    struct op_guard g;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    struct op_store s = plain_store();
    s.status = OPS_BLOCKED;
    s.blocked = true;
    s.attempt = 9;
    s.host_failures = 2;
    s.due_in_ms = 45000;
    store(&g, &s);
    /* it is being tried: its runner's next write would undo ours */
    ASSERT_OK(retry(m.op.id, &got, &e), &e);
    CU_ASSERT_EQUAL(got.attempt, 9);
    operation_done(&got);
    s.release = true;
    store(&g, &s);
    ASSERT_OK(retry(m.op.id, &got, &e), &e);
    CU_ASSERT_STRING_EQUAL(got.id, m.op.id);
    CU_ASSERT_STRING_EQUAL(got.status, OPS_BLOCKED);
    CU_ASSERT_EQUAL(got.attempt, 0);
    CU_ASSERT_EQUAL(got.host_failures, 0);
    CU_ASSERT_STRING_EQUAL(sql("SELECT due_at <= now() FROM operation"), "t");
    CU_ASSERT_STRING_EQUAL(sql("SELECT code || ' ' || actor || ' ' || request_id FROM"
                               " operation_event ORDER BY id DESC LIMIT 1"),
                           "retry-requested somebody req-2");
    operation_done(&op);
    CU_ASSERT_TRUE(lease_one("w", 60000, &op, &g));
    operation_done(&op);
    operation_done(&got);
    made_done(&m);
}

static void a_failed_one_is_accepted_anew(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, again, more;
    struct op_guard g;
    fresh_db();
    make_cluster(&m, "p", "c", 3);
    fail(&op, false);
    operation_done(&op);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_FAILED");
    ASSERT_OK(retry(m.op.id, &again, &e), &e);
    CU_ASSERT_STRING_NOT_EQUAL(again.id, m.op.id);
    CU_ASSERT_STRING_EQUAL(again.kind, "create");
    CU_ASSERT_STRING_EQUAL(again.retry_of, m.op.id);
    CU_ASSERT_STRING_EQUAL(again.user_id, "u2");
    CU_ASSERT_STRING_EQUAL(again.driver_id, "drv");
    CU_ASSERT_EQUAL(again.generation, 2);
    CU_ASSERT_EQUAL(again.deadline_at, 4102444800000000);
    CU_ASSERT_STRING_EQUAL(sql("SELECT concat_ws(' ', status, generation, status_reason) FROM"
                               " cluster"),
                           "CREATE_IN_PROGRESS 2");
    CU_ASSERT_STRING_EQUAL(sql("SELECT DISTINCT status FROM nodegroup"), "CREATE_IN_PROGRESS");
    CU_ASSERT_STRING_EQUAL(sql("SELECT spec->'nodegroups'->1->>'node_count' FROM operation"
                               " WHERE generation = 2"),
                           "3");
    /* asked twice: the one under way is the answer */
    ASSERT_OK(retry(m.op.id, &more, &e), &e);
    CU_ASSERT_STRING_EQUAL(more.id, again.id);
    operation_done(&more);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    ASSERT_OK(finish(&g, &op, true, &e), &e);
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "CREATE_COMPLETE");
    operation_done(&op);
    operation_done(&again);
    /* only the newest one, and only what failed */
    CU_ASSERT_EQUAL(retry(m.op.id, &more, &e), ERR_CONFLICT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "not the newest"));
    operation_done(&more);
    CU_ASSERT_EQUAL(retry("no such", &more, &e), ERR_NOT_FOUND);
    operation_done(&more);
    CU_ASSERT_EQUAL(retry(sql("SELECT id FROM operation WHERE generation = 2"), &more, &e),
                    ERR_CONFLICT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "only one that failed"));
    operation_done(&more);
    made_done(&m);
}

/* Each kind that can fail can be tried again, along the transition table. */
static void every_kind_can_be_retried(void)
{
    static const char *const kinds[] = {"update", "scale", "delete", "upgrade", "nodegroup_create"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct err e = ERR_INIT;
        struct made m;
        struct operation asked, op, again;
        struct op_guard g;
        struct nodegroup add;
        enum op_kind k = OP_CREATE;
        fresh_db();
        make_complete(&m, "p", "c", 1);
        nodegroup_init(&add);
        add.name = str_dup("more");
        struct db_change ch = DB_CHANGE_INIT;
        if (str_eq(kinds[i], "scale") || str_eq(kinds[i], "update"))
            ch.node_count = 4;
        if (str_eq(kinds[i], "nodegroup_create"))
            ch.add = &add;
        CU_ASSERT_TRUE_FATAL(op_kind_parse(kinds[i], &k));
        ASSERT_OK(change(m.c.uuid, kinds[i], &ch, &asked, &e), &e);
        fail(&op, false);
        CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), status_on_failure(k));
        operation_done(&op);
        ASSERT_OK(retry(asked.id, &again, &e), &e);
        CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), status_on_accept(k));
        CU_ASSERT_STRING_EQUAL(
            sql("SELECT count(*) FROM nodegroup WHERE right(status, 7) = '_FAILED'"), "0");
        CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
        CU_ASSERT_STRING_EQUAL(op.id, again.id);
        ASSERT_OK(finish(&g, &op, true, &e), &e);
        nodegroup_done(&add);
        operation_done(&asked);
        operation_done(&op);
        operation_done(&again);
        made_done(&m);
    }
}

/* ---- refused or failed: how many nodes are wanted then (conductor.md 2.2, 2.4, 11.5) ---- */
static void a_refused_resize_leaves_the_old_size_a_failed_one_the_new(void)
{
    for (int refused = 0; refused < 2; refused++) {
        struct err e = ERR_INIT;
        struct made m;
        struct operation scale, op, again;
        fresh_db();
        make_complete(&m, "p", "c", 2);
        struct db_change ch = DB_CHANGE_INIT;
        ch.node_count = 5;
        ASSERT_OK(change(m.c.uuid, "scale", &ch, &scale, &e), &e);
        const char *count = "SELECT node_count FROM nodegroup WHERE role = 'worker'";
        CU_ASSERT_STRING_EQUAL(sql(count), "5");
        fail(&op, refused);
        CU_ASSERT_STRING_EQUAL(sql(count), refused ? "2" : "5");
        CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_FAILED");
        /* either way a retry wants what was asked for */
        ASSERT_OK(retry(scale.id, &again, &e), &e);
        CU_ASSERT_STRING_EQUAL(sql(count), "5");
        CU_ASSERT_STRING_EQUAL(sql("SELECT (spec->'nodegroups'->1->>'node_count') || ' ' ||"
                                   " (undo->>'node_count') FROM operation WHERE generation = 3"),
                               refused ? "5 2" : "5 5");
        operation_done(&op);
        operation_done(&scale);
        operation_done(&again);
        made_done(&m);
    }
}

static void a_refused_upgrade_changes_nothing(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation upgrade, op;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    _cleanup_json_ json_t *labels = json_pack("{s:s}", "kube_tag", "v9");
    exec("INSERT INTO cluster_template (uuid, name) VALUES ('newer', 'newer')");
    struct db_change ch = DB_CHANGE_INIT;
    ch.template_uuid = "newer";
    ch.labels = labels;
    ASSERT_OK(change(m.c.uuid, "upgrade", &ch, &upgrade, &e), &e);
    const char *now = "SELECT (cluster_template_id = 'newer') || ' ' || labels::text FROM cluster";
    CU_ASSERT_STRING_EQUAL(sql(now), "true {\"kube_tag\":\"v9\"}");
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    struct op_finish f = {.status = OPS_FAILED,
                          .cluster_status = "UPDATE_COMPLETE",
                          .nodegroup_status = "UPDATE_COMPLETE",
                          .status_reason = "too old",
                          .refused = true};
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql(now), "false {\"a\":\"b\"}");
    CU_ASSERT_STRING_EQUAL(cluster_status(m.c.uuid), "UPDATE_COMPLETE");
    operation_done(&op);
    operation_done(&upgrade);
    made_done(&m);
}

/* What was asked for since is not touched by the end of an elder. */
static void a_newer_wish_survives_the_refusal_and_the_outputs_of_an_older_one(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation first, second, op;
    struct op_guard g;
    char key[96];
    fresh_db();
    make_complete(&m, "p", "c", 5);
    _cleanup_json_ json_t *params = json_pack("{s:[s]}", "nodes_to_remove", "n3");
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 4;
    ch.params = params;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &first, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    struct db_change down = DB_CHANGE_INIT;
    down.node_count = 3;
    ASSERT_OK(change(m.c.uuid, "scale", &down, &second, &e), &e);
    snprintf(key, sizeof key, "nodegroup/%s/node_count",
             sql("SELECT uuid FROM nodegroup WHERE role = 'worker'"));
    _cleanup_json_ json_t *outputs = json_pack("{s:i}", key, 4);
    struct op_store s = plain_store();
    s.outputs = outputs;
    store(&g, &s);
    const char *count = "SELECT node_count FROM nodegroup WHERE role = 'worker'";
    CU_ASSERT_STRING_EQUAL(sql(count), "3");
    struct op_finish f = {.status = OPS_FAILED,
                          .cluster_status = "UPDATE_FAILED",
                          .nodegroup_status = "UPDATE_FAILED",
                          .outputs = outputs,
                          .refused = true};
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql(count), "3");
    operation_done(&op);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    CU_ASSERT_STRING_EQUAL(op.id, second.id);
    store(&g, &s); /* on its way even the newest one does not change what is wanted */
    CU_ASSERT_STRING_EQUAL(sql(count), "3");
    f.status = OPS_SUCCEEDED;
    f.cluster_status = f.nodegroup_status = "UPDATE_COMPLETE";
    f.refused = false;
    ASSERT_OK(db_op_finish(db, &g, &f, &e), &e); /* it has ended: that is what there is */
    CU_ASSERT_STRING_EQUAL(sql(count), "4");
    operation_done(&op);
    operation_done(&first);
    operation_done(&second);
    made_done(&m);
}

static void a_resize_that_names_nodes_is_not_replaced(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation first, second, third, op;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 5);
    _cleanup_json_ json_t *params = json_pack("{s:[s]}", "nodes_to_remove", "n3");
    _cleanup_json_ json_t *none = json_pack("{s:[]}", "nodes_to_remove");
    struct db_change ch = DB_CHANGE_INIT;
    ch.node_count = 4;
    ch.params = params;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &first, &e), &e);
    ch.node_count = 3;
    ch.params = none;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &second, &e), &e);
    ch.node_count = 2;
    ASSERT_OK(change(m.c.uuid, "scale", &ch, &third, &e), &e); /* replaces the second alone */
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(status, ' ' ORDER BY generation) FROM operation"
                               " WHERE kind = 'scale'"),
                           "PENDING CANCELLED PENDING");
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    CU_ASSERT_STRING_EQUAL(op.id, first.id);
    CU_ASSERT_EQUAL(
        json_array_size(json_object_get(json_object_get(op.spec, "params"), "nodes_to_remove")), 1);
    ASSERT_OK(finish(&g, &op, true, &e), &e);
    operation_done(&op);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    CU_ASSERT_STRING_EQUAL(op.id, third.id);
    const json_t *group = json_array_get(json_object_get(op.spec, "nodegroups"), 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(group, "node_count")), 2);
    operation_done(&op);
    operation_done(&first);
    operation_done(&second);
    operation_done(&third);
    made_done(&m);
}

/* A group that could not be made is not forgotten because something else went well. */
static void the_cluster_stays_failed_while_a_group_is(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation asked, op;
    struct op_guard g;
    struct nodegroup add;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    nodegroup_init(&add);
    add.name = str_dup("more");
    struct db_change group = DB_CHANGE_INIT, size = DB_CHANGE_INIT;
    group.add = &add;
    size.node_count = 2;
    ASSERT_OK(change(m.c.uuid, "nodegroup_create", &group, &asked, &e), &e);
    fail(&op, false);
    operation_done(&op);
    operation_done(&asked);
    const char *seen = "SELECT status || ' ' || coalesce(status_reason, '-') FROM cluster";
    CU_ASSERT_STRING_EQUAL(sql(seen), "UPDATE_FAILED it broke");
    ASSERT_OK(change(m.c.uuid, "scale", &size, &asked, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    ASSERT_OK(finish(&g, &op, true, &e), &e);
    operation_done(&op);
    operation_done(&asked);
    CU_ASSERT_STRING_EQUAL(sql(seen), "UPDATE_FAILED more failed");
    struct db_change gone = DB_CHANGE_INIT;
    gone.nodegroup = "more";
    ASSERT_OK(change(m.c.uuid, "nodegroup_delete", &gone, &asked, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    ASSERT_OK(finish(&g, &op, true, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql(seen), "UPDATE_COMPLETE -");
    nodegroup_done(&add);
    operation_done(&op);
    operation_done(&asked);
    made_done(&m);
}

/* A conductor that lost its lease leaves no private key behind. */
static void keys_are_stored_under_the_lease_only(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    struct op_guard g;
    struct x509keypair k;
    fresh_db();
    make_cluster(&m, "p", "c", 1);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    for (int i = 0; i < 2; i++) { /* again after a crash: the first one is the one */
        x509keypair_init(&k);
        k.derived_key = str_fmt("%s/ca/1", m.c.uuid);
        k.certificate = str_dup(i ? "other" : "first");
        ASSERT_OK(db_x509_put(db, &g, &k, &e), &e);
        CU_ASSERT_STRING_EQUAL(k.certificate, "first");
        CU_ASSERT(k.id != MODEL_UNSET && k.created_at != TIME_UNSET);
        x509keypair_done(&k);
    }
    g.fence--;
    x509keypair_init(&k);
    k.derived_key = str_fmt("%s/etcd-ca/1", m.c.uuid);
    CU_ASSERT_EQUAL(db_x509_put(db, &g, &k, &e), ERR_FENCED);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM x509keypair"), "1");
    x509keypair_done(&k);
    operation_done(&op);
    made_done(&m);
}

/* ---- deletes that leave something ---- */
static void remove_it(const struct op_guard *g, const char *gave_up)
{
    struct err e = ERR_INIT;
    struct op_finish f = {.status = OPS_SUCCEEDED,
                          .cluster_status = "DELETE_COMPLETE",
                          .nodegroup_status = "DELETE_COMPLETE",
                          .remove_cluster = true,
                          .gave_up_code = gave_up,
                          .gave_up_reason = gave_up ? "403" : NULL};
    ASSERT_OK(db_op_finish(db, g, &f, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT (SELECT count(*) FROM cluster) + (SELECT count(*) FROM"
                               " ledger)"),
                           "0");
}

static void what_a_delete_leaves_behind_is_reported(void)
{
    for (int forced = 0; forced < 2; forced++) {
        struct err e = ERR_INIT;
        struct made m;
        struct operation del, op;
        struct op_guard g;
        fresh_db();
        make_cluster(&m, "p", "c", 1);
        CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
        for (int i = 0; i < 7; i++) {
            char name[8];
            snprintf(name, sizeof name, "n%d", i);
            ASSERT_OK(db_ledger_declare(db, &g, "server", name, NULL, &e), &e);
        }
        ASSERT_OK(db_ledger_confirm(db, &g, "server", "n1", "ext-1", &e), &e);
        ASSERT_OK(finish(&g, &op, false, &e), &e);
        operation_done(&op);
        ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
        CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
        remove_it(&g, forced ? "Denied" : NULL);
        CU_ASSERT_STRING_EQUAL(
            sql("SELECT concat_ws(' ', status, code, actor) FROM operation WHERE kind = 'delete'"),
            "SUCCEEDED LeftBehind operator");
        CU_ASSERT_STRING_EQUAL(
            sql("SELECT reason FROM operation WHERE kind = 'delete'"),
            forced ? "7 resources were left behind: server n0, server n1, server n2, server n3,"
                     " server n4, ...; given up: 403"
                   : "7 resources were left behind: server n0, server n1, server n2, server n3,"
                     " server n4, ...");
        CU_ASSERT_STRING_EQUAL(
            sql("SELECT concat_ws(' ', json_array_length(report->'left_behind'),"
                " report->'left_behind'->1->>'kind', report->'left_behind'->1->>'name',"
                " report->'left_behind'->1->>'state', report->'left_behind'->1->>'external_id',"
                " report->'error'->>'code') FROM operation WHERE kind = 'delete'"),
            forced ? "7 server n1 confirmed ext-1 Denied" : "7 server n1 confirmed ext-1");
        CU_ASSERT_STRING_EQUAL(sql("SELECT code FROM operation_event ORDER BY id DESC LIMIT 1"),
                               "left-behind");
        operation_done(&op);
        operation_done(&del);
        made_done(&m);
    }
}

static void a_clean_delete_reports_nothing(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation del, op;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    remove_it(&g, NULL);
    CU_ASSERT_STRING_EQUAL(sql("SELECT report IS NULL AND code IS NULL FROM operation WHERE kind ="
                               " 'delete'"),
                           "t");
    operation_done(&op);
    operation_done(&del);
    made_done(&m);
}

/* What was given up is kept when another conductor goes on from there. */
static void what_was_given_up_is_durable(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation del, op;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    struct op_store s = plain_store();
    s.gave_up_code = "DriverUnavailable";
    s.gave_up_reason = "nobody has it";
    s.release = true;
    store(&g, &s);
    operation_done(&op);
    CU_ASSERT_TRUE_FATAL(lease_one("w2", 60000, &op, &g));
    CU_ASSERT_TRUE(json_is_object(json_object_get(op.report, "error")));
    remove_it(&g, NULL);
    CU_ASSERT_STRING_EQUAL(sql("SELECT reason FROM operation WHERE kind = 'delete'"),
                           "0 resources were left behind; given up: nobody has it");
    operation_done(&op);
    operation_done(&del);
    made_done(&m);
}

static void a_delete_under_way_can_be_forced(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation del, force, op;
    struct op_guard g;
    bool held = false;
    unsigned char news = 0;
    fresh_db();
    make_complete(&m, "p", "c", 1);
    ASSERT_OK(change(m.c.uuid, "delete", NULL, &del, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &op, &g));
    ASSERT_OK(db_op_renew(db, "w", 60000, &g.id, 1, &held, &news, &e), &e);
    CU_ASSERT_EQUAL(news, 0);
    for (int i = 0; i < 2; i++) {
        operation_init(&force);
        force.kind = str_dup("delete");
        force.force = true;
        ASSERT_OK(db_accept_change(db, m.c.uuid, &force, NULL, NULL, &e), &e);
        CU_ASSERT_STRING_EQUAL(force.id, del.id);
        operation_done(&force);
    }
    ASSERT_OK(db_op_renew(db, "w", 60000, &g.id, 1, &held, &news, &e), &e);
    CU_ASSERT_EQUAL(news, OP_NEWS_FORCE);
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT count(*) FROM operation_event WHERE code = 'force-requested'"), "1");
    operation_done(&op);
    operation_done(&del);
    made_done(&m);
}

TEST_MAIN("db_ends", fixture_start, fixture_stop, TEST(an_ended_row_keeps_its_counts),
          TEST(old_clients_see_why_it_is_blocked), TEST(a_blocked_one_is_due_at_once),
          TEST(a_failed_one_is_accepted_anew), TEST(every_kind_can_be_retried),
          TEST(a_refused_resize_leaves_the_old_size_a_failed_one_the_new),
          TEST(a_refused_upgrade_changes_nothing),
          TEST(a_newer_wish_survives_the_refusal_and_the_outputs_of_an_older_one),
          TEST(a_resize_that_names_nodes_is_not_replaced),
          TEST(the_cluster_stays_failed_while_a_group_is),
          TEST(keys_are_stored_under_the_lease_only), TEST(what_a_delete_leaves_behind_is_reported),
          TEST(a_clean_delete_reports_nothing), TEST(what_was_given_up_is_durable),
          TEST(a_delete_under_way_can_be_forced))
