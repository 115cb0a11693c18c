/* One frame of magnum top. See top.h. What a service sends is shown without control characters and
 * cut to the terminal by the width its characters take. */
#include "cmd/cli/top.h"

#include "base/clock.h"
#include "base/jsonx.h"

#include <string.h>
#include <wchar.h>

enum { US = 1000000, MINUTE = 60, HOUR = 3600, DAY = 86400, ID_SHOWN = 8, COLUMNS = 8 };

/* ---- texts ---- */

/* Appends as much of text as takes `width` places (0 = all of it); returns the places taken. */
static int put(struct str *to, const char *text, int width)
{
    mbstate_t state;
    int used = 0;
    memset(&state, 0, sizeof state);
    for (const char *p = text; *p;) {
        wchar_t w;
        size_t n = mbrtowc(&w, p, strlen(p), &state);
        bool bad = n == (size_t)-1 || n == (size_t)-2 || n == 0;
        int places = bad ? -1 : wcwidth(w);
        if (bad) {
            memset(&state, 0, sizeof state);
            n = 1;
        }
        if (width && used + (places < 0 ? 1 : places) > width)
            break;
        if (places < 0)
            str_append_c(to, bad ? '?' : ' ');
        else
            str_append_n(to, p, n);
        used += places < 0 ? 1 : places;
        p += n;
    }
    return used;
}

static int places_of(const char *text)
{
    struct str t = STR_INIT;
    int n = put(&t, text, 0);
    str_free(&t);
    return n;
}

/* "7s", "3m05s", "2h10m", "4d01h" */
static void age(int64_t s, char buf[24])
{
    if (s < 0)
        s = 0;
    if (s < MINUTE)
        snprintf(buf, 24, "%llds", (long long)s);
    else if (s < HOUR)
        snprintf(buf, 24, "%lldm%02llds", (long long)(s / MINUTE), (long long)(s % MINUTE));
    else if (s < DAY)
        snprintf(buf, 24, "%lldh%02lldm", (long long)(s / HOUR), (long long)(s % HOUR / MINUTE));
    else
        snprintf(buf, 24, "%lldd%02lldh", (long long)(s / DAY), (long long)(s % DAY / HOUR));
}

static void age_of(const struct top_view *v, const json_t *o, const char *member, char buf[24])
{
    int64_t us;
    const char *iso = jsonx_str(o, member);
    if (iso && clock_parse_iso(iso, &us))
        age((v->now_us - us) / US, buf);
    else
        snprintf(buf, 24, "-");
}

/* ---- tables ---- */
struct row {
    char *cell[COLUMNS]; /* owned; NULL = nothing */
    const char *color;   /* of an escape code, NULL = none */
};
struct table {
    const char *titles[COLUMNS]; /* NULL-terminated when fewer */
    struct row *rows;
    size_t n;
};

static void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < COLUMNS; k++)
            free(t->rows[i].cell[k]);
    free(t->rows);
}

struct sheet { /* the frame under construction */
    const struct top_view *v;
    struct str *out;
    int left; /* lines that may still be written; -1 = any number */
};

static bool begin_line(struct sheet *s)
{
    if (s->left == 0)
        return false;
    s->left -= s->left > 0;
    return true;
}

static void line(struct sheet *s, const char *color, const char *text)
{
    if (!begin_line(s))
        return;
    bool colored = color && s->v->colors;
    if (colored)
        str_printf(s->out, "\x1b[%sm", color);
    put(s->out, text, s->v->columns);
    str_append(s->out, colored ? "\x1b[0m\n" : "\n");
}

static size_t columns_of(const struct table *t)
{
    size_t n = 0;
    while (n < COLUMNS && t->titles[n])
        n++;
    return n;
}

static void widths_of(const struct table *t, size_t shown, int width[COLUMNS])
{
    for (size_t k = 0; k < columns_of(t); k++) {
        width[k] = places_of(t->titles[k]);
        for (size_t i = 0; i < shown; i++) {
            int n = t->rows[i].cell[k] ? places_of(t->rows[i].cell[k]) : 0;
            width[k] = n > width[k] ? n : width[k];
        }
    }
}

static void table_line(struct sheet *s, const struct table *t, const char *const *cells,
                       const int *width, const char *color)
{
    _cleanup_str_ struct str text = STR_INIT;
    size_t n = columns_of(t);
    for (size_t k = 0; k < n; k++) {
        int used = put(&text, cells[k] ? cells[k] : "", 0);
        for (; k + 1 < n && used < width[k] + 2; used++)
            str_append_c(&text, ' ');
    }
    while (text.len && text.s[text.len - 1] == ' ')
        text.s[--text.len] = '\0';
    line(s, color, str_text(&text));
}

/* most: rows shown at most, -1 = all; what is left out is counted. */
static void table(struct sheet *s, const struct table *t, int most)
{
    int width[COLUMNS] = {0};
    size_t shown = most >= 0 && t->n > (size_t)most ? (size_t)(most > 0 ? most - 1 : 0) : t->n;
    widths_of(t, shown, width);
    table_line(s, t, t->titles, width, "7");
    for (size_t i = 0; i < shown; i++)
        table_line(s, t, (const char *const *)t->rows[i].cell, width, t->rows[i].color);
    if (shown < t->n) {
        char more[64];
        snprintf(more, sizeof more, "... and %zu more", t->n - shown);
        line(s, NULL, more);
    }
}

static struct row *add_row(struct table *t)
{
    struct row *more = reallocarray(t->rows, t->n + 1, sizeof *more);
    if (!more)
        return NULL;
    t->rows = more;
    more[t->n] = (struct row){.color = NULL};
    return &more[t->n++];
}

