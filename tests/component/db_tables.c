/* The small tables: services, published drivers, quotas, key pairs. */
#include "component/db_fixture.h"

#include "base/str.h"

#include <pthread.h>
#include <string.h>

/* --- services --- */

static void beat(const char *host, const char *instance, const char *endpoint)
{
    struct err e = ERR_INIT;
    struct mservice s;
    mservice_init(&s);
    s.host = str_dup(host);
    s.binary = str_dup("magnum-conductor");
    s.instance = str_dup(instance);
    s.endpoint = str_dup(endpoint);
    s.public_key = str_dup("key");
    s.version = str_dup("1");
    ASSERT_OK(db_service_beat(db, &s, &e), &e);
    mservice_done(&s);
}

static size_t live(void)
{
    struct err e = ERR_INIT;
    struct mservice_list l = {NULL, 0};
    ASSERT_OK(db_service_live(db, "magnum-conductor", 100000, &l, &e), &e);
    size_t n = l.n;
    mservice_list_done(&l);
    return n;
}

static void services_beat_and_go(void)
{
    struct err e = ERR_INIT;
    struct mservice_list l = {NULL, 0};
    fresh_db();
    CU_ASSERT_EQUAL(live(), 0);
    beat("h1", "i1", "tcp://a");
    beat("h1", "i2", "tcp://b");
    beat("h2", "i3", "tcp://c");
    beat("h3", "i4", NULL); /* not reachable yet */
    ASSERT_OK(db_service_list(db, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 3);
    CU_ASSERT_STRING_EQUAL(l.v[0].host, "h1");
    CU_ASSERT_EQUAL(l.v[0].report_count, 2);
    CU_ASSERT_STRING_EQUAL(l.v[0].instance, "i2");
    CU_ASSERT_STRING_EQUAL(l.v[0].endpoint, "tcp://b");
    CU_ASSERT_FALSE(l.v[0].disabled);
    CU_ASSERT_TRUE(l.v[0].last_seen_up != TIME_UNSET);
    CU_ASSERT_EQUAL(l.v[1].updated_at, TIME_UNSET);
    CU_ASSERT_EQUAL(live(), 2);
    exec("UPDATE magnum_service SET disabled = true WHERE host = 'h2'");
    CU_ASSERT_EQUAL(live(), 1);
    ASSERT_OK(db_service_gone(db, "h1", "magnum-conductor", &e), &e);
    CU_ASSERT_EQUAL(live(), 0);
    beat("h1", "i5", "tcp://d");
    CU_ASSERT_EQUAL(live(), 1);
    exec("UPDATE magnum_service SET last_seen_up = now() - interval '101 seconds'");
    CU_ASSERT_EQUAL(live(), 0);
    ASSERT_OK(db_service_gone(db, "nobody", "magnum-conductor", &e), &e);
    mservice_list_done(&l);
}

/* --- drivers --- */

static void publish(const char *instance, const char *const *ids, size_t n, bool ready)
{
    struct err e = ERR_INIT;
    struct driver_row_list l = {NULL, 0};
    for (size_t i = 0; i < n; i++) {
        struct driver_row *d = driver_row_list_add(&l);
        d->id = str_dup(ids[i]);
        d->name = str_dup(ids[i]);
        d->sha256 = str_dup("abc");
        d->manifest = json_pack("{s:s}", "id", ids[i]);
        d->ready = ready;
        d->not_ready_reason = ready ? NULL : str_dup("no docker here");
    }
    ASSERT_OK(db_driver_publish(db, instance, &l, &e), &e);
    driver_row_list_done(&l);
}

static void drivers_of_live_conductors(void)
{
    struct err e = ERR_INIT;
    struct driver_row_list l = {NULL, 0};
    static const char *const both[] = {"b", "a"}, *const one[] = {"a"};
    fresh_db();
    beat("h1", "i1", "x");
    beat("h2", "i2", "x");
    publish("i1", both, 2, false);
    publish("i2", one, 1, true);
    publish("i3", one, 1, true); /* never beat */
    ASSERT_OK(db_driver_list(db, 100000, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 2);
    CU_ASSERT_STRING_EQUAL(l.v[0].id, "a");
    CU_ASSERT_TRUE(l.v[0].ready);
    CU_ASSERT_PTR_NULL(l.v[0].not_ready_reason);
    CU_ASSERT_FALSE(l.v[0].enabled);
    CU_ASSERT_EQUAL(json_array_size(l.v[0].conductors), 2);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(l.v[0].conductors, 0)), "h1");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(l.v[0].manifest, "id")), "a");
    CU_ASSERT_FALSE(l.v[1].ready);
    CU_ASSERT_STRING_EQUAL(l.v[1].not_ready_reason, "no docker here");
    /* publishing replaces; a dead conductor's drivers vanish */
    publish("i1", one, 1, false);
    exec("UPDATE magnum_service SET last_seen_up = now() - interval '1 hour' WHERE host = 'h2'");
    ASSERT_OK(db_driver_list(db, 100000, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 1);
    CU_ASSERT_FALSE(l.v[0].ready);
    ASSERT_OK(db_driver_list(db, 0, &l, &e), &e);
    CU_ASSERT_EQUAL(json_array_size(l.v[0].conductors), 3);
    ASSERT_OK(db_driver_enable(db, "a", true, "abc", "me", &e), &e);
    ASSERT_OK(db_driver_list(db, 0, &l, &e), &e);
    CU_ASSERT_TRUE(l.v[0].enabled);
    CU_ASSERT_STRING_EQUAL(l.v[0].enabled_sha256, "abc");
    CU_ASSERT_STRING_EQUAL(l.v[0].enabled_by, "me");
    ASSERT_OK(db_driver_enable(db, "a", false, NULL, "you", &e), &e);
    ASSERT_OK(db_driver_list(db, 0, &l, &e), &e);
    CU_ASSERT_FALSE(l.v[0].enabled);
    CU_ASSERT_PTR_NULL(l.v[0].enabled_sha256);
    /* what a former life published is forgotten after an hour */
    exec("UPDATE driver SET updated_at = now() - interval '2 hours'");
    publish("i1", one, 1, true);
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(instance, ',' ORDER BY instance) FROM driver"),
                           "i1,i2");
    driver_row_list_done(&l);
}

