/* Clock, randomness, events, traces. See sim.h. */
#include "simulation/sim.h"

#include <stdarg.h>
#include <string.h>

static uint64_t next(struct sim *m)
{
    uint64_t z = m->rng += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t sim_random(struct sim *m, int64_t n)
{
    return n <= 0 ? 0 : (int64_t)(next(m) % ((uint64_t)n + 1));
}

bool sim_chance(struct sim *m, int per_mille)
{
    return sim_random(m, 999) < per_mille;
}

bool sim_fault(struct sim *m, int per_mille)
{
    return sim_chance(m, per_mille) && !m->healed && m->faults++ < m->opt->max_faults;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void sim_at(struct sim *m, int64_t at, struct sim_event ev)
{
    if (m->n_events == SIM_EVENTS) {
        sim_violated(m, "the simulator ran out of events");
        return;
    }
    ev.at = at > m->now ? at : m->now;
    ev.order = m->order++;
    size_t i = m->n_events++;
    for (; i > 0 && before(&ev, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = ev;
}

bool sim_next(struct sim *m, struct sim_event *ret)
{
    if (m->n_events == 0)
        return false;
    *ret = m->heap[0];
    struct sim_event moved = m->heap[--m->n_events];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < m->n_events; i = child) {
        if (child + 1 < m->n_events && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &moved))
            break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = moved;
    m->now = ret->at;
    return true;
}

static void write_line(struct sim *m, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void write_line(struct sim *m, const char *fmt, va_list ap)
{
    fprintf(m->trace, "%10.3f  ", (double)m->now / 1e6);
    vfprintf(m->trace, fmt, ap);
    fputc('\n', m->trace);
}

void sim_violated(struct sim *m, const char *fmt, ...)
{
    va_list ap;
    if (m->violation[0])
        return;
    va_start(ap, fmt);
    (void)vsnprintf(m->violation, sizeof m->violation, fmt, ap);
    va_end(ap);
    sim_trace(m, "VIOLATED: %s", m->violation);
}

void sim_trace(struct sim *m, const char *fmt, ...)
{
    va_list ap;
    if (!m->trace)
        return;
    va_start(ap, fmt);
    write_line(m, fmt, ap);
    va_end(ap);
}
