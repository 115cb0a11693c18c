/* The whole API in this process for the api_* tests: a private PostgreSQL, real HTTP over loopback,
 * and a stand-in for the conductors: a real rpc server that answers certificate and driver calls.
 * One request at a time; the last answer stays readable until the next. */
#ifndef MAGNUM_TESTS_API_FIXTURE_H
#define MAGNUM_TESTS_API_FIXTURE_H

#include "base/jsonx.h"
#include "base/str.h"
#include "db/db.h"
#include "support/cunit_main.h"
#include "support/pg.h"

#include <stdatomic.h>

extern struct pg *server;
extern struct db *db;
extern char *conninfo;
extern int api_listens_on;
extern _Atomic int conductor_due; /* op.due notifications that arrived */
/* What the conductors answer to driver.validate; 0 = fine. */
extern _Atomic int validate_code;
/* They are looked for where nobody is. */
extern _Atomic bool conductors_gone;
/* What else they can be asked; NULL = nothing. */
extern int (*conductor_extra)(const char *method, const json_t *params, json_t **result,
                              struct err *e);

int api_fixture_start(void);
int api_fixture_stop(void);
/* Another API beside the first one, with options "section.name=value", NULL-terminated. From then
 * on requests go there, until api_fixture_back. */
void api_fixture_with(const char *const *options);
void api_fixture_back(void);

/* Who asks from now on; NULL = the default admin. */
void as(const char *user, const char *project, const char *roles);
void microversion(const char *version); /* NULL = no header */

/* One request; headers: lines "Name: value\n" or NULL. Returns the status. */
int ask(const char *method, const char *path, const char *body);
int ask_with(const char *method, const char *path, const char *body, const char *headers);
int ask_bytes(const char *method, const char *path, const char *body, size_t body_len,
              const char *headers);
/* Of the last answer. header: NULL when absent. */
const json_t *answer_json(void);
const char *answer_text(void);
const char *answer_header(const char *name);
const char *detail(void); /* errors[0].detail, or "" */
const char *text_of(const char *key);
int64_t int_of(const char *key);
/* The body of an error is Magnum's own and agrees with the status. */
bool error_body_good(void);

/* The first column of the first row; static memory. */
const char *sql(const char *query);
/* Makes them with unique names; returns the uuid (static, per kind). */
const char *make_template(const char *more_json);
const char *make_cluster(const char *template_uuid, const char *more_json);
/* Lets every accepted operation have succeeded, as conductors would. */
void conduct(void);

#define ASK(method, path, body, want)                                                              \
    do {                                                                                           \
        int status_ = ask(method, path, body);                                                     \
        if (status_ != (want))                                                                     \
            fprintf(stderr, "%s:%d: %s %s: %d, not %d: %s\n", __FILE__, __LINE__, method, path,    \
                    status_, want, answer_text());                                                 \
        CU_ASSERT_EQUAL_FATAL(status_, want);                                                      \
    } while (0)
#define SAYS(text)                                                                                 \
    do {                                                                                           \
        if (strcmp(detail(), text) != 0)                                                           \
            fprintf(stderr, "%s:%d: said: %s\n", __FILE__, __LINE__, detail());                    \
        CU_ASSERT_STRING_EQUAL(detail(), text);                                                    \
    } while (0)

#endif
