/* The store against a real PostgreSQL: migrations, drift, every column type, names, paging. */
#include "component/db_fixture.h"

#include "base/str.h"

#include <pthread.h>
#include <string.h>

/* --- migrations --- */

static void migrations_run_once(void)
{
    struct err e = ERR_INIT;
    int applied = -1, at = -1;
    char *info = pg_new_database(server, "mig");
    struct db *d = open_db(info, 0, 0);
    CU_ASSERT_EQUAL(db_schema_check(d, &e), ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "magnum-db-manage upgrade"));
    ASSERT_OK(db_migrate_version(d, &at, &e), &e);
    CU_ASSERT_EQUAL(at, 0);
    ASSERT_OK(db_migrate_upgrade(d, 0, &applied, &e), &e);
    CU_ASSERT_TRUE(applied >= 1);
    ASSERT_OK(db_migrate_version(d, &at, &e), &e);
    CU_ASSERT_EQUAL(at, applied);
    ASSERT_OK(db_migrate_upgrade(d, 0, &applied, &e), &e);
    CU_ASSERT_EQUAL(applied, 0);
    ASSERT_OK(db_schema_check(d, &e), &e);
    CU_ASSERT_EQUAL(db_migrate_upgrade(d, 9999, &applied, &e), ERR_INVALID);
    struct db_revision *v = NULL;
    size_t n = 0;
    ASSERT_OK(db_migrate_list(d, &v, &n, &e), &e);
    CU_ASSERT_EQUAL(n, (size_t)at);
    CU_ASSERT_STRING_EQUAL(v[0].name, "0001_initial");
    CU_ASSERT_TRUE(v[0].applied);
    free(v);
    db_close(&d);
    free(info);
}

static void *upgrade_thread(void *arg)
{
    struct err e = ERR_INIT;
    int *applied = arg;
    struct db *d = open_db(conninfo, 1, 0);
    if (db_migrate_upgrade(d, 0, applied, &e) != 0) {
        fprintf(stderr, "%s\n", e.msg);
        *applied = -1;
    }
    db_close(&d);
    return NULL;
}

static void migrations_in_parallel(void)
{
    enum { STARTERS = 8 };
    pthread_t t[STARTERS];
    int applied[STARTERS], total = 0, at = 0;
    struct err e = ERR_INIT;
    db_close(&db);
    free(conninfo);
    conninfo = pg_new_database(server, "fresh");
    for (int i = 0; i < STARTERS; i++)
        pthread_create(&t[i], NULL, upgrade_thread, &applied[i]);
    for (int i = 0; i < STARTERS; i++) {
        pthread_join(t[i], NULL);
        CU_ASSERT_TRUE(applied[i] >= 0);
        total += applied[i];
    }
    db = open_db(conninfo, 0, 0);
    ASSERT_OK(db_migrate_version(db, &at, &e), &e);
    CU_ASSERT_EQUAL(total, at);
    ASSERT_OK(db_migrate_check(db, &e), &e);
}

static void expect_drift(const char *change_sql, const char *word)
{
    struct err e = ERR_INIT;
    fresh_db();
    ASSERT_OK(db_migrate_check(db, &e), &e);
    exec(change_sql);
    int rc = db_migrate_check(db, &e);
    CU_ASSERT_EQUAL(rc, ERR_CONFIG);
    if (rc != ERR_CONFIG || !strstr(e.msg, word))
        fprintf(stderr, "%s: \"%s\" has no \"%s\"\n", change_sql, e.msg, word);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, word));
}

