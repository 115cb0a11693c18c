/* See labels.h. */
#include "lib/labels.h"

#include "lib/fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct mag_labels mag_labels_of(const json_t *spec, const json_t *nodegroup)
{
    return (struct mag_labels){mag_json_at(nodegroup, "labels"),
                               mag_json_at(spec, "cluster.labels"),
                               mag_json_at(spec, "template.labels")};
}

static int32_t bad_label(mag_error *err, const char *name, const char *value, const char *want)
{
    char remedy[128];
    (void)snprintf(remedy, sizeof remedy, "set the label to %s", want);
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "BadLabel", remedy,
                    "Label %s has the value '%s', but %s is needed", name, value, want);
}

int32_t mag_label_text(struct mag_labels l, const char *name, const char *def, char *ret,
                       size_t cap, mag_error *err)
{
    const json_t *from[] = {l.group, l.cluster, l.template};
    const json_t *j = NULL;
    for (size_t i = 0; i < 3 && !j; i++) {
        j = json_object_get(from[i], name);
        if (json_is_null(j))
            j = NULL;
    }
    char number[32];
    const char *text = def;
    if (json_is_string(j)) {
        text = json_string_value(j);
    } else if (json_is_boolean(j)) {
        text = json_is_true(j) ? "true" : "false";
    } else if (json_is_integer(j)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(j));
        text = number;
    } else if (j) {
        return bad_label(err, name, "(not a scalar)", "a text or a whole number");
    }
    if (strlen(text) >= cap)
        return bad_label(err, name, "(too long)", "a shorter text");
    memcpy(ret, text, strlen(text) + 1);
    return MAG_OK;
}

int32_t mag_label_int(struct mag_labels l, const char *name, int64_t min, int64_t max, int64_t def,
                      int64_t *ret, mag_error *err)
{
    char text[64], want[64];
    int32_t rc = mag_label_text(l, name, "", text, sizeof text, err);
    if (rc != MAG_OK)
        return rc;
    if (!text[0]) {
        *ret = def;
        return MAG_OK;
    }
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || *end || end == text || v < min || v > max) {
        (void)snprintf(want, sizeof want, "a whole number from %lld to %lld", (long long)min,
                       (long long)max);
        return bad_label(err, name, text, want);
    }
    *ret = v;
    return MAG_OK;
}

int32_t mag_label_bool(struct mag_labels l, const char *name, bool def, bool *ret, mag_error *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    char text[16];
    int32_t rc = mag_label_text(l, name, def ? "true" : "false", text, sizeof text, err);
    if (rc != MAG_OK)
        return rc;
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret = strcasecmp(text, yes[i]) == 0;
            return MAG_OK;
        }
    }
    return bad_label(err, name, text, "true or false");
}
