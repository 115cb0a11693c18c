/* Which master is believed, where redirects lead and where they don't, and what the maintenance API
 * is told: plugins/mesos/mesos_api.c over a table of answers. */
#include "../../plugins/mesos/mesos_api.h"
#include "support/cunit_main.h"

#include "lib/cleanup.h"

#include <stdio.h>
#include <string.h>

static mag_error err = {.struct_size = sizeof err};

struct row { /* an answer to "METHOD URL"; the first row that fits */
    const char *what;
    uint32_t status;
    const char *headers, *body;
};
static struct {
    const struct row *rows;
    size_t n;
    char posts[1024]; /* "url body;" of each POST */
    unsigned asked;
    int32_t refuse; /* instead of any answer */
} world;

static int32_t http(void *ctx, const mag_op *op, const mag_http_req *rq, mag_http_resp *rp,
                    mag_error *e)
{
    char what[512];
    (void)ctx;
    (void)op;
    world.asked++;
    if (world.refuse) {
        e->flags = 0;
        return world.refuse;
    }
    CU_ASSERT_STRING_EQUAL(rq->service, "url");
    (void)snprintf(what, sizeof what, "%s %s", rq->method, rq->path);
    if (strcmp(rq->method, "POST") == 0) {
        size_t used = strlen(world.posts);
        (void)snprintf(world.posts + used, sizeof world.posts - used, "%s %.*s;",
                       strrchr(rq->path, ':'), (int)rq->body.len, (const char *)rq->body.data);
    }
    for (size_t i = 0; i < world.n; i++) {
        if (strcmp(world.rows[i].what, what) != 0)
            continue;
        rp->status = world.rows[i].status;
        rp->headers = world.rows[i].headers;
        rp->body = mag_text(world.rows[i].body);
        return MAG_OK;
    }
    e->flags = MAG_ERR_RETRYABLE;
    return MAG_E_UNAVAILABLE;
}

static const mag_host host = {.struct_size = sizeof host, .http = http};

static struct mesos_masters masters(const struct row *rows, size_t n)
{
    memset(&world, 0, sizeof world);
    world.rows = rows;
    world.n = n;
    return (struct mesos_masters){.host = &host,
                                  .address = {"1.0.0.1", "1.0.0.2", "1.0.0.3"},
                                  .inside = {"10.0.0.1", "10.0.0.2", "10.0.0.3"},
                                  .n = 3};
}

#define STATE                                                                                      \
    "{\"version\":\"1.11.0\",\"pid\":\"master@10.0.0.3:5050\",\"leader\":\"master@10.0.0.3:5050\"" \
    ",\"slaves\":[{\"id\":\"S0\",\"hostname\":\"10.0.0.20\",\"active\":false,\"resources\":"       \
    "{\"cpus\":2.0,\"mem\":1000.0},\"used_resources\":{\"cpus\":0.5,\"mem\":10.0}},"               \
    "{\"id\":\"S1\",\"hostname\":\"10.0.0.20\",\"active\":true},"                                  \
    "{\"id\":\"S2\",\"hostname\":\"10.0.0.21\",\"active\":true}],"                                 \
    "\"frameworks\":[{\"tasks\":[{\"slave_id\":\"S2\"},{\"slave_id\":\"S2\"},"                     \
    "{\"slave_id\":\"gone\"}]}]}"

static void test_redirects(void)
{
    static const struct row rows[] = {
        {"GET http://1.0.0.1:5050/state", 307, "location: //10.0.0.3:5050/state\n", ""},
        {"GET http://1.0.0.3:5050/state", 200, "", STATE},
    };
    struct mesos_masters m = masters(rows, MAG_LEN(rows));
    struct mesos_state s;
    CU_ASSERT_EQUAL_FATAL(mesos_state_read(&m, &s, &err), MAG_OK);
    CU_ASSERT_EQUAL(s.leader, 2);
    CU_ASSERT_EQUAL(world.asked, 2); /* the one in between was passed over */
    CU_ASSERT_EQUAL(s.n, 3);
    CU_ASSERT_EQUAL((int)s.cpus, 2);
    CU_ASSERT_STRING_EQUAL(mesos_agent_at(&s, "10.0.0.20")->id, "S1"); /* of two lives the active */
    CU_ASSERT_EQUAL(mesos_agent_at(&s, "10.0.0.21")->tasks, 2);
    CU_ASSERT_PTR_NULL(mesos_agent_at(&s, "10.0.0.22"));
    mesos_state_done(&s);
}

/* A redirect to somebody who is no master of the cluster is not followed, and two that point at
 * each other end. */