static void drift_is_noticed(void)
{
    expect_drift("ALTER TABLE cluster DROP COLUMN coe_version", "cluster.coe_version is missing");
    expect_drift("ALTER TABLE cluster ADD COLUMN extra text", "cluster.extra was added");
    expect_drift("ALTER TABLE cluster ALTER keypair TYPE varchar(64)", "character varying(64)");
    expect_drift("ALTER TABLE quotas ALTER hard_limit DROP NOT NULL", "quotas.hard_limit");
    expect_drift("ALTER TABLE nodegroup ALTER is_default SET DEFAULT true", "nodegroup.is_default");
    expect_drift("DROP INDEX operation_due", "operation.operation_due is missing");
    expect_drift("CREATE INDEX mine ON cluster (keypair)", "cluster.mine was added");
    expect_drift("ALTER TABLE ledger DROP CONSTRAINT ledger_state_known", "ledger_state_known");
    expect_drift("DROP TABLE federation", "federation is missing");
    expect_drift("ALTER TABLE cluster SET (fillfactor = 100)", "fillfactor");
    expect_drift("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                 "CREATE TRIGGER mine BEFORE UPDATE ON cluster FOR EACH ROW EXECUTE FUNCTION f()",
                 "cluster.mine");
}

static void foreign_tables_are_not_ours(void)
{
    struct err e = ERR_INIT;
    fresh_db();
    exec("CREATE TABLE something_else (a integer)");
    ASSERT_OK(db_migrate_check(db, &e), &e);
}

static void newer_schemas_are_judged(void)
{
    struct err e = ERR_INIT;
    fresh_db();
    exec("INSERT INTO schema_migration (number, name, compatible) VALUES (9998, '9998_x', 1)");
    ASSERT_OK(db_schema_check(db, &e), &e); /* made for programs like this one */
    exec("INSERT INTO schema_migration (number, name, compatible) VALUES (9999, '9999_y', 9999)");
    CU_ASSERT_EQUAL(db_schema_check(db, &e), ERR_CONFIG);
    CU_ASSERT_EQUAL(db_migrate_check(db, &e), ERR_CONFIG);
}

static void stamp_runs_nothing(void)
{
    struct err e = ERR_INIT;
    int at = -1;
    char *info = pg_new_database(server, "mig");
    struct db *d = open_db(info, 0, 0);
    ASSERT_OK(db_migrate_stamp(d, 1, &e), &e);
    ASSERT_OK(db_migrate_version(d, &at, &e), &e);
    CU_ASSERT_EQUAL(at, 1);
    CU_ASSERT_EQUAL(db_migrate_check(d, &e), ERR_CONFIG);
    ASSERT_OK(db_migrate_stamp(d, 0, &e), &e);
    ASSERT_OK(db_migrate_version(d, &at, &e), &e);
    CU_ASSERT_EQUAL(at, 0);
    CU_ASSERT_EQUAL(db_migrate_stamp(d, 77, &e), ERR_INVALID);
    db_close(&d);
    free(info);
}

/* --- rows --- */

static void columns_survive(void)
{
    struct err e = ERR_INIT;
    struct template t, r;
    fresh_db();
    template_init(&t);
    template_init(&r);
    t.uuid = str_dup("5d2c8a0e-6d7c-4d2b-9f2e-7a7b8c9d0e1f");
    t.project_id = str_dup("p");
    t.name = str_dup("Zürich \"quoted\" \\ {c.cluster} 'x' 東京 🐳");
    t.coe = str_dup("");
    t.apiserver_port = 6443;
    t.docker_volume_size = INT64_MAX;
    t.labels = json_pack("{s:s,s:s,s:{s:[i,b,n]}}", "z", "1", "a", "ü\n\t", "deep", "x", 1, 1);
    t.public = true;
    ASSERT_OK(db_template_insert(db, &t, &e), &e);
    CU_ASSERT_TRUE(t.id > 0);
    CU_ASSERT_TRUE(t.created_at > INT64_C(1700000000000000));
    ASSERT_OK(db_template_get(db, &everything, t.uuid, false, &r, &e), &e);
    CU_ASSERT_EQUAL(r.id, t.id);
    CU_ASSERT_STRING_EQUAL(r.name, t.name);
    CU_ASSERT_STRING_EQUAL(r.coe, "");
    CU_ASSERT_PTR_NULL(r.image_id);
    CU_ASSERT_EQUAL(r.apiserver_port, 6443);
    CU_ASSERT_EQUAL(r.docker_volume_size, INT64_MAX);
    CU_ASSERT_TRUE(r.public);
    CU_ASSERT_FALSE(r.hidden);
    CU_ASSERT_TRUE(json_equal(r.labels, t.labels));
    CU_ASSERT_STRING_EQUAL(json_object_iter_key(json_object_iter(r.labels)), "z");
    CU_ASSERT_EQUAL(r.created_at, t.created_at);
    CU_ASSERT_EQUAL(r.updated_at, TIME_UNSET);

    json_decref(r.labels);
    r.labels = NULL;
    r.apiserver_port = MODEL_UNSET;
    free(r.coe);
    r.coe = NULL;
    r.hidden = true;
    ASSERT_OK(db_template_update(db, &r, &e), &e);
    CU_ASSERT_TRUE(r.updated_at >= t.created_at);
    ASSERT_OK(db_template_get(db, &everything, t.uuid, false, &t, &e), &e);
    CU_ASSERT_PTR_NULL(t.labels);
    CU_ASSERT_PTR_NULL(t.coe);
    CU_ASSERT_EQUAL(t.apiserver_port, MODEL_UNSET);
    CU_ASSERT_TRUE(t.hidden);
    CU_ASSERT_EQUAL(t.updated_at, r.updated_at);
    CU_ASSERT_STRING_EQUAL(t.project_id, "p");
    template_done(&t);
    template_done(&r);
}

