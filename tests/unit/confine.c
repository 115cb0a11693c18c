/* What a driver's process is told to hide from it, of what the configuration names. */
#include "drivers/confine.h"

#include "base/jsonx.h"
#include "support/cunit_main.h"

static const char *const hidden_always[] = {"/etc/magnum/magnum.yaml", "/etc/magnum/seal.key"};

static void hides(const char *connection, const char *replica, const char *want)
{
    char connections[2][256];
    struct config cfg = {.source = (char *)(uintptr_t)hidden_always[0],
                         .certificates_key_file = (char *)(uintptr_t)hidden_always[1],
                         .database_connection = connections[0],
                         .database_replica_connection = connections[1]};
    const struct plugin p = {.id = NULL};
    const struct confine c = {.on = true};
    struct err e = ERR_INIT;
    _cleanup_json_ json_t *hello = json_object();
    _cleanup_str_ struct str found = STR_INIT;
    size_t i;
    json_t *path;
    snprintf(connections[0], sizeof connections[0], "%s", connection);
    snprintf(connections[1], sizeof connections[1], "%s", replica);
    ASSERT_OK(confine_tell(&cfg, &p, &c, hello, &e), &e);
    json_array_foreach(json_object_get(json_object_get(hello, "confine"), "hide"), i, path)
    {
        if (!str_eq(json_string_value(path), hidden_always[0]) &&
            !str_eq(json_string_value(path), hidden_always[1]))
            str_printf(&found, "%s;", json_string_value(path));
    }
    CU_ASSERT_STRING_EQUAL(str_text(&found), want);
}

static void sockets_of_the_databases(void)
{
    hides("dbname=magnum", "", "");
    hides("host=db1 dbname=magnum hostaddr=10.0.0.1", "host=db2,db3", "");
    hides("host=/opt/a dbname=magnum", "host=/opt/b", "/opt/a;/opt/b;");
    hides("dbname=m host='/opt/a,db2,/opt/c' port=1,2,3", "", "/opt/a;/opt/c;");
    hides("postgresql:///magnum?host=/opt/a,/opt/b&target_session_attrs=primary", "",
          "/opt/a;/opt/b;");
    hides("host=,/opt/a", "postgresql://db2/m?connect_timeout=2&host=/opt/b", "/opt/a;/opt/b;");
}

TEST_MAIN("confine", NULL, NULL, TEST(sockets_of_the_databases))
