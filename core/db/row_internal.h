/* Rows and structs: one description per entity, made from core/model/<name>.def, serves the column
 * lists in SQL text, the reader of result rows and the writer of parameters; no column list is
 * written twice. Results are in binary format, times are timestamptz. */
#ifndef MAGNUM_DB_ROW_INTERNAL_H
#define MAGNUM_DB_ROW_INTERNAL_H

#include "conn_internal.h"
#include "model/entity.h"

enum column_kind { KIND_STR, KIND_INT, KIND_BOOL, KIND_TIME, KIND_JSON };
struct row_column {
    const char *name;
    enum column_kind kind;
    size_t offset;
};
struct row_entity {
    const char *name;
    const struct row_column *columns;
    int n;
};
/* row_cluster, row_template, ... : named as in entity.h */
extern const struct row_entity row_cluster, row_template, row_nodegroup, row_operation,
    row_operation_shown, row_operation_event, row_cluster_shown, row_cluster_listed,
    row_ledger_entry, row_mservice, row_x509keypair, row_certificate, row_quota, row_federation,
    row_driver_row, row_coe_object, row_node;

const struct row_column *row_find(const struct row_entity *t, const char *column);

/* Replaces placeholders by column lists; fresh text, NULL = no memory:
 *   {a.cluster}     a."id", a."uuid", ...          (what row_read expects)
 *   {cluster}       "uuid", ... for INSERT: without integer id and times of change
 *   {$cluster}      $1, $2, ... as many, or from $N with {$cluster:N}
 *   {=template:N}   "name" = $N, ... for UPDATE: without identity and ownership */
char *row_expand(const char *sql);

/* Column `col`'s value at `row`, by kind. Text is borrowed from the result, NULL = SQL NULL. */
const char *row_str(const PGresult *r, int row, int col);
int64_t row_int(const PGresult *r, int row, int col, int64_t missing);
bool row_bool(const PGresult *r, int row, int col);
int64_t row_time(const PGresult *r, int row, int col);
int row_json(const PGresult *r, int row, int col, json_t **ret, struct err *e) MUST_CHECK;

/* Fills an initialised struct from the columns from `first` on; on failure it may be half filled
 * and must still be "done". */
int row_read(const PGresult *r, int row, int first, const struct row_entity *t, void *obj,
             struct err *e) MUST_CHECK;

/* The same without copies, for row_cluster_shown and row_cluster_listed: texts, and JSON as text,
 * live as long as the result. */
void row_borrow(const PGresult *r, int row, int first, const struct row_entity *t, void *obj);

/* Appends parameters. Strings are borrowed until the statement has run; NULL and unset values are
 * SQL NULL. */
void param_str(struct sql_params *p, const char *s);
void param_int(struct sql_params *p, int64_t v);
void param_bool(struct sql_params *p, bool v);
void param_time(struct sql_params *p, int64_t us);
void param_json(struct sql_params *p, const json_t *j);
/* A text[] of all strings. */
void param_list(struct sql_params *p, const char *const *v, size_t n);
/* What {$name} and {=name} stand for, in that order. */
void param_insert(struct sql_params *p, const struct row_entity *t, const void *obj);
void param_update(struct sql_params *p, const struct row_entity *t, const void *obj);
void param_done(struct sql_params *p);
#define _cleanup_params_ _cleanup_(param_done)

/* Reads all rows (from column 0) into a list of entity.h; columns of `entity`, which may be fewer
 * than the struct has. */
#define ROW_LIST_OF(type, entity, result, list, e)                                                 \
    __extension__({                                                                                \
        int rc_ = 0;                                                                               \
        struct type##_list tmp_ = {NULL, 0};                                                       \
        for (int i_ = 0; !rc_ && i_ < PQntuples(result); i_++) {                                   \
            struct type *slot_ = type##_list_add(&tmp_);                                           \
            rc_ = slot_ ? row_read(result, i_, 0, &entity, slot_, e) : err_nomem(e);               \
        }                                                                                          \
        if (rc_) {                                                                                 \
            type##_list_done(&tmp_);                                                               \
        } else {                                                                                   \
            type##_list_done(list);                                                                \
            *(list) = tmp_;                                                                        \
        }                                                                                          \
        rc_;                                                                                       \
    })
#define ROW_LIST(type, result, list, e) ROW_LIST_OF(type, row_##type, result, list, e)
/* Replaces *ret by the row; unchanged on failure. */
#define ROW_ONE_OF(type, entity, result, ret, e)                                                   \
    __extension__({                                                                                \
        struct type tmp_;                                                                          \
        type##_init(&tmp_);                                                                        \
        int rc_ = row_read(result, 0, 0, &entity, &tmp_, e);                                       \
        if (rc_) {                                                                                 \
            type##_done(&tmp_);                                                                    \
        } else {                                                                                   \
            type##_done(ret);                                                                      \
            *(ret) = tmp_;                                                                         \
        }                                                                                          \
        rc_;                                                                                       \
    })
#define ROW_ONE(type, result, ret, e) ROW_ONE_OF(type, row_##type, result, ret, e)

#endif
