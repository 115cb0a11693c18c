/* The observation queue against a real PostgreSQL: who looks at which cluster and when, what a look
 * stores, and the spec that it is given. */
#include "component/db_fixture.h"

#include "base/str.h"

/* --- observation --- */

static size_t look(const char *owner, size_t max)
{
    struct err e = ERR_INIT;
    struct cluster_list l = {NULL, 0};
    ASSERT_OK(db_observe_lease(db, owner, max, 60000, NULL, &l, &e), &e);
    size_t n = l.n;
    for (size_t i = 0; i < l.n; i++) {
        CU_ASSERT_EQUAL(l.v[i].node_count, 2); /* derived members are there */
        ASSERT_OK(db_observe_store(db, owner, l.v[i].uuid, "HEALTHY", NULL, NULL, true, 60000, &e),
                  &e);
    }
    cluster_list_done(&l);
    return n;
}

static void clusters_are_looked_at_once_per_interval(void)
{
    enum { CLUSTERS = 20 };
    fresh_db();
    for (int i = 0; i < CLUSTERS; i++) {
        struct made m;
        make_complete(&m, "p", "c", 2);
        made_done(&m);
    }
    size_t a = 0, b = 0, n;
    do {
        n = look("a", 3) + look("b", 3);
        a += n > 3 ? 3 : n;
        b += n > 3 ? n - 3 : 0;
    } while (n);
    CU_ASSERT_EQUAL(a + b, CLUSTERS);
    CU_ASSERT_TRUE(b > 0);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM cluster WHERE health_status = 'HEALTHY' AND"
                               " health_at IS NOT NULL"),
                           "20");
    exec("UPDATE observation SET due_at = now() - interval '1 second'");
    CU_ASSERT_EQUAL(look("a", 100), CLUSTERS);
    CU_ASSERT_EQUAL(look("b", 100), 0);
}

static void observation_leases_expire(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct cluster_list l = {NULL, 0};
    struct strv drivers = STRV_INIT;
    fresh_db();
    make_cluster(&m, "p", "c", 2);
    ASSERT_OK(db_observe_lease(db, "a", 10, 60000, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0); /* just made: not before a minute, or its end */
    exec("UPDATE observation SET due_at = now()");
    ASSERT_OK(db_observe_lease(db, "a", 10, 60000, &drivers, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0); /* a driver I don't have */
    ASSERT_OK(db_observe_lease(db, "a", 10, 60000, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    ASSERT_OK(db_observe_lease(db, "b", 10, 60000, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 0);
    exec("UPDATE observation SET lease_until = now() - interval '1 second'");
    ASSERT_OK(db_observe_lease(db, "b", 10, 60000, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    _cleanup_json_ json_t *out = json_pack("{s:s}", "api_address", "late");
    ASSERT_OK(db_observe_store(db, "a", m.c.uuid, "UNHEALTHY", NULL, out, true, 1000, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT health_status FROM cluster"), "");
    CU_ASSERT_STRING_EQUAL(sql("SELECT api_address FROM cluster"), "");
    _cleanup_json_ json_t *reason = json_pack("{s:s}", "api", "ok");
    ASSERT_OK(db_observe_store(db, "b", m.c.uuid, "HEALTHY", reason, out, true, 3600000, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT health_status || ' ' || api_address FROM cluster"),
                           "HEALTHY late");
    CU_ASSERT_STRING_EQUAL(sql("SELECT due_at > now() + interval '59 minutes' FROM observation"),
                           "t");
    /* handed back by a graceful stop */
    exec("UPDATE observation SET due_at = now()");
    ASSERT_OK(db_observe_lease(db, "b", 10, 60000, NULL, &l, &e), &e);
    ASSERT_OK(db_op_release_all(db, "b", &e), &e);
    ASSERT_OK(db_observe_lease(db, "c", 10, 60000, NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    cluster_list_done(&l);
    made_done(&m);
}

static void agents_report_by_themselves(void)
{
    struct err e = ERR_INIT;
    struct made m;
    struct operation op, got;
    struct op_guard g;
    fresh_db();
    make_complete(&m, "p", "c", 2);
    struct db_change ch = DB_CHANGE_INIT;
    _cleanup_json_ json_t *labels = json_pack("{s:s,s:s}", "auto_healing_enabled", "True",
                                              "auto_healing_controller", "magnum-auto-healer");
    ch.labels = labels;
    ASSERT_OK(change(m.c.uuid, "upgrade", &ch, &op, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    operation_done(&got);
    operation_done(&op);
    CU_ASSERT_EQUAL(look("a", 10), 0);
    json_object_del(labels, "auto_healing_controller");
    ASSERT_OK(change(m.c.uuid, "upgrade", &ch, &op, &e), &e);
    CU_ASSERT_TRUE_FATAL(lease_one("w", 60000, &got, &g));
    ASSERT_OK(finish(&g, &got, true, &e), &e);
    CU_ASSERT_EQUAL(look("a", 10), 1);
    operation_done(&got);
    operation_done(&op);
    made_done(&m);
}

static void the_spec_of_now(void)
{
    struct err e = ERR_INIT;
    struct made m;
    json_t *spec = NULL;
    fresh_db();
    make_complete(&m, "p", "c", 2);
    ASSERT_OK(db_cluster_spec(db, m.c.uuid, &spec, &e), &e);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(spec, "nodegroups")), 2);
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_object_get(json_object_get(spec, "template"), "name")), "t");
    json_decref(spec);
    CU_ASSERT_EQUAL(db_cluster_spec(db, "nope", &spec, &e), ERR_NOT_FOUND);
    made_done(&m);
}

TEST_MAIN("db_observe", fixture_start, fixture_stop, TEST(clusters_are_looked_at_once_per_interval),
          TEST(observation_leases_expire), TEST(agents_report_by_themselves), TEST(the_spec_of_now))
