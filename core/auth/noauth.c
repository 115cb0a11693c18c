/* The strategy `noauth`: for one machine, where who can connect may do everything. It refuses to
 * start, and then to answer, when others could connect. Neighbours: auth_internal.h. */
#include "auth/auth_internal.h"
#include "config/config.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct noauth {
    char *project_id, *user_id;
};

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

/* Every address the name stands for must be a loopback one. */
static bool only_loopback(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    if (!*host || getaddrinfo(host, "0", &hints, &list) != 0)
        return false;
    bool all = true;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
        all = all && is_loopback(ai->ai_addr);
    freeaddrinfo(list);
    return all;
}

static void stop(void *state)
{
    struct noauth *n = state;
    free(n->project_id);
    free(n->user_id);
    free(n);
}

static int start(const struct config *cfg, void **ret_state, struct err *e)
{
    if (!*cfg->api_unix_socket && !only_loopback(cfg->api_host))
        return err_set(e, ERR_CONFIG,
                       "auth.strategy noauth lets everybody in, so it is allowed on a loopback "
                       "address or a Unix socket only, and api.host is \"%s\"; set api.host to "
                       "127.0.0.1 or auth.strategy to http_basic",
                       cfg->api_host);
    if (!auth_id_ok(cfg->auth_noauth_project_id) || !auth_id_ok(cfg->auth_noauth_user_id))
        return err_set(e, ERR_CONFIG,
                       "auth.noauth_project_id and auth.noauth_user_id must be 1 to 255 printable "
                       "characters");
    struct noauth *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(e);
    n->project_id = strdup(cfg->auth_noauth_project_id);
    n->user_id = strdup(cfg->auth_noauth_user_id);
    if (!n->project_id || !n->user_id) {
        stop(n);
        return err_nomem(e);
    }
    *ret_state = n;
    return 0;
}

/* The header's value, else `otherwise`; NULL and ERR_INVALID when it can be no identifier. */
static int choose(const struct auth_ask *ask, const char *name, const char *otherwise, char **ret,
                  struct err *e)
{
    const char *v = ask->header(ask->req, name);
    if (str_blank(v))
        v = otherwise;
    else if (!auth_id_ok(v))
        return err_set(e, ERR_INVALID, "Header %s must be 1 to 255 printable characters.", name);
    *ret = strdup(v);
    return *ret ? 0 : err_nomem(e);
}

static int check(void *state, const struct auth_ask *ask, struct auth_context *ret, struct err *e)
{
    const struct noauth *n = state;
    if (!ask->from_loopback)
        return auth_unknown(e);
    int rc = choose(ask, "X-User-Id", n->user_id, &ret->user_id, e);
    if (rc == 0)
        rc = choose(ask, "X-User-Name", ret->user_id, &ret->user_name, e);
    if (rc == 0)
        rc = choose(ask, "X-Project-Id", n->project_id, &ret->project_id, e);
    if (rc == 0)
        rc = choose(ask, "X-Project-Name", ret->project_id, &ret->project_name, e);
    if (rc == 0)
        rc = choose(ask, "X-User-Domain-Id", "default", &ret->domain_id, e);
    if (rc != 0)
        return rc;
    const char *roles = ask->header(ask->req, "X-Roles");
    if (strv_split(&ret->roles, roles ? roles : "admin,member,reader", ',') != 0)
        return err_nomem(e);
    return 0;
}

const struct auth_strategy auth_noauth = {
    .name = "noauth", .start = start, .check = check, .stop = stop};
