/* See verdict.h. */
#include "lib/verdict.h"

#include "lib/fail.h"
#include "lib/services.h"

#include <stdio.h>
#include <string.h>

struct mag_verdict mag_verdict_new(void)
{
    return (struct mag_verdict){.reasons = json_object(), .sick = json_array()};
}

void mag_verdict_done(struct mag_verdict *v)
{
    json_decref(v->reasons);
    json_decref(v->sick);
    *v = (struct mag_verdict){.bad = false};
}

void mag_verdict_node(struct mag_verdict *v, const char *node, const char *text)
{
    char key[96], line[300];
    (void)snprintf(key, sizeof key, "%.80s.Ready", node);
    mag_line(line, sizeof line, text);
    (void)json_object_set_new(v->reasons, key, json_string(line));
}

void mag_verdict_sick(struct mag_verdict *v, const char *node, const char *group, const char *text)
{
    static const char no[] = "False: ";
    char line[300];
    bool plain = strncmp(text, no, sizeof no - 1) == 0;
    v->bad = true;
    mag_verdict_node(v, node, text);
    mag_line(line, sizeof line, plain ? text + sizeof no - 1 : text);
    if (group)
        (void)json_array_append_new(v->sick, json_pack("{s:s, s:s, s:s}", "node", node, "nodegroup",
                                                       group, "reason", line));
}

void mag_verdict_api(struct mag_verdict *v, const char *text)
{
    char line[300];
    mag_line(line, sizeof line, text);
    (void)json_object_set_new(v->reasons, "api", json_string(line));
}

int32_t mag_verdict_publish(const struct mag_verdict *v, const mag_host *host, const mag_op *op,
                            bool whole, mag_error *err)
{
    const char *status = v->bad ? "UNHEALTHY" : v->unknown ? "UNKNOWN" : "HEALTHY";
    int32_t rc = mag_output_health(host, op, status, v->reasons, err);
    if (rc == MAG_OK && whole)
        rc = mag_output_new(host, op, "unhealthy_nodes", json_incref(v->sick), err);
    return rc;
}