static void test_redirects_elsewhere(void)
{
    static const struct row rows[] = {
        {"GET http://1.0.0.1:5050/state", 307, "location: //6.6.6.6:5050/state\n", ""},
        {"GET http://6.6.6.6:5050/state", 200, "", STATE},
        {"GET http://1.0.0.2:5050/state", 307, "location: //10.0.0.3:5050/state\n", ""},
        {"GET http://1.0.0.3:5050/state", 307, "location: //10.0.0.2:5050/state\n", ""},
    };
    struct mesos_masters m = masters(rows, MAG_LEN(rows));
    struct mesos_state s;
    CU_ASSERT_EQUAL(mesos_state_read(&m, &s, &err), MAG_E_BUSY);
    CU_ASSERT_EQUAL(world.asked, 3);
}

static void test_no_leader(void)
{
    static const struct row electing[] = {
        {"GET http://1.0.0.2:5050/state", 503, "", "No leader elected"}};
    static const struct row stale[] = {
        {"GET http://1.0.0.1:5050/state", 200, "", "{\"pid\":\"master@10.0.0.1:5050\"}"},
        {"GET http://1.0.0.2:5050/state", 200, "", "not JSON"}};
    struct mesos_masters m = masters(electing, MAG_LEN(electing));
    struct mesos_state s;
    CU_ASSERT_EQUAL(mesos_state_read(&m, &s, &err), MAG_E_BUSY);
    CU_ASSERT(err.flags & MAG_ERR_RETRYABLE);
    m = masters(stale, MAG_LEN(stale)); /* one that serves but does not say that it leads */
    CU_ASSERT_EQUAL(mesos_state_read(&m, &s, &err), MAG_E_BUSY);
    m = masters(NULL, 0);
    CU_ASSERT_EQUAL(mesos_state_read(&m, &s, &err), MAG_E_UNAVAILABLE);
    world.refuse = MAG_E_PRECONDITION; /* fenced: nobody else is asked */
    world.asked = 0;
    CU_ASSERT_EQUAL(mesos_state_read(&m, &s, &err), MAG_E_PRECONDITION);
    CU_ASSERT_EQUAL(world.asked, 1);
}

static void test_maintenance(void)
{
    static const struct row rows[] = {
        {"GET http://1.0.0.1:5050/maintenance/schedule", 200, "",
         "{\"windows\":[{\"machine_ids\":[{\"hostname\":\"a\",\"ip\":\"a\"}],"
         "\"unavailability\":{}}]}"},
        {"GET http://1.0.0.1:5050/maintenance/status", 200, "",
         "{\"down_machines\":[{\"hostname\":\"a\",\"ip\":\"a\"}]}"},
        {"POST http://1.0.0.1:5050/maintenance/schedule", 200, "", ""},
        {"POST http://1.0.0.1:5050/machine/down", 200, "", ""},
        {"POST http://1.0.0.1:5050/machine/up", 200, "", ""},
    };
    struct mesos_masters m = masters(rows, MAG_LEN(rows));
    const struct mesos_state s = {.leader = 0};
    _mag_json_ json_t *a = json_pack("[s]", "a"), *both = json_pack("[s,s]", "a", "b");
    CU_ASSERT_EQUAL(mesos_maintain(&m, &s, a, &err), MAG_OK);
    CU_ASSERT_EQUAL(mesos_machines_down(&m, &s, a, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(world.posts, ""); /* done already */
    CU_ASSERT_EQUAL(mesos_machines_down(&m, &s, both, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(world.posts, ":5050/machine/down [{\"hostname\":\"b\",\"ip\":\"b\"}];");
    CU_ASSERT_EQUAL(mesos_maintain(&m, &s, both, &err), MAG_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.posts, "\"hostname\":\"a\"")); /* the old window stays */
    world.posts[0] = '\0';
    CU_ASSERT_EQUAL(mesos_machines_forget(&m, &s, both, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(world.posts, ":5050/machine/up [{\"hostname\":\"a\",\"ip\":\"a\"}];"
                                        ":5050/maintenance/schedule {\"windows\":[]};");
}

/* Between reading the state and telling the leader, another one may have been elected. */
static void test_leader_changes(void)
{
    static const struct row rows[] = {{"GET http://1.0.0.1:5050/maintenance/status", 307,
                                       "location: //10.0.0.2:5050/maintenance/status\n", ""}};
    struct mesos_masters m = masters(rows, MAG_LEN(rows));
    const struct mesos_state s = {.leader = 0};
    _mag_json_ json_t *a = json_pack("[s]", "a");
    CU_ASSERT_EQUAL(mesos_machines_down(&m, &s, a, &err), MAG_E_BUSY);
    CU_ASSERT_STRING_EQUAL(world.posts, "");
}

TEST_MAIN("mesos", NULL, NULL, TEST(test_redirects), TEST(test_redirects_elsewhere),
          TEST(test_no_leader), TEST(test_maintenance), TEST(test_leader_changes))
