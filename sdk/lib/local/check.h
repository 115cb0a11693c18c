/* Can this machine carry local nodes? Everything is looked for before anything is made; each
 * missing part has its own message, and a remedy that names the package.
 * Neighbours: spawn, the helper program's "check", plugins. */
#ifndef MAGNUM_SDK_LIB_LOCAL_CHECK_H
#define MAGNUM_SDK_LIB_LOCAL_CHECK_H

#include <magnum/host.h>

#include <stdbool.h>
#include <stddef.h>

#define MAG_LOCAL_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

struct mag_local_program {
    const char *name, *package; /* of Debian */
};
struct mag_local_wants {
    const char *state_dir;
    const char *path;   /* where programs are looked for; NULL: MAG_LOCAL_PATH */
    const char *helper; /* magnum-local-node, when it is not beside the running program; or NULL */
    const struct mag_local_program *programs; /* besides ip */
    size_t n_programs;
};
struct mag_local_machine { /* what was found; valid after MAG_OK */
    char ip[128], helper[1024];
    bool overlay; /* overlayfs can be used for data below state_dir */
};
/* MAG_E_NOT_FOUND (a program), MAG_E_UNSUPPORTED (rights, kernel), MAG_E_INVALID (state_dir); all
 * of them the operator's. Makes nothing but state_dir. */
int32_t mag_local_check(const struct mag_local_wants *w, struct mag_local_machine *ret,
                        mag_error *err);

#endif
