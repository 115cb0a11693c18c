/* See row_internal.h. */
#include "row_internal.h"

#include "base/parse.h"
#include "base/str.h"
#include "model/cluster_shown.h"

#include <ctype.h>
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#define F(kind, name) {#name, KIND_##kind, offsetof(struct ENTITY, name)},
#define DESCRIBE(type)                                                                             \
    {                                                                                              \
#type, columns_##type, (int)ARRAY_LEN(columns_##type)                                      \
    }

#define ENTITY cluster
static const struct row_column columns_cluster[] = {
#include "model/cluster.def"
};
#undef ENTITY
#define ENTITY template
static const struct row_column columns_template[] = {
#include "model/template.def"
};
#undef ENTITY
#define ENTITY nodegroup
static const struct row_column columns_nodegroup[] = {
#include "model/nodegroup.def"
};
#undef ENTITY
#define ENTITY operation
static const struct row_column columns_operation[] = {
#include "model/operation.def"
};
static const struct row_column columns_operation_shown[] = {
#include "model/operation_shown.def"
};
#undef ENTITY
#define ENTITY operation_event
static const struct row_column columns_operation_event[] = {
#include "model/operation_event.def"
};
#undef ENTITY
#define ENTITY ledger_entry
static const struct row_column columns_ledger_entry[] = {
#include "model/ledger.def"
};
#undef ENTITY
#define ENTITY mservice
static const struct row_column columns_mservice[] = {
#include "model/mservice.def"
};
#undef ENTITY
#define ENTITY x509keypair
static const struct row_column columns_x509keypair[] = {
#include "model/x509keypair.def"
};
#undef ENTITY
#define ENTITY certificate
static const struct row_column columns_certificate[] = {
#include "model/certificate.def"
};
#undef ENTITY
#define ENTITY quota
static const struct row_column columns_quota[] = {
#include "model/quota.def"
};
#undef ENTITY
#define ENTITY federation
static const struct row_column columns_federation[] = {
#include "model/federation.def"
};
#undef ENTITY
#define ENTITY cluster_shown
static const struct row_column columns_cluster_shown[] = {
#include "model/cluster_shown.def"
};
static const struct row_column columns_cluster_listed[] = {
#include "model/cluster_listed.def"
};
#undef ENTITY
#define ENTITY coe_object
static const struct row_column columns_coe_object[] = {
#include "model/coe_object.def"
};
#undef ENTITY
#define ENTITY node
static const struct row_column columns_node[] = {
#include "model/node.def"
};
#undef ENTITY
#define ENTITY driver_row
static const struct row_column columns_driver_row[] = {
#include "model/driver.def"
};
#undef ENTITY
#undef F

const struct row_entity row_cluster = DESCRIBE(cluster);
const struct row_entity row_template = DESCRIBE(template);
const struct row_entity row_nodegroup = DESCRIBE(nodegroup);
const struct row_entity row_operation = DESCRIBE(operation);
const struct row_entity row_operation_shown = DESCRIBE(operation_shown);
const struct row_entity row_operation_event = DESCRIBE(operation_event);
const struct row_entity row_ledger_entry = DESCRIBE(ledger_entry);
const struct row_entity row_mservice = DESCRIBE(mservice);
const struct row_entity row_x509keypair = DESCRIBE(x509keypair);
const struct row_entity row_certificate = DESCRIBE(certificate);
const struct row_entity row_quota = DESCRIBE(quota);
const struct row_entity row_federation = DESCRIBE(federation);
const struct row_entity row_cluster_shown = DESCRIBE(cluster_shown);
const struct row_entity row_cluster_listed = DESCRIBE(cluster_listed);
const struct row_entity row_coe_object = DESCRIBE(coe_object);
const struct row_entity row_node = DESCRIBE(node);
const struct row_entity row_driver_row = DESCRIBE(driver_row);

static const struct row_entity *const entities[] = {
    &row_cluster_shown, &row_cluster_listed, &row_operation_shown, &row_cluster,
    &row_template,      &row_nodegroup,      &row_operation,       &row_operation_event,
    &row_ledger_entry,  &row_mservice,       &row_x509keypair,     &row_certificate,
    &row_quota,         &row_federation,     &row_driver_row,      &row_coe_object,
    &row_node,
};

const struct row_column *row_find(const struct row_entity *t, const char *column)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->columns[i].name, column) == 0)
            return &t->columns[i];
    return NULL;
}

/* The database gives the integer id and keeps the times of change. */
static bool inserted(const struct row_column *c)
{
    if (c->kind == KIND_INT)
        return strcmp(c->name, "id") != 0;
    return strcmp(c->name, "created_at") != 0 && strcmp(c->name, "updated_at") != 0;
}

static bool updated(const struct row_column *c)
{
    static const char *const fixed[] = {"id", "uuid", "project_id", "user_id"};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (strcmp(c->name, fixed[i]) == 0)
            return false;
    return inserted(c);
}

