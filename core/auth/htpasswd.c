/* See auth_internal.h. Only bcrypt is accepted: the other formats of htpasswd files (MD5, SHA-1,
 * crypt) fall to a graphics card in minutes. */
#include "auth/auth_internal.h"
#include "base/secret.h"

#include <crypt.h>
#include <ctype.h>
#include <string.h>

enum {
    BCRYPT_LEN = 60,      /* "$2b$12$" + 22 characters of salt + 31 of hash */
    BCRYPT_SALT_LEN = 29, /* the part crypt takes as setting */
    COST_AT = 4,
};

/* A user without a role list may work in the project; a greater role brings the smaller ones, as
 * Keystone's implied roles do. */
static const char *const implied[][2] = {{"admin", "manager"},  {"admin", "member"},
                                         {"admin", "reader"},   {"manager", "member"},
                                         {"manager", "reader"}, {"member", "reader"}};

static bool is_bcrypt(const char *s)
{
    if (strlen(s) != BCRYPT_LEN || s[0] != '$' || s[1] != '2' || !strchr("aby", s[2]) ||
        s[3] != '$' || !isdigit((unsigned char)s[4]) || !isdigit((unsigned char)s[5]) ||
        s[6] != '$')
        return false;
    for (s += 7; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '.' && *s != '/')
            return false;
    return true;
}

static void user_done(struct htpasswd_user *u)
{
    free(u->name);
    free(u->hash);
    free(u->project);
    strv_free(&u->roles);
}

void htpasswd_free(struct htpasswd *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++)
        user_done(&h->users[i]);
    free(h->users);
    free(h->dummy_salt);
    free(h);
}

static int set_roles(struct htpasswd_user *u, const char *text)
{
    if (strv_split(&u->roles, str_blank(text) ? "member" : text, ',') != 0)
        return ERR_NOMEM;
    for (size_t i = 0; i < ARRAY_LEN(implied); i++)
        if (strv_has(&u->roles, implied[i][0]) && !strv_has(&u->roles, implied[i][1]) &&
            strv_add(&u->roles, implied[i][1]) != 0)
            return ERR_NOMEM;
    return 0;
}

/* One line without its end, which is cut into fields in place. */
static int parse_line(char *line, struct htpasswd_user *u, struct err *e)
{
    char *field[4] = {line, NULL, NULL, NULL};
    for (size_t i = 1; i < ARRAY_LEN(field); i++) {
        char *colon = field[i - 1] ? strchr(field[i - 1], ':') : NULL;
        if (colon) {
            *colon = '\0';
            field[i] = colon + 1;
        }
    }
    if (!auth_id_ok(field[0]))
        return err_set(e, ERR_CONFIG, "the user name is empty or too long");
    if (!field[1] || !is_bcrypt(field[1])) /* the text may be a password: it is not repeated */
        return err_set(e, ERR_CONFIG, "no user with a bcrypt hash; make one with `htpasswd -B`");
    if (!str_blank(field[2]) && !auth_id_ok(field[2]))
        return err_set(e, ERR_CONFIG, "the project of user %s is too long", field[0]);
    u->name = strdup(field[0]);
    u->hash = strdup(field[1]);
    u->project = str_blank(field[2]) ? NULL : strdup(field[2]);
    if (!u->name || !u->hash || (!str_blank(field[2]) && !u->project) ||
        set_roles(u, field[3]) != 0)
        return err_nomem(e);
    return 0;
}

static int add_line(struct htpasswd *h, char *line, struct err *e)
{
    struct htpasswd_user *more = realloc(h->users, (h->n + 1) * sizeof *more);
    if (!more)
        return err_nomem(e);
    h->users = more;
    more[h->n] = (struct htpasswd_user){0};
    return parse_line(line, &more[h->n++], e);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct htpasswd_user *)a)->name, ((const struct htpasswd_user *)b)->name);
}

/* An unknown user is checked against this, so that the time of the answer tells nothing. */
static int make_dummy(struct htpasswd *h, struct err *e)
{
    char salt[] = "$2b$10$abcdefghijklmnopqrstuu";
    for (size_t i = 0; i < h->n; i++)
        if (i == 0 || strncmp(h->users[i].hash + COST_AT, salt + COST_AT, 2) > 0)
            memcpy(salt + COST_AT, h->users[i].hash + COST_AT, 2);
    h->dummy_salt = strdup(salt);
    return h->dummy_salt ? 0 : err_nomem(e);
}

static int finish(struct htpasswd *h, struct err *e)
{
    if (h->n)
        qsort(h->users, h->n, sizeof *h->users, by_name);
    for (size_t i = 1; i < h->n; i++)
        if (strcmp(h->users[i - 1].name, h->users[i].name) == 0)
            return err_set(e, ERR_CONFIG, "user %s is there twice", h->users[i].name);
    return make_dummy(h, e);
}

static int parse_all(struct htpasswd *h, char *text, struct err *e)
{
    unsigned number = 0;
    for (char *line = text, *next; line; line = next) {
        number++;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        if (!*line || *line == '#')
            continue;
        int rc = add_line(h, line, e);
        if (rc != 0)
            return err_wrap(e, "line %u", number);
    }
    return finish(h, e);
}

int htpasswd_parse(const char *name, const char *text, struct htpasswd **ret, struct err *e)
{
    char *copy = strdup(text);
    struct htpasswd *h = calloc(1, sizeof *h);
    int rc = copy && h ? parse_all(h, copy, e) : err_nomem(e);
    if (copy)
        secret_wipe(copy, strlen(copy));
    free(copy);
    if (rc != 0) {
        htpasswd_free(h);
        return err_wrap(e, "%s", name);
    }
    h->refs = 1;
    *ret = h;
    return 0;
}

const struct htpasswd_user *htpasswd_find(const struct htpasswd *h, const char *name)
{
    struct htpasswd_user key = {.name = (char *)(uintptr_t)name};
    return h->n ? bsearch(&key, h->users, h->n, sizeof *h->users, by_name) : NULL;
}

static bool equal_in_constant_time(const char *a, const char *b, size_t n)
{
    unsigned diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= (unsigned)((unsigned char)a[i] ^ (unsigned char)b[i]);
    return diff == 0;
}

bool htpasswd_verify(const struct htpasswd *h, const struct htpasswd_user *user,
                     const char *password)
{
    struct crypt_data *d = calloc(1, sizeof *d); /* 32 KiB: too large for a thread's stack */
    if (!d)
        return false;
    const char *made = crypt_r(password, user ? user->hash : h->dummy_salt, d);
    bool ok = user && made && strlen(made) == BCRYPT_LEN &&
              equal_in_constant_time(made, user->hash, BCRYPT_LEN);
    secret_wipe(d, sizeof *d);
    free(d);
    return ok;
}
