/* magnum-certs-local: looks at the bundles of the local certificate manager and changes its sealing
 * keys. Exit status: 0 done, 1 failed (one line says why), 2 wrong usage. Neighbours: store.h. */
#include "store.h"

#include <getopt.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-certs-local [options] COMMAND\n"
    "\n"
    "  verify     open every bundle and say how many are good\n"
    "  rotate     seal every bundle with a new key and forget the old one\n"
    "\n"
    "  --storage-path DIR           directory of the bundles (default:\n"
    "                               /var/lib/magnum/certificates)\n"
    "  --key-file FILE              the operator's key that the sealing keys are kept under\n"
    "  --passphrase-file FILE       or the file with its passphrase\n"
    "  --new-key-file FILE          rotate: keep the new sealing key under this one\n"
    "  --new-passphrase-file FILE   rotate: or under this passphrase\n"
    "  --version                    print the version of this program\n"
    "  --help                       print this text\n"
    "\n"
    "Conductors may run meanwhile: their calls wait. After a change of the operator's key set it "
    "in\n"
    "section driver_config, org.magnum.certs-local, and reload the conductors. rotate may be cut "
    "off\n"
    "at any moment; repeat it with the same options then.\n";

static int usage(const char *problem)
{
    fprintf(stderr, "magnum-certs-local: %s (see magnum-certs-local --help)\n", problem);
    return USAGE;
}

/* JSON texts here hold secrets: wiped before the memory is used again. */
static void wiping_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static int run(const char *command, const struct store *s, const struct master *next)
{
    mag_error err = {.struct_size = sizeof err};
    bool rotate = strcmp(command, "rotate") == 0;
    int n = 0;
    int32_t rc = rotate ? store_rotate(s, next, &n, &err) : store_verify(s, &n, &err);
    if (rc == MAG_OK) {
        printf("%d bundles %s\n", n, rotate ? "sealed with a new key" : "are good");
        return DONE;
    }
    fprintf(stderr, "magnum-certs-local: %s%s%s\n", err.message, err.remedy[0] ? "; " : "",
            err.remedy);
    return FAILED;
}

int main(int argc, char **argv)
{
    enum { STORAGE = 256, KEY, PASS, NEW_KEY, NEW_PASS, VERSION, HELP };
    static const struct option options[] = {
        {"storage-path", required_argument, NULL, STORAGE},
        {"key-file", required_argument, NULL, KEY},
        {"passphrase-file", required_argument, NULL, PASS},
        {"new-key-file", required_argument, NULL, NEW_KEY},
        {"new-passphrase-file", required_argument, NULL, NEW_PASS},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},
        {0}};
    struct store s = {.path = "/var/lib/magnum/certificates"};
    struct master next = {0};
    const struct rlimit none = {0, 0};
    int o;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o == STORAGE)
            s.path = optarg;
        else if (o == KEY)
            s.master.key_file = optarg;
        else if (o == PASS)
            s.master.passphrase_file = optarg;
        else if (o == NEW_KEY)
            next.key_file = optarg;
        else if (o == NEW_PASS)
            next.passphrase_file = optarg;
        else if (o == VERSION)
            return printf("magnum-certs-local " MAGNUM_VERSION "\n") < 0 ? FAILED : DONE;
        else if (o == HELP)
            return fputs(help, stdout) < 0 ? FAILED : DONE;
        else
            return usage("wrong option");
    }
    if (argc - optind != 1)
        return usage(argc == optind ? "a command is missing" : "too many arguments");
    if (strcmp(argv[optind], "verify") != 0 && strcmp(argv[optind], "rotate") != 0)
        return usage("there is no such command");
    if (!s.master.key_file == !s.master.passphrase_file)
        return usage("give one of --key-file and --passphrase-file");
    if (next.key_file && next.passphrase_file)
        return usage("give one of --new-key-file and --new-passphrase-file");
    if (!next.key_file && !next.passphrase_file)
        next = s.master;
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    json_set_alloc_funcs(malloc, wiping_free);
    return run(argv[optind], &s, &next);
}