static void put_columns(struct str *out, const struct row_entity *t, const char *mode, int number)
{
    const char *sep = "";
    for (int i = 0; i < t->n; i++) {
        const struct row_column *c = &t->columns[i];
        if (*mode == '=' ? !updated(c) : (*mode == '$' || !*mode) && !inserted(c))
            continue;
        str_append(out, sep);
        if (*mode == '$')
            str_printf(out, "$%d", number++);
        else if (*mode == '=')
            str_printf(out, "\"%s\" = $%d", c->name, number++);
        else if (*mode)
            str_printf(out, "%s.\"%s\"", mode, c->name);
        else
            str_printf(out, "\"%s\"", c->name);
        sep = ", ";
    }
}

/* Splits "<mode><name>[:N]"; NULL when it names no entity. */
static const struct row_entity *parse_placeholder(char *text, const char **mode, int *number)
{
    *number = 1;
    char *colon = strchr(text, ':'), *dot = strchr(text, '.');
    if (colon) {
        int64_t n = 1;
        *colon = '\0';
        if (!parse_i64(colon + 1, 1, SQL_PARAMS_MAX, &n))
            return NULL;
        *number = (int)n;
    }
    const char *name = text;
    *mode = "";
    if (*text == '$' || *text == '=') {
        *mode = *text == '$' ? "$" : "=";
        name = text + 1;
    } else if (dot) {
        *dot = '\0';
        *mode = text;
        name = dot + 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(entities); i++)
        if (strcmp(entities[i]->name, name) == 0)
            return entities[i];
    return NULL;
}

char *row_expand(const char *sql)
{
    struct str out = STR_INIT;
    for (const char *s = sql; *s;) {
        const char *end = *s == '{' ? strchr(s, '}') : NULL;
        char text[64];
        if (end && (size_t)(end - s) < sizeof text) {
            memcpy(text, s + 1, (size_t)(end - s - 1));
            text[end - s - 1] = '\0';
            const char *mode;
            int number;
            const struct row_entity *t = parse_placeholder(text, &mode, &number);
            if (t) {
                put_columns(&out, t, mode, number);
                s = end + 1;
                continue;
            }
        }
        size_t plain = 1 + strcspn(s + 1, "{");
        str_append_n(&out, s, plain);
        s += plain;
    }
    return str_take(&out);
}

/* --- reading --- */

/* PostgreSQL counts microseconds from 2000-01-01. */
#define PG_EPOCH_US INT64_C(946684800000000)
enum { OID_JSONB = 3802 };

static int64_t big_endian(const char *v, int len)
{
    if (len == 8) {
        uint64_t u;
        memcpy(&u, v, 8);
        return (int64_t)be64toh(u);
    }
    if (len == 4) {
        uint32_t u;
        memcpy(&u, v, 4);
        return (int32_t)be32toh(u);
    }
    uint16_t u;
    memcpy(&u, v, 2);
    return (int16_t)be16toh(u);
}

const char *row_str(const PGresult *r, int row, int col)
{
    return PQgetisnull(r, row, col) ? NULL : PQgetvalue(r, row, col);
}

int64_t row_int(const PGresult *r, int row, int col, int64_t missing)
{
    if (PQgetisnull(r, row, col))
        return missing;
    return big_endian(PQgetvalue(r, row, col), PQgetlength(r, row, col));
}

bool row_bool(const PGresult *r, int row, int col)
{
    return !PQgetisnull(r, row, col) && *PQgetvalue(r, row, col);
}

int64_t row_time(const PGresult *r, int row, int col)
{
    if (PQgetisnull(r, row, col))
        return TIME_UNSET;
    int64_t us = big_endian(PQgetvalue(r, row, col), 8);
    /* the ends of the range are "infinity": no such time here */
    return us == INT64_MIN || us > INT64_MAX - PG_EPOCH_US ? TIME_UNSET : us + PG_EPOCH_US;
}

int row_json(const PGresult *r, int row, int col, json_t **ret, struct err *e)
{
    *ret = NULL;
    if (PQgetisnull(r, row, col))
        return 0;
    const char *text = PQgetvalue(r, row, col);
    size_t len = (size_t)PQgetlength(r, row, col);
    if (PQftype(r, col) == OID_JSONB && len) { /* begins with its version */
        text++;
        len--;
    }
    json_error_t je;
    *ret = json_loadb(text, len, JSON_DECODE_ANY, &je);
    if (*ret)
        return 0;
    if (json_error_code(&je) == json_error_out_of_memory)
        return err_nomem(e);
    return err_set(e, ERR_INTERNAL, "column %s holds JSON that can't be read: %s", PQfname(r, col),
                   je.text);
}

