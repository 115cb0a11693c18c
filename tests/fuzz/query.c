/* The query of a request: the bytes behind the question mark, cut and decoded as the listener does
 * it, against the arguments of every route, then read as each of their types and as a page. */
#include "fuzz/body.h"

#include "http/uri_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void read_query(char *text, struct query *q)
{
    char *save = NULL;
    bool bad = false;
    for (char *arg = strtok_r(text, "&", &save); arg; arg = strtok_r(NULL, "&", &save)) {
        char *value = strchr(arg, '=');
        if (value)
            *value++ = '\0';
        (void)uri_decode(arg, &bad);
        if (value)
            (void)uri_decode(value, &bad);
        query_add(q, arg, value ? value : "");
    }
    q->broken |= bad;
}

static void read_types(const struct api_call *c)
{
    struct page p;
    int64_t n = 0;
    bool b = false;
    for (size_t i = 0; i < c->query.n; i++) {
        struct err as_int = ERR_INIT, as_bool = ERR_INIT;
        const char *name = c->query.v[i].name;
        fuzz_outcome(query_int(&c->query, name, 7, &n, &as_int), &as_int);
        fuzz_outcome(query_bool(&c->query, name, &b, &as_bool), &as_bool);
        if (!query_get(&c->query, name))
            abort();
    }
    for (int marker = 0; marker < 2; marker++) {
        struct err e = ERR_INIT;
        int rc = page_read(c, marker, &p, &e);
        fuzz_outcome(rc, &e);
        if (rc == 0 && (p.limit < 1 || p.limit > c->api->cfg->api_max_limit))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct api_call c = {.api = fuzz_api(0)};
    if (!text)
        return 0;
    read_query(text, &c.query);
    if (c.query.n > QUERY_ARGS)
        abort();
    if (!c.query.broken) {
        const char *before = NULL; /* most routes have the arguments of their neighbour */
        for (size_t i = 0; i < api_routes_n; i++) {
            struct err e = ERR_INIT;
            if (api_routes[i].query != before)
                fuzz_outcome(query_check(&c.query, api_routes[i].query, &e), &e);
            before = api_routes[i].query;
        }
        read_types(&c);
    }
    query_done(&c.query);
    return 0;
}
