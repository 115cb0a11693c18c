/* Runs many seeded schedules of the operation engine and checks the promises after each.
 *   --schedules N   how many (default 3000)      --seed N   the first seed (default 1)
 *   --trace         run one seed and show what happens
 *   --bug NAME      plant a mistake; then the run must fail, or it exits non-zero
 *   --bugs          plant each mistake in turn
 * A failing seed is shrunk (fewer faults, fewer requests) and its short trace printed.
 * Neighbours: sim.h; CTest runs it with the label "simulation". */
#include "base/parse.h"
#include "simulation/sim.h"

#include <stdlib.h>
#include <string.h>

static struct sim world; /* large */

static bool fails(uint64_t seed, struct options o)
{
    return !schedule_run(&world, seed, &o, NULL);
}

/* Lowers *limit, a member of *o, to the smallest value that halving finds under which the seed
 * still fails. */
static void shrink(uint64_t seed, const struct options *o, long *limit, long high)
{
    long low = 0;
    while (low < high) {
        long middle = low + (high - low) / 2;
        *limit = middle;
        if (fails(seed, *o))
            high = middle;
        else
            low = middle + 1;
    }
    *limit = high;
}

static void report(uint64_t seed, struct options o)
{
    char why[sizeof world.violation];
    memcpy(why, world.violation, sizeof why);
    long faults = world.faults, requests = world.requests;
    printf("seed %llu: %s\n", (unsigned long long)seed, why);
    struct options s = o;
    shrink(seed, &s, &s.max_faults, faults);
    shrink(seed, &s, &s.max_requests, requests);
    if (!fails(seed, s))
        s = o;
    printf("shrunk to %ld faults, %ld requests:\n", s.max_faults, s.max_requests);
    fflush(stdout);
    (void)schedule_run(&world, seed, &s, stdout);
    printf("replay: --seed %llu --trace --max-faults %ld --max-requests %ld%s%s\n",
           (unsigned long long)seed, s.max_faults, s.max_requests, o.bug ? " --bug " : "",
           o.bug ? bug_name(o.bug) : "");
}

/* 0 when the planted mistake was noticed. */
static int hunt(struct options o, int64_t schedules, uint64_t first)
{
    for (int64_t i = 0; i < schedules; i++)
        if (fails(first + (uint64_t)i, o)) {
            printf("bug %s found by schedule %lld: %s\n", bug_name(o.bug), (long long)i + 1,
                   world.violation);
            if (!o.all_bugs)
                report(first + (uint64_t)i, o);
            return 0;
        }
    printf("bug %s was NOT found by %lld schedules\n", bug_name(o.bug), (long long)schedules);
    return 1;
}

static bool number(const char *text, int64_t *ret)
{
    return text && parse_i64(text, 0, INT64_MAX, ret);
}

static bool parse(int argc, char **argv, struct options *o, int64_t *schedules, int64_t *seed)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int64_t n = 0;
        if (strcmp(argv[i], "--trace") == 0 || strcmp(argv[i], "--bugs") == 0) {
            o->trace |= argv[i][2] == 't';
            o->all_bugs |= argv[i][2] == 'b';
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--bug") == 0 && value) {
            while (o->bug < BUGS && strcmp(bug_name(o->bug), value) != 0)
                o->bug++;
            if (o->bug == BUGS)
                return false;
        } else if (!number(value, &n)) {
            return false;
        } else if (strcmp(argv[i - 1], "--schedules") == 0) {
            *schedules = n;
        } else if (strcmp(argv[i - 1], "--seed") == 0) {
            *seed = n;
        } else if (strcmp(argv[i - 1], "--max-faults") == 0) {
            o->max_faults = (long)n;
        } else if (strcmp(argv[i - 1], "--max-requests") == 0) {
            o->max_requests = (long)n;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {.max_faults = 1000000, .max_requests = 1000000};
    int64_t schedules = 3000, first = 1, steps = 0, faults = 0;
    if (!parse(argc, argv, &o, &schedules, &first)) {
        fprintf(stderr,
                "usage: %s [--schedules N] [--seed N] [--trace] [--bug NAME | --bugs]"
                " [--max-faults N] [--max-requests N]\n",
                argv[0]);
        return 2;
    }
    if (o.trace) {
        bool sound = schedule_run(&world, (uint64_t)first, &o, stdout);
        printf("seed %lld: %s\n", (long long)first, sound ? "sound" : world.violation);
        return sound ? 0 : 1;
    }
    int missed = 0;
    for (enum bug b = BUG_NONE + 1; o.all_bugs && b < BUGS; b++) {
        o.bug = b;
        missed += hunt(o, schedules, (uint64_t)first);
    }
    if (o.all_bugs)
        return missed ? 1 : 0;
    if (o.bug != BUG_NONE)
        return hunt(o, schedules, (uint64_t)first);
    for (int64_t i = 0; i < schedules; i++) {
        if (fails((uint64_t)(first + i), o)) {
            report((uint64_t)(first + i), o);
            return 1;
        }
        steps += world.steps;
        faults += world.faults;
    }
    printf("%lld schedules sound from seed %lld: %lld driver steps, %lld faults\n",
           (long long)schedules, (long long)first, (long long)steps, (long long)faults);
    return 0;
}
