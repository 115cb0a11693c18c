/* The run table of a conductor without any I/O: order of timers, wake-ups, the same operation
 * leased twice, the share of health looks, closing; how threads sleep. */
#include "conductor/conductor_internal.h"

#include "base/clock.h"
#include "support/cunit_main.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CAP = 64, LOOKING = 2 };
static struct conductor c = {.instance = "i"};
static struct queue q;

static void begin(void)
{
    struct err e = ERR_INIT;
    ASSERT_OK(queue_init(&q, CAP, LOOKING, &e), &e);
}

static struct run *add_of(int n, const char *project, const char *driver)
{
    struct operation op;
    operation_init(&op);
    op.id = str_fmt("op%d", n);
    op.project_id = str_dup(project);
    op.driver_id = str_dup(driver);
    op.lease_fence = 1;
    struct run *r = queue_add(&q, &c, &op, 0);
    operation_done(&op);
    return r;
}

static struct run *add(int n)
{
    return add_of(n, NULL, NULL);
}

static struct run *take(void)
{
    struct run *r = NULL;
    struct observation *o = NULL;
    CU_ASSERT_TRUE_FATAL(queue_take(&q, &r, &o));
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_PTR_NULL(o);
    return r;
}

static void *clock_main(void *unused)
{
    (void)unused;
    queue_run_clock(&q);
    return NULL;
}

static void timers_end_in_order(void)
{
    pthread_t clock;
    struct run *runs[CAP];
    unsigned seed = 1;
    begin();
    for (int i = 0; i < CAP; i++)
        runs[i] = add(i);
    CU_ASSERT_PTR_NULL(add(CAP)); /* full: its lease will run out */
    CU_ASSERT_EQUAL(queue_room(&q, 4), 0);
    for (int i = 0; i < CAP; i++)
        CU_ASSERT_PTR_EQUAL(take(), runs[i]); /* first come, first served */
    for (int i = 0; i < CAP; i++)
        queue_wait(&q, runs[i], 1 + rand_r(&seed) % 60);
    CU_ASSERT_EQUAL(q.n_heap, CAP);
    pthread_create(&clock, NULL, clock_main, NULL);
    int64_t last = 0;
    for (int i = 0; i < CAP; i++) {
        struct run *r = take();
        CU_ASSERT(r->due_ms >= last && r->due_ms <= clock_mono_ms());
        last = r->due_ms;
        queue_end(&q, r);
    }
    CU_ASSERT(queue_drain(&q, clock_mono_ms()));
    queue_close(&q);
    pthread_join(clock, NULL);
    queue_done(&q);
}

static bool is_op(struct run *r, void *id)
{
    return str_eq(r->op.id, id);
}

static void news_wake_who_waits_and_are_not_lost_on_who_works(void)
{
    begin();
    struct run *a = add(1), *b = add(2);
    (void)take();
    (void)take();
    queue_wait(&q, a, 1000000);
    queue_wait(&q, b, 1000000);
    queue_each(&q, is_op, (void *)"op2");
    CU_ASSERT_PTR_EQUAL(take(), b);
    queue_each(&q, is_op, (void *)"op2"); /* while it is being worked on */
    queue_wait(&q, b, 1000000);
    CU_ASSERT_PTR_EQUAL(take(), b);
    queue_wait(&q, b, 1000000);
    CU_ASSERT_EQUAL(q.n_ready, 0);
    CU_ASSERT_EQUAL(q.n_heap, 2);
    CU_ASSERT_FALSE(queue_drain(&q, clock_mono_ms()));
    queue_done(&q); /* frees what is left */
}

static void an_operation_leased_again_waits_for_its_former_run(void)
{
    begin();
    struct run *old = add(1);
    CU_ASSERT_PTR_EQUAL(take(), old);
    queue_wait(&q, old, 1000000);
    struct run *again = add(1), *third = add(1);
    CU_ASSERT(atomic_load(&old->lost));
    CU_ASSERT(atomic_load(&again->lost)); /* it never even started */
    CU_ASSERT_FALSE(atomic_load(&third->lost));
    CU_ASSERT_PTR_EQUAL(take(), old); /* woken, to hear that it has lost */
    CU_ASSERT_EQUAL(q.n_ready, 0);    /* never two at a time */
    queue_end(&q, old);
    CU_ASSERT_PTR_EQUAL(take(), again);
    queue_end(&q, again);
    CU_ASSERT_PTR_EQUAL(take(), third);
    queue_end(&q, third);
    CU_ASSERT_EQUAL(q.n_runs, 0);
    queue_done(&q);
}