int row_read(const PGresult *r, int row, int first, const struct row_entity *t, void *obj,
             struct err *e)
{
    for (int i = 0; i < t->n; i++) {
        const struct row_column *c = &t->columns[i];
        void *member = (char *)obj + c->offset;
        int col = first + i, rc = 0;
        switch (c->kind) {
        case KIND_STR: {
            const char *s = row_str(r, row, col);
            if (s && !(*(char **)member = strdup(s)))
                return err_nomem(e);
            break;
        }
        case KIND_INT:
            *(int64_t *)member = row_int(r, row, col, MODEL_UNSET);
            break;
        case KIND_BOOL:
            *(bool *)member = row_bool(r, row, col);
            break;
        case KIND_TIME:
            *(int64_t *)member = row_time(r, row, col);
            break;
        case KIND_JSON:
            rc = row_json(r, row, col, member, e);
            break;
        }
        if (rc)
            return rc;
    }
    return 0;
}

void row_borrow(const PGresult *r, int row, int first, const struct row_entity *t, void *obj)
{
    for (int i = 0; i < t->n; i++) {
        const struct row_column *c = &t->columns[i];
        void *member = (char *)obj + c->offset;
        switch (c->kind) {
        case KIND_STR:
        case KIND_JSON: /* of type json, whose binary form is its text */
            *(const char **)member = row_str(r, row, first + i);
            break;
        case KIND_INT:
            *(int64_t *)member = row_int(r, row, first + i, MODEL_UNSET);
            break;
        case KIND_BOOL:
            *(bool *)member = row_bool(r, row, first + i);
            break;
        case KIND_TIME:
            *(int64_t *)member = row_time(r, row, first + i);
            break;
        }
    }
}

/* --- writing --- */

static int next_param(struct sql_params *p)
{
    if (p->n == SQL_PARAMS_MAX) {
        p->bad = true;
        return -1;
    }
    int i = p->n++;
    p->value[i] = NULL;
    p->length[i] = p->format[i] = 0;
    p->owned[i] = NULL;
    return i;
}

void param_str(struct sql_params *p, const char *s)
{
    int i = next_param(p);
    if (i >= 0)
        p->value[i] = s;
}

void param_int(struct sql_params *p, int64_t v)
{
    int i = next_param(p);
    if (i < 0 || v == MODEL_UNSET)
        return;
    snprintf(p->small[i], sizeof p->small[i], "%" PRId64, v);
    p->value[i] = p->small[i];
}

void param_bool(struct sql_params *p, bool v)
{
    param_str(p, v ? "t" : "f");
}

void param_time(struct sql_params *p, int64_t us)
{
    int i = next_param(p);
    if (i < 0 || us == TIME_UNSET)
        return;
    uint64_t wire = htobe64((uint64_t)(us - PG_EPOCH_US));
    memcpy(p->small[i], &wire, sizeof wire);
    p->value[i] = p->small[i];
    p->length[i] = sizeof wire;
    p->format[i] = 1;
}

static void param_take(struct sql_params *p, char *text)
{
    int i = next_param(p);
    if (i < 0 || !text) {
        free(text);
        p->bad = true;
        return;
    }
    p->owned[i] = text;
    p->value[i] = text;
}

void param_json(struct sql_params *p, const json_t *j)
{
    if (j)
        param_take(p, json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY));
    else
        param_str(p, NULL);
}

void param_list(struct sql_params *p, const char *const *v, size_t n)
{
    struct str out = STR_INIT;
    str_append_c(&out, '{');
    for (size_t i = 0; i < n; i++) {
        str_append(&out, i ? ",\"" : "\"");
        for (const char *s = v[i]; *s; s++) {
            if (*s == '"' || *s == '\\')
                str_append_c(&out, '\\');
            str_append_c(&out, *s);
        }
        str_append_c(&out, '"');
    }
    str_append_c(&out, '}');
    param_take(p, str_take(&out));
}

static void param_member(struct sql_params *p, const struct row_column *c, const void *obj)
{
    const void *member = (const char *)obj + c->offset;
    switch (c->kind) {
    case KIND_STR:
        param_str(p, *(char *const *)member);
        return;
    case KIND_INT:
        param_int(p, *(const int64_t *)member);
        return;
    case KIND_BOOL:
        param_bool(p, *(const bool *)member);
        return;
    case KIND_TIME:
        param_time(p, *(const int64_t *)member);
        return;
    case KIND_JSON:
        param_json(p, *(json_t *const *)member);
        return;
    }
}

void param_insert(struct sql_params *p, const struct row_entity *t, const void *obj)
{
    for (int i = 0; i < t->n; i++)
        if (inserted(&t->columns[i]))
            param_member(p, &t->columns[i], obj);
}

void param_update(struct sql_params *p, const struct row_entity *t, const void *obj)
{
    for (int i = 0; i < t->n; i++)
        if (updated(&t->columns[i]))
            param_member(p, &t->columns[i], obj);
}

void param_done(struct sql_params *p)
{
    for (int i = 0; i < p->n; i++)
        free(p->owned[i]);
    p->n = 0;
    p->bad = false;
}