/* ---- what is shown ---- */
static void operation_row(const struct top_view *v, const json_t *op, struct table *t)
{
    struct row *r = add_row(t);
    char old[24];
    if (!r)
        return;
    const char *status = jsonx_str(op, "status"), *id = jsonx_str(op, "id");
    const char *name = jsonx_str(op, "cluster_name"), *message = jsonx_str(op, "message");
    bool blocked = str_eq(status, "BLOCKED");
    if (blocked) { /* who must do what says more */
        const char *reason = jsonx_str(op, "reason");
        message = str_blank(reason) ? message : reason;
    }
    age_of(v, op, "created_at", old);
    r->cell[0] = str_fmt("%.*s", ID_SHOWN, id ? id : "");
    r->cell[1] = str_dup(name ? name : jsonx_str(op, "cluster_id"));
    r->cell[2] = str_dup(jsonx_str(op, "kind"));
    r->cell[3] = str_dup(status);
    r->cell[4] = str_fmt("%lld%%", (long long)jsonx_int(op, "percent", 0));
    r->cell[5] = str_dup(old);
    r->cell[6] = str_dup(jsonx_str(op, "stage"));
    r->cell[7] = str_dup(message);
    r->color = blocked ? "31" : str_eq(status, "RUNNING") ? "32" : NULL;
}

/* Those that wait for somebody first, else in the service's order. */
static void operation_rows(const struct top_view *v, struct table *t, size_t *ret_blocked)
{
    size_t i;
    json_t *op;
    for (int blocked = 1; blocked >= 0; blocked--)
        json_array_foreach(v->operations, i, op)
        {
            if (str_eq(jsonx_str(op, "status"), "BLOCKED") != (blocked == 1))
                continue;
            operation_row(v, op, t);
            *ret_blocked += blocked == 1;
        }
}

static size_t service_rows(const struct top_view *v, struct table *t)
{
    size_t i, up = 0;
    json_t *s;
    json_array_foreach(v->services, i, s)
    {
        struct row *r = add_row(t);
        char seen[24];
        if (!r)
            return up;
        bool alive = str_eq(jsonx_str(s, "state"), "up");
        age_of(v, s, "updated_at", seen);
        r->cell[0] = str_dup(jsonx_str(s, "host"));
        r->cell[1] = str_dup(jsonx_bool(s, "disabled", false) ? "disabled" : jsonx_str(s, "state"));
        r->cell[2] = str_fmt("%s ago", seen);
        r->cell[3] = str_fmt("%lld", (long long)jsonx_int(s, "report_count", 0));
        r->color = alive ? NULL : "31";
        up += alive;
    }
    return up;
}

static size_t driver_rows(const struct top_view *v, struct table *t)
{
    size_t i, usable = 0;
    json_t *d;
    json_array_foreach(v->drivers, i, d)
    {
        struct row *r = add_row(t);
        if (!r)
            return usable;
        bool good = jsonx_bool(d, "usable", false);
        r->cell[0] = str_dup(jsonx_str(d, "id"));
        r->cell[1] = str_dup(jsonx_str(d, "version"));
        r->cell[2] = str_dup(good ? "usable" : "not usable");
        r->cell[3] = str_dup(jsonx_str(d, "reason"));
        r->color = good ? NULL : "31";
        usable += good;
    }
    return usable;
}

static void heading(struct sheet *s, const struct table *ops, size_t blocked, size_t up,
                    size_t services, size_t usable, size_t drivers)
{
    const struct top_view *v = s->v;
    _cleanup_str_ struct str text = STR_INIT;
    char now[CLOCK_ISO_MAX];
    clock_iso(v->now_us - v->now_us % US, now);
    str_printf(&text, "magnum top  %.19s  %s", now, v->endpoint);
    line(s, "1", str_text(&text));
    str_clear(&text);
    str_printf(&text, "%zu operations in progress, %zu blocked", ops->n, blocked);
    if (v->services)
        str_printf(&text, "; %zu of %zu conductors up", up, services);
    if (v->drivers)
        str_printf(&text, "; %zu of %zu drivers usable", usable, drivers);
    line(s, NULL, str_text(&text));
    if (v->problem)
        line(s, "31", v->problem);
}

void top_frame(const struct top_view *v, struct str *ret)
{
    struct table ops = {
        .titles = {"OPERATION", "CLUSTER", "KIND", "STATUS", "%", "AGE", "STAGE", "MESSAGE"}};
    struct table services = {.titles = {"CONDUCTOR", "STATE", "SEEN", "REPORTS", NULL}};
    struct table drivers = {.titles = {"DRIVER", "VERSION", "STATE", "REASON", NULL}};
    struct sheet s = {v, ret, v->rows ? v->rows : -1};
    size_t blocked = 0;
    operation_rows(v, &ops, &blocked);
    size_t up = service_rows(v, &services), usable = driver_rows(v, &drivers);
    heading(&s, &ops, blocked, up, services.n, usable, drivers.n);
    line(&s, NULL, "");
    /* the lower tables keep their places; operations get what is left, three lines at least */
    int below = (v->services ? (int)services.n + 2 : 0) + (v->drivers ? (int)drivers.n + 2 : 0);
    int room = s.left < 0 ? -1 : s.left - 1 - below;
    table(&s, &ops, room < 0 ? (s.left < 0 ? -1 : 3) : room < 3 ? 3 : room);
    if (v->services) {
        line(&s, NULL, "");
        table(&s, &services, -1);
    }
    if (v->drivers) {
        line(&s, NULL, "");
        table(&s, &drivers, -1);
    }
    table_free(&ops);
    table_free(&services);
    table_free(&drivers);
}