static void workers_are_given_no_more_than_they_can_begin(void)
{
    begin();
    CU_ASSERT_EQUAL(queue_room(&q, 4), 8);
    for (int i = 0; i < 6; i++)
        add(i);
    CU_ASSERT_EQUAL(queue_room(&q, 4), 2);
    struct run *r = take();
    queue_wait(&q, r, 1000000); /* waiting ones cost no worker */
    CU_ASSERT_EQUAL(queue_room(&q, 4), 3);
    CU_ASSERT_EQUAL(queue_room(&q, 1000), CAP - 6);
    queue_done(&q);
}

static struct observation *look(void)
{
    struct observation *o = calloc(1, sizeof *o);
    cluster_init(&o->cluster);
    return o;
}

static struct observation *take_look(void)
{
    struct run *r = NULL;
    struct observation *o = NULL;
    CU_ASSERT_TRUE_FATAL(queue_take(&q, &r, &o));
    CU_ASSERT_PTR_NULL(r);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    return o;
}

static void health_never_takes_all_workers(void)
{
    struct observation *mine[3];
    begin();
    CU_ASSERT_EQUAL(queue_look_room(&q), 4 * LOOKING);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(queue_look(&q, look()));
    CU_ASSERT_EQUAL(queue_look_room(&q), 4 * LOOKING - 3);
    mine[0] = take_look();
    mine[1] = take_look();
    struct run *r = add(1); /* the third look is held back, operations are not */
    CU_ASSERT_PTR_EQUAL(take(), r);
    queue_end(&q, r);
    queue_look_done(&q);
    mine[2] = take_look();
    for (int i = 0; i < 3; i++)
        free(mine[i]);
    queue_close(&q);
    CU_ASSERT_FALSE(queue_look(&q, look())); /* freed */
    struct observation *o;
    CU_ASSERT_FALSE(queue_take(&q, &r, &o));
    queue_done(&q);
}

/* ---- shares ---- */
static void limit(size_t workers)
{
    const struct share_rule r = {.share = 2};
    queue_limit(&q, workers, &r, &r);
}

static void projects_take_turns(void)
{
    struct run *flood[20], *one, *two[2];
    begin();
    limit(1);
    for (int i = 0; i < 20; i++)
        flood[i] = add_of(i, "a", "d");
    one = add_of(100, "b", "d");
    two[0] = add_of(200, "c", "d");
    two[1] = add_of(201, "c", "d");
    struct run *const expected[] = {flood[0], one, two[0], flood[1], two[1], flood[2], flood[3]};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct run *r = take();
        CU_ASSERT_PTR_EQUAL(r, expected[i]);
        if (r == one)
            queue_wait(&q, r, 1000000);
        else
            queue_end(&q, r);
    }
    CU_ASSERT_EQUAL(q.n_lanes, 2); /* of c nothing is left; b waits for its time */
    queue_done(&q);
}

/* Of twenty, with eight workers: no more of one driver get one. */
static void six_slow_ones_at_work(struct run *slow[20])
{
    begin();
    limit(8);
    for (int i = 0; i < 20; i++)
        slow[i] = add_of(i, "a", "slow");
    for (int i = 0; i < 6; i++)
        CU_ASSERT_PTR_EQUAL(take(), slow[i]);
}

static void a_slow_driver_does_not_get_all_workers(void)
{
    struct run *slow[20], *fast;
    six_slow_ones_at_work(slow);
    fast = add_of(100, "a", "fast"); /* the seventh worker passes over the slow ones */
    CU_ASSERT_PTR_EQUAL(take(), fast);
    queue_end(&q, fast);
    CU_ASSERT_PTR_NULL(lanes_next(&q));
    CU_ASSERT_TRUE(q.gated);
    queue_end(&q, slow[0]);
    CU_ASSERT_FALSE(q.gated); /* whoever slept was woken */
    CU_ASSERT_PTR_EQUAL(take(), slow[6]);
    queue_done(&q);
}