static void times_are_exact(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op;
    fresh_db();
    operation_init(&op);
    make_cluster(&m, "p", "c", 1);
    exec("UPDATE operation SET deadline_at = '1969-12-31 23:59:59.999999Z',"
         " progress_at = '2026-11-22 00:40:40.295333+00', started_at = 'infinity'");
    ASSERT_OK(db_operation_get(db, &everything, m.op.id, &op, &e), &e);
    CU_ASSERT_EQUAL(op.deadline_at, -1);
    CU_ASSERT_EQUAL(op.progress_at, INT64_C(1795308040295333));
    CU_ASSERT_EQUAL(op.started_at, TIME_UNSET);
    int64_t now = 0;
    ASSERT_OK(db_now(db, &now, &e), &e);
    CU_ASSERT_TRUE(now >= m.op.created_at);
    operation_done(&op);
    made_done(&m);
}

static void bad_utf8_is_the_callers_fault(void)
{
    struct err e = ERR_INIT;
    struct cluster c;
    cluster_init(&c);
    fresh_db();
    CU_ASSERT_EQUAL(db_cluster_get(db, &everything, "\xff\xfe", &c, &e), ERR_INVALID);
    cluster_done(&c);
}

static void derived_members(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster c;
    cluster_init(&c);
    fresh_db();
    make_cluster(&m, "p", "c", 3);
    exec("UPDATE nodegroup SET node_addresses = '[\"10.0.0.1\"]' WHERE role = 'master'");
    exec("UPDATE nodegroup SET node_addresses = '[\"10.0.0.2\",\"10.0.0.3\"]',"
         " status = 'UPDATE_FAILED', status_reason = 'no space' WHERE role = 'worker'");
    exec("INSERT INTO nodegroup (uuid, name, cluster_id, node_count, role, status) SELECT"
         " 'x', 'gpu', uuid, 2, 'gpu', 'CREATE_FAILED' FROM cluster");
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_EQUAL(c.node_count, 5);
    CU_ASSERT_EQUAL(c.master_count, 1);
    CU_ASSERT_EQUAL(json_array_size(c.node_addresses), 2);
    CU_ASSERT_EQUAL(json_array_size(c.master_addresses), 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(c.template_labels, "color")), "red");
    CU_ASSERT_EQUAL(json_object_size(c.faults), 2);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(c.faults, "default-worker")),
                           "no space");
    CU_ASSERT_TRUE(json_is_null(json_object_get(c.faults, "gpu")));
    /* nothing to aggregate: counts are 0, lists empty */
    exec("DELETE FROM nodegroup");
    exec("DELETE FROM cluster_template");
    ASSERT_OK(db_cluster_get(db, &everything, m.c.uuid, &c, &e), &e);
    CU_ASSERT_EQUAL(c.node_count, 0);
    CU_ASSERT_EQUAL(json_array_size(c.node_addresses), 0);
    CU_ASSERT_PTR_NULL(c.template_labels);
    cluster_done(&c);
    made_done(&m);
}

