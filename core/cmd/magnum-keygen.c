/* magnum-keygen: makes the CURVE keys of rpc.keys_dir and the sealing key of certificates.key_file.
 * Exit status: 0 done, 1 failed (one line says why), 2 wrong usage. Neighbours: rpc/keys.c and
 * certs/seal.c do the work. */
#include "base/err.h"
#include "base/str.h"
#include "certs/certs.h"
#include "rpc/rpc.h"

#include <getopt.h>
#include <stdio.h>

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static const char help[] =
    "usage: magnum-keygen [--dir DIR [--force]] [--seal-key FILE]\n"
    "\n"
    "Makes the keys that encrypt and authenticate the messages between API and conductors:\n"
    "\n"
    "  DIR/conductor.key   for the hosts of conductors; secret\n"
    "  DIR/api.key         for the hosts of the API; secret\n"
    "  DIR/authorized/     for the hosts of conductors: public keys that are let in\n"
    "\n"
    "Set rpc.keys_dir to the directory on every host. Keys that are there are kept.\n"
    "\n"
    "The sealing key protects the private keys of clusters in the database: set\n"
    "certificates.key_file to it on every conductor. It is never replaced: without the old one\n"
    "nothing can be opened that was sealed with it. A successor is another line of 64 hex digits\n"
    "before it.\n"
    "\n"
    "  --dir DIR        where the message keys are written; made when it is missing, for its "
    "owner\n"
    "                   only\n"
    "  --force          make new message keys in place of old ones; restart API and conductors\n"
    "                   afterwards\n"
    "  --seal-key FILE  make the sealing key, unless the file is there\n"
    "  --version        print the version of this program\n"
    "  --help           print this text\n";

static int usage(const char *problem)
{
    fprintf(stderr, "magnum-keygen: %s (see magnum-keygen --help)\n", problem);
    return USAGE;
}

static int run(const char *dir, bool force, const char *seal_key)
{
    struct err e = ERR_INIT;
    int rc = str_blank(dir) ? 0 : rpc_keys_make(dir, force, &e);
    if (rc == 0 && !str_blank(seal_key))
        rc = certs_key_make(seal_key, &e);
    if (rc < 0) {
        fprintf(stderr, "magnum-keygen: %s\n", e.msg);
        return FAILED;
    }
    if (!str_blank(dir))
        printf("%s/conductor.key\n%s/api.key\n%s/authorized/api.key\n", dir, dir, dir);
    if (!str_blank(seal_key))
        printf("%s\n", seal_key);
    return DONE;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},      {"force", no_argument, NULL, 'f'},
        {"seal-key", required_argument, NULL, 's'}, {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    const char *dir = NULL, *seal_key = NULL;
    bool force = false;
    for (int c; (c = getopt_long(argc, argv, "d:fh", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            dir = optarg;
            break;
        case 'f':
            force = true;
            break;
        case 's':
            seal_key = optarg;
            break;
        case 'V':
            printf("magnum-keygen %s\n", MAGNUM_VERSION);
            return DONE;
        case 'h':
            fputs(help, stdout);
            return DONE;
        default:
            return USAGE; /* getopt has said what is wrong */
        }
    }
    if (!dir && optind < argc) /* the directory alone is clear enough */
        dir = argv[optind++];
    if (optind < argc)
        return usage("too many arguments");
    if (str_blank(dir) && str_blank(seal_key))
        return usage("--dir or --seal-key is missing");
    return run(dir, force, seal_key);
}