/* Two drivers of one backend have one share between them; another backend's has its own. */
static void a_slow_endpoint_does_not_get_all_workers(void)
{
    struct run *r[8];
    begin();
    limit(8);
    for (int i = 0; i < 2; i++) { /* where a driver calls is known after its first call */
        struct run *first = add_of(50 + i, "a", i ? "swarm" : "kubernetes");
        CU_ASSERT_PTR_EQUAL(take(), first);
        queue_at(&q, first, "http://heat:8004");
        queue_at(&q, first, "http://heat:8004");
        queue_wait(&q, first, 1000000);
    }
    for (int i = 0; i < 8; i++)
        r[i] = add_of(i, "a", i % 2 ? "swarm" : "kubernetes");
    for (int i = 0; i < 6; i++)
        CU_ASSERT_PTR_EQUAL(take(), r[i]);
    CU_ASSERT_PTR_NULL(lanes_next(&q)); /* neither driver has six, the endpoint has */
    struct run *elsewhere = add_of(100, "a", "mesos");
    CU_ASSERT_PTR_EQUAL(take(), elsewhere);
    queue_end(&q, elsewhere);
    CU_ASSERT_PTR_NULL(lanes_next(&q));
    for (int i = 0; i < 3; i++) /* they left Heat alone for something else */
        queue_at(&q, r[i], "http://keystone:5000");
    CU_ASSERT_FALSE(q.gated); /* whoever slept was woken */
    CU_ASSERT_PTR_EQUAL(take(), r[6]);
    queue_done(&q);
}

/* Another worker took something meanwhile: the one that sleeps before the gate is not forgotten. */
static void who_sleeps_before_a_gate_is_woken_whoever_worked_since(void)
{
    struct run *slow[20], *fast[2];
    six_slow_ones_at_work(slow);
    CU_ASSERT_PTR_NULL(lanes_next(&q)); /* that worker goes to sleep now */
    for (int i = 0; i < 2; i++)
        fast[i] = add_of(100 + i, "b", "fast");
    CU_ASSERT_PTR_EQUAL(take(), fast[0]);
    CU_ASSERT_TRUE(q.gated);
    queue_end(&q, slow[0]); /* and whoever ends this one may take the other fast one */
    CU_ASSERT_FALSE(q.gated);
    queue_done(&q);
}

static void what_is_due_is_dealt_by_what_a_project_has(void)
{
    char a[] = "a", b[] = "b";
    struct op_due due[] = {{a, 8}, {b, 3}};
    const struct op_due_list list = {due, 2};
    struct share_claim claims[2];
    size_t asked;
    begin();
    limit(4);
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(asked, 2);
    CU_ASSERT_EQUAL(claims[0].take, 5);
    CU_ASSERT_EQUAL(claims[1].take, 3);
    for (int i = 0; i < 8; i++)
        (void)add_of(i, "a", "d"); /* as many ready as workers can begin with */
    CU_ASSERT_EQUAL(queue_room(&q, 4), 0);
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(claims[0].take, 0);
    CU_ASSERT_EQUAL(claims[1].take, 1);
    queue_done(&q);
}

/* ---- what is leased ahead ---- */
enum { PROJECTS = 40 };
static char names[PROJECTS][8];
static struct op_due each_one[PROJECTS];

/* Something due of each of many projects. */
static struct op_due_list many(void)
{
    for (int i = 0; i < PROJECTS; i++) {
        snprintf(names[i], sizeof names[i], "p%02d", i);
        each_one[i] = (struct op_due){names[i], 1};
    }
    return (struct op_due_list){each_one, PROJECTS};
}

static size_t dealt(const struct share_claim *claims, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += claims[i].take;
    return sum;
}