/* What the API shows is the same, as text. */
static void shown_members(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster_page one = CLUSTER_PAGE_INIT;
    struct db_page first = {.limit = 1};
    fresh_db();
    make_cluster(&m, "p", "c", 3);
    exec("UPDATE cluster SET labels = '{\"a\": \"\u00fc\\n\"}'");
    exec("UPDATE nodegroup SET node_addresses = '[ \"10.0.0.1\" ]' WHERE role = 'master'");
    exec("UPDATE nodegroup SET node_addresses = '[\"10.0.0.2\",\"[::1]\"]',"
         " status = 'UPDATE_FAILED', status_reason = 'no \"space\"' WHERE role = 'worker'");
    exec("INSERT INTO nodegroup (uuid, name, cluster_id, node_count, role, status, node_addresses)"
         " SELECT 'x', 'gpu', uuid, 2, 'gpu', 'CREATE_FAILED', '[\"10.0.0.4\"]' FROM cluster");
    exec("INSERT INTO nodegroup (uuid, name, cluster_id, node_count, role, status, node_addresses)"
         " SELECT 'y', 'none', uuid, 0, 'gpu', 'CREATE_COMPLETE', '[]' FROM cluster");
    ASSERT_OK(db_cluster_show(db, &everything, m.c.uuid, &one, &e), &e);
    CU_ASSERT_EQUAL(one.v->node_count, 5);
    CU_ASSERT_EQUAL(one.v->master_count, 1);
    CU_ASSERT_STRING_EQUAL(one.v->node_addresses, "\"10.0.0.2\",\"[::1]\",\"10.0.0.4\"");
    CU_ASSERT_STRING_EQUAL(one.v->master_addresses, "\"10.0.0.1\"");
    CU_ASSERT_STRING_EQUAL(one.v->template_labels, "{\"color\":\"red\"}");
    CU_ASSERT_STRING_EQUAL(one.v->labels, "{\"a\": \"\u00fc\\n\"}");
    CU_ASSERT_PTR_NULL(one.v->faults);
    exec("UPDATE cluster SET status = 'UPDATE_FAILED'");
    ASSERT_OK(db_cluster_show(db, &everything, "c", &one, &e), &e);
    _cleanup_json_ json_t *faults = json_loads(one.v->faults, 0, NULL);
    _cleanup_json_ json_t *want = json_pack("{s:s, s:n}", "default-worker", "no \"space\"", "gpu");
    CU_ASSERT_TRUE(json_equal(faults, want));
    ASSERT_OK(db_cluster_list(db, &everything, &first, false, &one, &e), &e);
    CU_ASSERT_EQUAL(one.v->node_count, 5);
    CU_ASSERT_PTR_NULL(one.v->node_addresses);
    exec("DELETE FROM nodegroup");
    exec("DELETE FROM cluster_template");
    ASSERT_OK(db_cluster_show(db, &everything, m.c.uuid, &one, &e), &e);
    CU_ASSERT_EQUAL(one.v->node_count, 0);
    CU_ASSERT_PTR_NULL(one.v->node_addresses);
    CU_ASSERT_PTR_NULL(one.v->template_labels);
    CU_ASSERT_EQUAL(db_cluster_show(db, &everything, "nosuch", &one, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(one.v->uuid, m.c.uuid); /* unchanged on failure */
    cluster_page_done(&one);
    made_done(&m);
}

/* --- names and scope --- */

static void names_and_scope(void)
{
    struct err e = ERR_INIT;
    struct made a, b, other;
    struct cluster c;
    cluster_init(&c);
    fresh_db();
    make_cluster(&a, "p", "same", 1);
    make_cluster(&b, "p", "same", 1);
    make_cluster(&other, "q", "lonely", 1);
    struct db_scope p = {.project_id = "p", .user_id = "u"}, q = {.project_id = "q"},
                    user = {.user_id = "u"}, nobody = {.project_id = NULL};
    CU_ASSERT_EQUAL(db_cluster_get(db, &p, "same", &c, &e), ERR_CONFLICT);
    CU_ASSERT_STRING_EQUAL(e.msg, "Multiple clusters exist with same name. Please use the cluster "
                                  "uuid instead.");
    CU_ASSERT_EQUAL(db_cluster_get(db, &p, "lonely", &c, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "Cluster lonely could not be found.");
    CU_ASSERT_PTR_NULL(c.uuid);
    ASSERT_OK(db_cluster_get(db, &q, "lonely", &c, &e), &e);
    CU_ASSERT_EQUAL(db_cluster_get(db, &p, other.c.uuid, &c, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(c.name, "lonely"); /* unchanged by the failure */
    ASSERT_OK(db_cluster_get(db, &user, other.c.uuid, &c, &e), &e);
    CU_ASSERT_EQUAL(db_cluster_get(db, &nobody, other.c.uuid, &c, &e), ERR_NOT_FOUND);
    /* any form of a uuid; a project does not fall back to the user */
    char upper[64];
    snprintf(upper, sizeof upper, "{%s}", a.c.uuid);
    for (char *s = upper; *s; s++)
        *s = *s >= 'a' && *s <= 'f' ? (char)(*s - 32) : *s;
    ASSERT_OK(db_cluster_get(db, &p, upper, &c, &e), &e);
    CU_ASSERT_STRING_EQUAL(c.uuid, a.c.uuid);
    struct db_scope stranger = {.project_id = "z", .user_id = "u"};
    CU_ASSERT_EQUAL(db_cluster_get(db, &stranger, a.c.uuid, &c, &e), ERR_NOT_FOUND);
    int64_t clusters = 0, nodes = 0;
    ASSERT_OK(db_cluster_stats(db, "p", &clusters, &nodes, &e), &e);
    CU_ASSERT_EQUAL(clusters, 2);
    CU_ASSERT_EQUAL(nodes, 4);
    ASSERT_OK(db_cluster_stats(db, NULL, &clusters, &nodes, &e), &e);
    CU_ASSERT_EQUAL(clusters, 3);
    ASSERT_OK(db_cluster_stats(db, "none", &clusters, &nodes, &e), &e);
    CU_ASSERT_EQUAL(nodes, 0);
    cluster_done(&c);
    made_done(&a);
    made_done(&b);
    made_done(&other);
}

static bool sees(const struct db_scope *s, const char *uuid)
{
    struct err e = ERR_INIT;
    struct template t;
    struct template_list l = {NULL, 0};
    template_init(&t);
    int rc = db_template_get(db, s, uuid, false, &t, &e);
    template_done(&t);
    struct db_page all = {.limit = 100};
    ASSERT_OK(db_template_list(db, s, &all, &l, &e), &e);
    bool listed = false;
    for (size_t i = 0; i < l.n; i++)
        listed |= strcmp(l.v[i].uuid, uuid) == 0;
    template_list_done(&l);
    CU_ASSERT_EQUAL(listed, rc == 0);
    return rc == 0;
}

static void templates_by_visibility(void)
{
    struct err e = ERR_INIT;
    fresh_db();
    struct db_scope own = {.project_id = "p"}, other = {.project_id = "x"},
                    admin = {.project_id = "x", .admin = true};
    const struct {
        bool public, hidden, own, other, admin;
    } cases[] = {
        {false, false, true, false, false},
        {false, true, true, false, false},
        {true, false, true, true, true},
        {true, true, true, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        template.public = cases[i].public;
        template.hidden = cases[i].hidden;
        ASSERT_OK(db_template_update(db, &template, &e), &e);
        CU_ASSERT_EQUAL(sees(&own, template.uuid), cases[i].own);
        CU_ASSERT_EQUAL(sees(&other, template.uuid), cases[i].other);
        CU_ASSERT_EQUAL(sees(&admin, template.uuid), cases[i].admin);
        CU_ASSERT_TRUE(sees(&everything, template.uuid));
    }
}

static void templates_by_id_and_name(void)
{
    struct err e = ERR_INIT;
    struct template t, dup;
    fresh_db();
    template_init(&t);
    template_init(&dup);
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)template.id);
    ASSERT_OK(db_template_get(db, &everything, id, true, &t, &e), &e);
    CU_ASSERT_STRING_EQUAL(t.uuid, template.uuid);
    CU_ASSERT_EQUAL(db_template_get(db, &everything, id, false, &t, &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(db_template_get(db, &everything, "99999999999999999999999999", true, &t, &e),
                    ERR_NOT_FOUND);
    /* a template may be called like a number */
    dup.name = str_dup("424242");
    ASSERT_OK(db_template_insert(db, &dup, &e), &e);
    ASSERT_OK(db_template_get(db, &everything, "424242", true, &t, &e), &e);
    CU_ASSERT_STRING_EQUAL(t.uuid, dup.uuid);
    CU_ASSERT_EQUAL(db_template_insert(db, &dup, &e), ERR_EXISTS);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "A ClusterTemplate with UUID "));
    template_done(&dup);
    template_init(&dup);
    dup.name = str_dup("424242");
    ASSERT_OK(db_template_insert(db, &dup, &e), &e);
    CU_ASSERT_EQUAL(db_template_get(db, &everything, "424242", true, &t, &e), ERR_CONFLICT);
    template_done(&t);
    template_done(&dup);
}

static void used_templates_stay(void)
{
    struct err e = ERR_INIT;
    struct made m;
    bool used = true;
    fresh_db();
    ASSERT_OK(db_template_referenced(db, template.uuid, &used, &e), &e);
    CU_ASSERT_FALSE(used);
    make_cluster(&m, "p", "c", 1);
    ASSERT_OK(db_template_referenced(db, template.uuid, &used, &e), &e);
    CU_ASSERT_TRUE(used);
    CU_ASSERT_EQUAL(db_template_delete(db, template.uuid, &e), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "is referenced by one or multiple clusters."));
    exec("DELETE FROM cluster");
    ASSERT_OK(db_template_delete(db, template.uuid, &e), &e);
    CU_ASSERT_EQUAL(db_template_delete(db, template.uuid, &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(db_template_update(db, &template, &e), ERR_NOT_FOUND);
    struct made n;
    CU_ASSERT_EQUAL(accept_cluster(&n, "p", "late", 1, 10, NULL, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster"), "0");
    made_done(&n);
    made_done(&m);
}

/* --- paging --- */

enum { ROWS = 23 };

/* Walks all pages of `limit` and compares with one big page. */
static void walk(const struct db_scope *s, const char *key, bool desc, int64_t limit, size_t want)
{
    struct err e = ERR_INIT;
    struct db_page p = {.limit = 1000, .sort_key = key, .desc = desc};
    struct cluster_page all = CLUSTER_PAGE_INIT;
    ASSERT_OK(db_cluster_list(db, s, &p, false, &all, &e), &e);
    CU_ASSERT_EQUAL_FATAL(all.n, want);
    p.limit = limit;
    size_t seen = 0;
    char marker[40] = "";
    for (;;) {
        struct cluster_page page = CLUSTER_PAGE_INIT;
        p.marker = *marker ? marker : NULL;
        ASSERT_OK(db_cluster_list(db, s, &p, true, &page, &e), &e);
        for (size_t i = 0; i < page.n; i++, seen++) {
            CU_ASSERT_TRUE_FATAL(seen < all.n);
            CU_ASSERT_STRING_EQUAL(page.v[i].uuid, all.v[seen].uuid);
            snprintf(marker, sizeof marker, "%s", page.v[i].uuid);
        }
        size_t n = page.n;
        cluster_page_done(&page);
        if (n == 0)
            break;
    }
    CU_ASSERT_EQUAL(seen, want);
    cluster_page_done(&all);
}

static void check_order(const char *key, bool desc, const char *order)
{
    struct err e = ERR_INIT;
    struct db_page p = {.limit = 1000, .sort_key = key, .desc = desc};
    struct cluster_page l = CLUSTER_PAGE_INIT;
    ASSERT_OK(db_cluster_list(db, &everything, &p, true, &l, &e), &e);
    struct str got = STR_INIT;
    for (size_t i = 0; i < l.n; i++)
        str_printf(&got, "%s%s", i ? "," : "", l.v[i].uuid);
    char query[256];
    snprintf(query, sizeof query, "SELECT string_agg(uuid, ',' ORDER BY %s) FROM cluster", order);
    CU_ASSERT_STRING_EQUAL(str_text(&got), sql(query));
    str_free(&got);
    cluster_page_done(&l);
}

static void fill_pages(void)
{
    char query[512];
    fresh_db();
    for (int i = 0; i < ROWS; i++) {
        char name[2] = {(char)('a' + i % 4), '\0'}, keypair[8];
        snprintf(keypair, sizeof keypair, "'k%d'", i % 3);
        snprintf(query, sizeof query,
                 "INSERT INTO cluster (uuid, project_id, name, cluster_template_id, status,"
                 " keypair, labels, create_timeout, updated_at) VALUES (gen_random_uuid()::text,"
                 " '%s', '%s', '%s', 'CREATE_COMPLETE', %s, '{\"n\":\"%d\"}', %s, %s)",
                 i % 5 ? "p" : "q", name, template.uuid, i % 4 ? keypair : "NULL", i % 2,
                 i % 6 ? "60" : "NULL", i % 3 ? "NULL" : "now()");
        exec(query);
    }
}

static void pages_in_every_order(void)
{
    struct db_scope p = {.project_id = "p"};
    static const char *const keys[] = {NULL,
                                       "id",
                                       "uuid",
                                       "name",
                                       "keypair",
                                       "labels",
                                       "created_at",
                                       "status",
                                       "create_timeout",
                                       "updated_at",
                                       "master_lb_enabled",
                                       "api_address",
                                       "health_status_reason"};
    fill_pages();
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        for (int desc = 0; desc < 2; desc++)
            for (int64_t limit = 1; limit <= ROWS; limit += 5) {
                walk(&everything, keys[k], desc, limit, ROWS);
                walk(&p, keys[k], desc, limit, ROWS - 5);
            }
    check_order("name", false, "name, id");
    check_order("name", true, "name DESC, id DESC");
    check_order("keypair", false, "keypair NULLS FIRST, id");
    check_order("keypair", true, "keypair DESC NULLS LAST, id DESC");
    check_order("create_timeout", true, "create_timeout DESC NULLS LAST, id DESC");
}

static void bad_pages(void)
{
    struct err e = ERR_INIT;
    struct cluster_page l = CLUSTER_PAGE_INIT;
    fill_pages();
    static const char *const bad[] = {"node_count", "links", "", "trustee_password",
                                      "id; DROP TABLE cluster"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct db_page p = {.limit = 10, .sort_key = bad[i]};
        char want[128];
        snprintf(want, sizeof want, "The sort_key value \"%s\" is an invalid field for sorting",
                 bad[i]);
        CU_ASSERT_EQUAL(db_cluster_list(db, &everything, &p, true, &l, &e), ERR_INVALID);
        CU_ASSERT_STRING_EQUAL(e.msg, want);
    }
    struct db_page p = {.limit = 10, .marker = "5d2c8a0e-6d7c-4d2b-9f2e-7a7b8c9d0e1f"};
    CU_ASSERT_EQUAL(db_cluster_list(db, &everything, &p, true, &l, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg,
                           "Cluster 5d2c8a0e-6d7c-4d2b-9f2e-7a7b8c9d0e1f could not be found.");
    /* a marker outside the scope does not exist either */
    char marker[64];
    snprintf(marker, sizeof marker, "%s", sql("SELECT uuid FROM cluster WHERE project_id = 'q'"));
    struct db_scope s = {.project_id = "p"};
    p.marker = marker;
    CU_ASSERT_EQUAL(db_cluster_list(db, &s, &p, true, &l, &e), ERR_NOT_FOUND);
}

static void nodegroups_and_their_pages(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct nodegroup n;
    struct nodegroup_list l = {NULL, 0};
    fresh_db();
    nodegroup_init(&n);
    make_cluster(&m, "p", "c", 2);
    ASSERT_OK(db_nodegroup_get(db, m.c.uuid, NULL, &n, &e), &e);
    CU_ASSERT_STRING_EQUAL(n.name, "default-worker");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(n.cluster_labels, "a")), "b");
    char uuid[40];
    snprintf(uuid, sizeof uuid, "%s", n.uuid);
    ASSERT_OK(db_nodegroup_get(db, m.c.uuid, "default-master", &n, &e), &e);
    ASSERT_OK(db_nodegroup_get(db, m.c.uuid, uuid, &n, &e), &e);
    CU_ASSERT_STRING_EQUAL(n.name, "default-worker");
    CU_ASSERT_EQUAL(db_nodegroup_get(db, "other", uuid, &n, &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(db_nodegroup_get(db, m.c.uuid, "nope", &n, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "Nodegroup nope could not be found.");
    ASSERT_OK(db_nodegroup_list(db, m.c.uuid, NULL, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 2);
    struct db_page p = {.limit = 1, .sort_key = "name", .marker = l.v[0].uuid};
    struct nodegroup_list rest = {NULL, 0};
    ASSERT_OK(db_nodegroup_list(db, m.c.uuid, NULL, &p, &rest, &e), &e);
    CU_ASSERT_EQUAL_FATAL(rest.n, 1);
    CU_ASSERT_STRING_EQUAL(rest.v[0].uuid, uuid);
    ASSERT_OK(db_nodegroup_list(db, m.c.uuid, "master", NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    nodegroup_list_done(&l);
    nodegroup_list_done(&rest);
    nodegroup_done(&n);
    made_done(&m);
}

/* What page.c believes to be NOT NULL must be so, or pages would lose rows. */
static void not_null_columns_are_not_null(void)
{
    fresh_db();
    CU_ASSERT_STRING_EQUAL(
        sql("SELECT string_agg(table_name || '.' || column_name, ' ' ORDER BY 1) FROM"
            " information_schema.columns WHERE table_schema = current_schema() AND is_nullable ="
            " 'YES' AND (table_name, column_name) IN (VALUES ('cluster', 'uuid'),"
            " ('cluster', 'name'), ('cluster', 'cluster_template_id'), ('cluster', 'status'),"
            " ('cluster', 'generation'), ('cluster', 'created_at'), ('nodegroup', 'uuid'),"
            " ('nodegroup', 'name'), ('nodegroup', 'cluster_id'), ('nodegroup', 'node_count'),"
            " ('nodegroup', 'role'), ('nodegroup', 'min_node_count'), ('nodegroup',"
            " 'is_default'), ('nodegroup', 'status'), ('nodegroup', 'created_at'),"
            " ('cluster_template', 'uuid'), ('cluster_template', 'name'), ('cluster_template',"
            " 'created_at'), ('operation', 'created_at'), ('quotas', 'project_id'), ('quotas',"
            " 'resource'), ('quotas', 'hard_limit'))"),
        "");
}

TEST_MAIN("db_base", fixture_start, fixture_stop, TEST(migrations_run_once),
          TEST(migrations_in_parallel), TEST(drift_is_noticed), TEST(foreign_tables_are_not_ours),
          TEST(newer_schemas_are_judged), TEST(stamp_runs_nothing), TEST(columns_survive),
          TEST(times_are_exact), TEST(bad_utf8_is_the_callers_fault), TEST(derived_members),
          TEST(shown_members), TEST(names_and_scope), TEST(templates_by_visibility),
          TEST(templates_by_id_and_name), TEST(used_templates_stay), TEST(pages_in_every_order),
          TEST(bad_pages), TEST(nodegroups_and_their_pages), TEST(not_null_columns_are_not_null))