static void quarantine(void)
{
    struct err e = ERR_INIT;
    bool in = true;
    json_t *list = NULL;
    fresh_db();
    ASSERT_OK(db_driver_quarantined(db, "abc", &in, &e), &e);
    CU_ASSERT_FALSE(in);
    ASSERT_OK(db_driver_quarantine_list(db, &list, &e), &e);
    CU_ASSERT_TRUE(json_is_array(list) && json_array_size(list) == 0);
    json_decref(list);
    ASSERT_OK(db_driver_quarantine(db, "a", "abc", "crashed", &e), &e);
    ASSERT_OK(db_driver_quarantine(db, "a", "abc", "crashed again", &e), &e);
    ASSERT_OK(db_driver_quarantine(db, "b", "def", "hung", &e), &e);
    ASSERT_OK(db_driver_quarantined(db, "abc", &in, &e), &e);
    CU_ASSERT_TRUE(in);
    ASSERT_OK(db_driver_quarantine_list(db, &list, &e), &e);
    CU_ASSERT_EQUAL_FATAL(json_array_size(list), 2);
    const json_t *first = json_array_get(list, 0);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(first, "reason")), "crashed again");
    int64_t since;
    CU_ASSERT_TRUE(clock_parse_iso(json_string_value(json_object_get(first, "since")), &since));
    json_decref(list);
    ASSERT_OK(db_driver_quarantine_clear(db, "a", &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT string_agg(id, ',') FROM driver_quarantine"), "b");
    ASSERT_OK(db_driver_quarantine_clear(db, NULL, &e), &e);
    CU_ASSERT_STRING_EQUAL(sql("SELECT count(*) FROM driver_quarantine"), "0");
}

/* --- quotas --- */

static void quotas(void)
{
    struct err e = ERR_INIT;
    struct quota q;
    struct quota_list l = {NULL, 0};
    fresh_db();
    for (int i = 0; i < 3; i++) {
        static const char *const projects[] = {"b", "a", "c"};
        quota_init(&q);
        q.project_id = str_dup(projects[i]);
        q.resource = str_dup("Cluster");
        q.hard_limit = 5 + i;
        ASSERT_OK(db_quota_insert(db, &q, &e), &e);
        CU_ASSERT_TRUE(q.id > 0);
        CU_ASSERT_EQUAL(db_quota_insert(db, &q, &e), ERR_EXISTS);
        quota_done(&q);
    }
    CU_ASSERT_STRING_EQUAL(e.msg, "Quota for project c already exists for resource Cluster.");
    ASSERT_OK(db_quota_get(db, "a", "Cluster", &q, &e), &e);
    CU_ASSERT_EQUAL(q.hard_limit, 6);
    q.hard_limit = 0;
    ASSERT_OK(db_quota_update(db, &q, &e), &e);
    CU_ASSERT_EQUAL(q.hard_limit, 0);
    CU_ASSERT_TRUE(q.updated_at != TIME_UNSET);
    CU_ASSERT_EQUAL(db_quota_get(db, "a", "Other", &q, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "Quota could not be found: project_id a resource Other.");
    struct db_page p = {.limit = 2, .sort_key = "project_id"};
    ASSERT_OK(db_quota_list(db, NULL, &p, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 2);
    CU_ASSERT_STRING_EQUAL(l.v[0].project_id, "a");
    char marker[24];
    snprintf(marker, sizeof marker, "%lld", (long long)l.v[1].id);
    p.marker = marker;
    ASSERT_OK(db_quota_list(db, NULL, &p, &l, &e), &e);
    CU_ASSERT_EQUAL_FATAL(l.n, 1);
    CU_ASSERT_STRING_EQUAL(l.v[0].project_id, "c");
    p.marker = "999";
    CU_ASSERT_EQUAL(db_quota_list(db, NULL, &p, &l, &e), ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(e.msg, "Quota could not be found: quota id 999 .");
    ASSERT_OK(db_quota_list(db, "b", NULL, &l, &e), &e);
    CU_ASSERT_EQUAL(l.n, 1);
    ASSERT_OK(db_quota_delete(db, "a", "Cluster", &e), &e);
    CU_ASSERT_EQUAL(db_quota_delete(db, "a", "Cluster", &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(db_quota_update(db, &q, &e), ERR_NOT_FOUND);
    quota_done(&q);
    quota_list_done(&l);
}

/* --- key pairs --- */

struct putter {
    pthread_t t;
    int rc;
    char content[8], uuid[40];
};

static void *put_key(void *arg)
{
    struct putter *p = arg;
    struct err e = ERR_INIT;
    struct x509keypair k;
    x509keypair_init(&k);
    k.derived_key = str_dup("c/ca/1");
    k.certificate = str_dup(p->content);
    k.project_id = str_dup("p");
    p->rc = db_x509_put(db, NULL, &k, &e);
    snprintf(p->uuid, sizeof p->uuid, "%s", k.uuid);
    snprintf(p->content, sizeof p->content, "%s", k.certificate);
    x509keypair_done(&k);
    return NULL;
}

static void the_first_key_pair_wins(void)
{
    enum { N = 12 };
    struct err e = ERR_INIT;
    struct putter p[N];
    struct x509keypair k;
    fresh_db();
    for (int i = 0; i < N; i++) {
        snprintf(p[i].content, sizeof p[i].content, "c%d", i);
        pthread_create(&p[i].t, NULL, put_key, &p[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(p[i].t, NULL);
        CU_ASSERT_EQUAL(p[i].rc, 0);
    }
    for (int i = 1; i < N; i++) {
        CU_ASSERT_STRING_EQUAL(p[i].uuid, p[0].uuid);
        CU_ASSERT_STRING_EQUAL(p[i].content, p[0].content);
    }
    x509keypair_init(&k);
    ASSERT_OK(db_x509_get(db, p[0].uuid, &k, &e), &e);
    CU_ASSERT_STRING_EQUAL(k.certificate, p[0].content);
    /* without a derived key every one is its own; a uuid is taken once */
    free(k.derived_key);
    k.derived_key = NULL;
    CU_ASSERT_EQUAL(db_x509_put(db, NULL, &k, &e), ERR_EXISTS);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "A key pair with UUID "));
    free(k.uuid);
    k.uuid = NULL;
    ASSERT_OK(db_x509_put(db, NULL, &k, &e), &e);
    CU_ASSERT_STRING_NOT_EQUAL(k.uuid, p[0].uuid);
    ASSERT_OK(db_x509_delete(db, p[0].uuid, &e), &e);
    CU_ASSERT_EQUAL(db_x509_delete(db, p[0].uuid, &e), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(db_x509_get(db, p[0].uuid, &k, &e), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.msg, "A key pair "));
    x509keypair_done(&k);
}

TEST_MAIN("db_tables", fixture_start, fixture_stop, TEST(services_beat_and_go),
          TEST(drivers_of_live_conductors), TEST(quarantine), TEST(quotas),
          TEST(the_first_key_pair_wins))