/* What stands ready here would have to wait for its lease to run out if we died. */
static void many_projects_do_not_fill_the_table(void)
{
    struct share_claim claims[PROJECTS];
    const struct op_due_list list = many();
    size_t asked;
    begin();
    limit(4);
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(asked, 8); /* the others have not been passed over */
    CU_ASSERT_EQUAL(dealt(claims, PROJECTS), 8);
    for (int i = 0; i < 8; i++)
        (void)add_of(i, names[i], "d");
    CU_ASSERT_EQUAL(q.n_ready_lanes, 8);
    CU_ASSERT_FALSE(queue_open(&q));
    CU_ASSERT_FALSE(queue_low(&q));
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(dealt(claims, PROJECTS), 0);
    CU_ASSERT_EQUAL(asked, 8); /* up to the first that has nothing */
    for (int i = 0; i < 4; i++)
        queue_wait(&q, take(), 1000000); /* these wait, without a worker */
    CU_ASSERT_EQUAL(q.n_ready_lanes, 4);
    size_t projects, each;
    queue_want(&q, &projects, &each);
    CU_ASSERT(projects == 16 && each == 4);
    CU_ASSERT_TRUE(queue_open(&q));
    CU_ASSERT_TRUE(queue_low(&q));
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(dealt(claims, PROJECTS), 4);
    CU_ASSERT_EQUAL(asked, 12); /* behind the eight that have something */
    queue_done(&q);
}

/* Workers with nothing to do, and many ready runs of a slow driver: others have to come in, and no
 * more of that one. */
static void what_gates_keep_back_does_not_shut_others_out(void)
{
    struct share_claim claims[PROJECTS];
    const struct op_due_list list = many();
    size_t asked;
    begin();
    limit(4);
    CU_ASSERT_FALSE(queue_shut(&q, "slow"));
    for (int i = 0; i < 20; i++)
        (void)add_of(i, names[i], "slow");
    struct run *first = take();
    for (int i = 0; i < 2; i++)
        (void)take();
    CU_ASSERT_FALSE(queue_gated(&q));
    CU_ASSERT_PTR_NULL(lanes_next(&q)); /* the fourth worker stays free of it */
    CU_ASSERT_TRUE(queue_gated(&q));
    CU_ASSERT_TRUE(queue_shut(&q, "slow"));
    CU_ASSERT_TRUE(queue_shut(&q, "slow@1.0.0"));
    CU_ASSERT_FALSE(queue_shut(&q, "slower"));
    CU_ASSERT_FALSE(queue_shut(&q, "slo"));
    CU_ASSERT_TRUE(queue_deal(&q, &list, true, claims, &asked)); /* left: those that have one */
    CU_ASSERT_EQUAL(asked, PROJECTS);
    CU_ASSERT_EQUAL(dealt(claims, PROJECTS), PROJECTS - 20);
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(dealt(claims, PROJECTS), 0);
    queue_end(&q, first);
    CU_ASSERT_FALSE(queue_shut(&q, "slow"));
    queue_done(&q);
}

static void as_much_is_leased_ahead_as_is_soon_begun(void)
{
    begin();
    limit(4);
    queue_pace(&q, 1000);
    for (int i = 0; i < 60; i++) {
        (void)add_of(i, "a", "d");
        queue_end(&q, take());
    }
    queue_pace(&q, 1100); /* too early to tell */
    CU_ASSERT_EQUAL(queue_room(&q, 4), 8);
    queue_pace(&q, 1300); /* 60 in 300 ms */
    CU_ASSERT_EQUAL(queue_room(&q, 4), 40);
    queue_pace(&q, 1600);
    CU_ASSERT_EQUAL(queue_room(&q, 4), 8);
    queue_done(&q);
}

static void who_waits_gives_way_when_places_are_wanting(void)
{
    char a[] = "a", b[] = "b";
    struct op_due due[] = {{a, 8}, {b, 3}};
    const struct op_due_list list = {due, 2}, none = {due, 0};
    struct share_claim claims[2];
    size_t asked;
    begin();
    limit(4);
    for (int i = 0; i < CAP; i++) {
        (void)add_of(i, "a", "d");
        queue_wait(&q, take(), 1000000);
    }
    struct run *r = q.table[0];
    CU_ASSERT_FALSE(queue_gives_way(&q, r, 0));
    CU_ASSERT_TRUE(queue_open(&q)); /* it has to be known whether anybody waits */
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_EQUAL(dealt(claims, 2), 0);
    CU_ASSERT_TRUE(queue_gives_way(&q, r, 0));
    CU_ASSERT_FALSE(queue_gives_way(&q, r, 1000000)); /* it has only come */
    CU_ASSERT_FALSE(queue_deal(&q, &none, false, claims, &asked));
    CU_ASSERT_FALSE(queue_gives_way(&q, r, 0));
    queue_done(&q);
}

