/* The declared attributes of each resource, and the one validator that reads the tables: unknown,
 * read-only and mandatory attributes, types, lengths, ranges, patterns, choices, defaults. The
 * messages are Magnum's (api.md 3, 5.4). Pure. Neighbours: attr_tables.c holds the tables; body,
 * patch and the resource files call attrs_check. */
#ifndef MAGNUM_API_ATTRS_H
#define MAGNUM_API_ATTRS_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum attr_type {
    ATTR_STRING,      /* string; min/max characters, pattern; else "should be string" */
    ATTR_TEXT,        /* string; else "Wrong type"; max characters, 0: no limit */
    ATTR_INT,         /* integer; numeric text, floats and booleans are converted */
    ATTR_BOOL,        /* boolean; the texts and numbers of oslo's strict mode are converted */
    ATTR_ENUM,        /* one of choices */
    ATTR_LABELS,      /* object of text, int, bool, float; values become text, null is kept */
    ATTR_TEXT_DICT,   /* object of text to text */
    ATTR_DICT,        /* any object */
    ATTR_DICT_LIST,   /* list of objects of text to text */
    ATTR_TEXT_LIST,   /* list of text */
    ATTR_UUID,        /* uuid-like text, normalised */
    ATTR_DNS,         /* comma list of IPv4 addresses */
    ATTR_IPV4,        /* one IPv4 address */
    ATTR_TEXT_OR_INT, /* the value of a patch operation */
    ATTR_TIME,        /* read-only ones: printed the way Python prints a time */
    ATTR_ANY,
};

enum {
    ATTR_MANDATORY = 1, /* must be present; null counts as present */
    ATTR_READONLY = 2,
    ATTR_HEAD = 4, /* unknown to 15.0.1 */
    ATTR_ZED = 8,  /* known to 15.0.1 only */
};

#define ATTR_NO_LIMIT INT64_MIN

struct attr {
    const char *name;
    enum attr_type type;
    int64_t min, max; /* characters of a string, or value of an int; ATTR_NO_LIMIT */
    const char *pattern;
    bool (*matches)(const char *s);
    const char *const *choices, *const *choices_zed; /* NULL-terminated, sorted; zed NULL: same */
    const char *const *choices_more; /* accepted besides, in no message: not Magnum's own */
    unsigned flags;
    const char *dflt; /* JSON text put in for absent and null, or NULL */
};

struct attr_table {
    const char *argument; /* how messages call the whole body: "cluster" */
    const char *type;     /* "Cluster" */
    const struct attr *v;
    size_t n;
};

/* Checks a create body. *ret: a new object with the accepted members in table order, converted to
 * their declared type, with defaults filled in; explicit nulls without default stay null.
 * ERR_INVALID. */
int attrs_check(const struct attr_table *t, bool zed, const json_t *body, json_t **ret,
                struct err *e) MUST_CHECK;
/* The first step alone: an object with known members only. */
int attrs_check_names(const struct attr_table *t, bool zed, const json_t *body,
                      struct err *e) MUST_CHECK;
/* The document a patch is applied to: every attribute of the table, null where columns has none; a
 * map or list that columns has as null is an empty one.
 * Caller owns; NULL = no memory. */
json_t *attrs_document(const struct attr_table *t, bool zed, const json_t *columns);
/* What a patch changed: *ret holds the attributes whose value differs, checked and converted;
 * removed ones have their default or null. ERR_INVALID. */
int attrs_delta(const struct attr_table *t, bool zed, const json_t *before, const json_t *after,
                json_t **ret, struct err *e) MUST_CHECK;
/* "Invalid input for field/attribute <field>. Value: '<value>'. <why>". */
int attrs_invalid(struct err *e, const char *field, const json_t *value, const char *why);

extern const struct attr_table attrs_cluster, attrs_template, attrs_nodegroup, attrs_resize,
    attrs_upgrade, attrs_bay, attrs_baymodel, attrs_certificate, attrs_quota, attrs_quota_update,
    attrs_federation, attrs_patch_operation;

#endif
