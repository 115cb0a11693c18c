/* See db_fixture.h. */
#include "component/db_fixture.h"

#include "base/str.h"
#include "base/uuid.h"

struct pg *server;
struct db *db;
char *conninfo;
struct template template;
const struct db_scope everything = {.all_projects = true, .admin = true};

int fixture_start(void)
{
    template_init(&template);
    server = pg_start(false, NULL);
    return server ? 0 : 1;
}

int fixture_stop(void)
{
    template_done(&template);
    db_close(&db);
    free(TAKE_PTR(conninfo));
    pg_stop(&server);
    return 0;
}

struct db *open_db(const char *info, int64_t pool, int64_t statement_ms)
{
    struct config cfg = {
        .database_connection = (char *)info,
        .database_pool_size = pool ? pool : 8,
        .database_connect_timeout_ms = 60000,
        .database_statement_timeout_ms = statement_ms ? statement_ms : 60000,
        .database_pool_wait_ms = 60000,
    };
    struct err e = ERR_INIT;
    struct db *opened = NULL;
    ASSERT_OK(db_open(&cfg, &opened, &e), &e);
    return opened;
}

static void store_template(void)
{
    struct err e = ERR_INIT;
    template_done(&template);
    template.name = str_dup("t");
    template.project_id = str_dup("p");
    template.user_id = str_dup("u");
    template.coe = str_dup("swarm");
    template.server_type = str_dup("local");
    template.cluster_distro = str_dup("linux");
    template.labels = json_pack("{s:s}", "color", "red");
    template.public = true;
    ASSERT_OK(db_template_insert(db, &template, &e), &e);
}

void fresh_db(void)
{
    struct err e = ERR_INIT;
    db_close(&db);
    if (!conninfo)
        conninfo = pg_new_database(server, "fresh");
    else /* much faster than another database; whoever else is connected is thrown out */
        exec("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname ="
             " current_database() AND pid <> pg_backend_pid();"
             "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    CU_ASSERT_PTR_NOT_NULL_FATAL(conninfo);
    db = open_db(conninfo, 0, 0);
    ASSERT_OK(db_migrate_upgrade(db, 0, NULL, &e), &e);
    store_template();
}

const char *sql(const char *query)
{
    static char *last;
    free(last);
    last = pg_query(conninfo, query);
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    return last;
}

void exec(const char *query)
{
    CU_ASSERT_TRUE_FATAL(pg_exec(conninfo, query));
}

static void fill_group(struct nodegroup *n, const char *name, const char *role, int64_t count)
{
    nodegroup_init(n);
    n->name = str_dup(name);
    n->role = str_dup(role);
    n->node_count = count;
    n->is_default = true;
    n->labels = json_object();
}

int accept_cluster(struct made *m, const char *project, const char *name, int64_t node_count,
                   int64_t quota, struct db_idempotency *idem, struct err *e)
{
    struct nodegroup ngs[2];
    cluster_init(&m->c);
    operation_init(&m->op);
    m->c.name = str_dup(name);
    m->c.project_id = str_dup(project);
    m->c.user_id = str_dup("u");
    m->c.cluster_template_id = str_dup(template.uuid);
    m->c.labels = json_pack("{s:s}", "a", "b");
    m->c.driver_id = str_dup("drv");
    m->c.create_timeout = 60;
    m->op.request_id = str_dup("req-1");
    fill_group(&ngs[0], "default-master", "master", 1);
    fill_group(&ngs[1], "default-worker", "worker", node_count);
    int rc = db_accept_create(db, &m->c, &template, ngs, 2, &m->op, NULL, quota, idem, e);
    nodegroup_done(&ngs[0]);
    nodegroup_done(&ngs[1]);
    return rc;
}

void make_cluster(struct made *m, const char *project, const char *name, int64_t node_count)
{
    struct err e = ERR_INIT;
    ASSERT_OK(accept_cluster(m, project, name, node_count, 1000000, NULL, &e), &e);
}

void made_done(struct made *m)
{
    cluster_done(&m->c);
    operation_done(&m->op);
}

int change(const char *cluster_uuid, const char *kind, const struct db_change *ch,
           struct operation *op, struct err *e)
{
    operation_init(op);
    op->kind = str_dup(kind);
    op->user_id = str_dup("u");
    return db_accept_change(db, cluster_uuid, op, ch, NULL, e);
}

int lease_any(struct db *from, const char *owner, size_t max, int64_t lease_ms,
              const struct strv *drivers, struct operation_list *ret, int64_t *ret_next_due_ms,
              struct err *e)
{
    struct op_due_list due = {NULL, 0};
    struct op_take takes[64];
    size_t n = 0;
    int rc = db_op_due(from, NULL, ARRAY_LEN(takes), max, drivers, &due, e);
    for (; rc == 0 && n < due.n && max; n++) {
        takes[n] = (struct op_take){due.v[n].project, due.v[n].n < max ? due.v[n].n : max};
        max -= takes[n].n;
    }
    if (rc == 0)
        rc = db_op_lease(from, owner, lease_ms, drivers, takes, n, ret, ret_next_due_ms, e);
    if (rc == 0 && max == 0 && ret_next_due_ms && ret->n)
        *ret_next_due_ms = 0; /* there may be more right now */
    db_op_due_done(&due);
    return rc;
}

bool lease_one(const char *owner, int64_t lease_ms, struct operation *op, struct op_guard *g)
{
    struct err e = ERR_INIT;
    struct operation_list l = {NULL, 0};
    ASSERT_OK(lease_any(db, owner, 10, lease_ms, NULL, &l, NULL, &e), &e);
    CU_ASSERT_TRUE_FATAL(l.n <= 1);
    if (l.n == 0)
        return false;
    *op = l.v[0];
    operation_init(&l.v[0]);
    operation_list_done(&l);
    *g = (struct op_guard){op->id, op->lease_owner, op->lease_fence};
    return true;
}

int finish(const struct op_guard *g, const struct operation *op, bool success, struct err *e)
{
    enum op_kind k = OP_CREATE;
    CU_ASSERT_TRUE_FATAL(op_kind_parse(op->kind, &k));
    struct op_finish f = {
        .status = success ? OPS_SUCCEEDED : OPS_FAILED,
        .cluster_status = success ? status_on_success(k) : status_on_failure(k),
        .nodegroup_status = success ? status_on_success(k) : status_on_failure(k),
        .status_reason = success ? NULL : "it broke",
        .remove_cluster = success && k == OP_DELETE,
        .remove_nodegroup = success && k == OP_NODEGROUP_DELETE,
    };
    return db_op_finish(db, g, &f, e);
}

void make_complete(struct made *m, const char *project, const char *name, int64_t node_count)
{
    struct err e = ERR_INIT;
    struct operation op;
    struct op_guard g;
    make_cluster(m, project, name, node_count);
    CU_ASSERT_TRUE_FATAL(lease_one("maker", 60000, &op, &g));
    ASSERT_OK(finish(&g, &op, true, &e), &e);
    operation_done(&op);
}

const char *cluster_status(const char *uuid)
{
    static char query[128];
    snprintf(query, sizeof query, "SELECT status FROM cluster WHERE uuid = '%s'", uuid);
    return sql(query);
}
