/* magnum-local-node: makes one node of a cluster on this machine. Started by drivers with local
 * nodes (see node.h), never by hand; it returns as soon as the node's daemon was executed. */
#include "lib/local/node_spec.h"

#include "lib/cleanup.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int usage(void)
{
    (void)fputs("usage: magnum-local-node start --base DIR --netns NAME --cgroup PATH\n"
                "         --hostname NAME --path PATH [--memory-mb N] [--listen]\n"
                "         [--bind /TARGET=NAME]... -- DAEMON [ARGUMENT]...\n"
                "       magnum-local-node check --ip PROGRAM\n",
                stderr);
    return 2;
}

static bool good_bind(const char *text)
{
    const char *eq = strchr(text, '=');
    return text[0] == '/' && eq && eq[1] && !strchr(eq, '/') && strcmp(eq + 1, "..") != 0;
}

static bool parse_start(int argc, char **argv, struct node_spec *s)
{
    static const struct option options[] = {{"base", required_argument, NULL, 'b'},
                                            {"netns", required_argument, NULL, 'n'},
                                            {"cgroup", required_argument, NULL, 'c'},
                                            {"hostname", required_argument, NULL, 'h'},
                                            {"path", required_argument, NULL, 'p'},
                                            {"memory-mb", required_argument, NULL, 'm'},
                                            {"listen", no_argument, NULL, 'l'},
                                            {"bind", required_argument, NULL, 'B'},
                                            {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
        switch (o) {
        case 'b':
            s->base = optarg;
            break;
        case 'n':
            s->netns = optarg;
            break;
        case 'c':
            s->cgroup = optarg;
            break;
        case 'h':
            s->hostname = optarg;
            break;
        case 'p':
            s->path = optarg;
            break;
        case 'm':
            s->memory_mb = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            s->listen = true;
            break;
        case 'B':
            if (s->n_binds == NODE_BINDS_MAX || !good_bind(optarg))
                return false;
            s->binds[s->n_binds++] = optarg;
            break;
        default:
            return false;
        }
    }
    s->argv = argv + optind;
    return s->base && s->netns && s->cgroup && s->hostname && s->path && s->argv[0] &&
           s->base[0] == '/' && s->cgroup[0] == '/' && !strchr(s->netns, '/');
}

int main(int argc, char **argv)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)close_range(4, ~0U, 0);
    if (argc == 4 && strcmp(argv[1], "check") == 0 && strcmp(argv[2], "--ip") == 0)
        return node_check(argv[3]);
    struct node_spec s = {0};
    if (argc < 3 || strcmp(argv[1], "start") != 0 || !parse_start(argc - 1, argv + 1, &s))
        return usage();
    /* In a process that gave its children another PID namespace exit handlers can't start threads
     * any more, and some (sanitizers) hang trying. */
    _exit(node_start(&s));
}