/* One project has its share, and workers have nothing to do: its others may come in turns. */
static void who_waits_gives_way_to_its_own_project_too(void)
{
    char a[] = "a";
    struct op_due due[] = {{a, 8}};
    const struct op_due_list list = {due, 1};
    struct share_claim claims[1];
    size_t asked;
    begin();
    limit(4);
    do {
        CU_ASSERT_TRUE_FATAL(q.n_runs < CAP);
        (void)queue_deal(&q, &list, false, claims, &asked);
        for (size_t i = 0; i < claims[0].take; i++) {
            (void)add_of((int)q.n_runs, "a", "d");
            queue_wait(&q, take(), 1000000);
        }
    } while (claims[0].take);
    CU_ASSERT(q.n_runs >= CAP / 2);
    CU_ASSERT_TRUE(queue_gives_way(&q, q.table[0], 0));
    for (int i = 0; i < 8; i++)
        (void)add_of(100 + i, "a", "d"); /* workers have enough: places would be no help */
    CU_ASSERT_TRUE(queue_deal(&q, &list, false, claims, &asked));
    CU_ASSERT_FALSE(queue_gives_way(&q, q.table[0], 0));
    queue_done(&q);
}

/* A thread that sleeps in the middle of its work, too, is asked to stop only once. */
static void a_sleeper_told_to_stop_sleeps_no_more(void)
{
    enum { LONG_MS = 20000 };
    struct sleeper s = {.woken = false};
    struct err e = ERR_INIT;
    ASSERT_OK(sleeper_init(&s, &e), &e);
    sleeper_wake(&s);
    CU_ASSERT_TRUE(sleeper_wait(&s, LONG_MS));
    sleeper_stop(&s);
    int64_t begun = clock_mono_ms();
    CU_ASSERT_FALSE(sleeper_wait(&s, LONG_MS));
    CU_ASSERT_FALSE(sleeper_wait(&s, LONG_MS));
    CU_ASSERT(clock_mono_ms() - begun < LONG_MS);
    sleeper_done(&s);
}

/* In the C library's place, which may lose one. */
static atomic_bool loses_a_signal;
__attribute__((visibility("default"))) int pthread_cond_signal(pthread_cond_t *cond)
{
    return atomic_exchange(&loses_a_signal, false) ? 0 : pthread_cond_broadcast(cond);
}

static atomic_bool taken;
static void *taker_main(void *unused)
{
    struct run *r = NULL;
    struct observation *o = NULL;
    (void)unused;
    if (queue_take(&q, &r, &o) && r) {
        atomic_store(&taken, true);
        queue_end(&q, r);
    }
    return NULL;
}

static void a_lost_signal_is_made_up_for(void)
{
    pthread_t worker;
    begin();
    CU_ASSERT_EQUAL_FATAL(pthread_create(&worker, NULL, taker_main, NULL), 0);
    (void)poll(NULL, 0, 100); /* most likely it sleeps by now; if not, it needs no signal */
    atomic_store(&loses_a_signal, true);
    add(1);
    for (int64_t end = clock_mono_ms() + 60000; !atomic_load(&taken) && clock_mono_ms() < end;)
        (void)poll(NULL, 0, 10);
    CU_ASSERT(atomic_load(&taken));
    queue_close(&q);
    pthread_join(worker, NULL);
    queue_done(&q);
}

TEST_MAIN("conductor_queue", NULL, NULL, TEST(timers_end_in_order),
          TEST(news_wake_who_waits_and_are_not_lost_on_who_works),
          TEST(an_operation_leased_again_waits_for_its_former_run),
          TEST(workers_are_given_no_more_than_they_can_begin), TEST(health_never_takes_all_workers),
          TEST(projects_take_turns), TEST(a_slow_driver_does_not_get_all_workers),
          TEST(a_slow_endpoint_does_not_get_all_workers),
          TEST(who_sleeps_before_a_gate_is_woken_whoever_worked_since),
          TEST(what_is_due_is_dealt_by_what_a_project_has),
          TEST(many_projects_do_not_fill_the_table),
          TEST(what_gates_keep_back_does_not_shut_others_out),
          TEST(as_much_is_leased_ahead_as_is_soon_begun),
          TEST(who_waits_gives_way_when_places_are_wanting),
          TEST(who_waits_gives_way_to_its_own_project_too),
          TEST(a_sleeper_told_to_stop_sleeps_no_more), TEST(a_lost_signal_is_made_up_for))
