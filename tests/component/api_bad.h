/* What the api_bad_* tests share: the values an attribute must refuse, made from its row in the
 * attribute tables, and the demands on every refusal: a 4xx in Magnum's form whose text names what
 * was wrong, nothing stored, the service alive. Neighbours: api_fixture.h does the requests. */
#ifndef MAGNUM_TESTS_API_BAD_H
#define MAGNUM_TESTS_API_BAD_H

#include "component/api_fixture.h"

#include "api/attrs.h"

/* JSON texts. Values of a type the attribute does not have, and values of its type beyond its
 * limits. Read-only attributes refuse everything but null. */
void bad_values(const struct attr *a, struct strv *ret);
/* JSON texts of strings that mean something to SQL, shells, formats, terminals, HTML, Python. */
extern const char *const bad_texts[];
extern const size_t bad_texts_n;
/* JSON strings that are no text at all: the whole body is refused. */
extern const char *const broken_texts[];
extern const size_t broken_texts_n;

/* "\"xxx...\"", n characters; caller frees. */
char *long_text(size_t n);
/* The JSON object with one member set to a JSON text (which may be broken JSON). Caller frees. */
char *with_member(const char *object, const char *name, const char *value);

/* One request that must be refused with 400, or `also` (0: none), in words that have one of the
 * names in them (NULL: any). */
void refused(const char *method, const char *path, const char *body, int also, const char *name,
             const char *other_name);
/* A fingerprint of every row a request could change. */
struct stored {
    char text[64];
};
struct stored stored_now(void);
/* The rows are as they were, and the service answers. */
void check_untouched(const struct stored *before, const char *what);

#endif
