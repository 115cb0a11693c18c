/* See check.h. */
#include "lib/local/check.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/cgroup.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#ifndef MAGNUM_LIBEXECDIR
#define MAGNUM_LIBEXECDIR "/usr/libexec/magnum"
#endif
enum { OVERLAYFS = 0x794c7630, TRIAL_TIMEOUT_MS = 10000 };
#define HELPER "magnum-local-node"

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

/* All missing programs in one message: an operator installs them in one go. */
static int32_t find_programs(const struct mag_local_wants *w, struct mag_local_machine *m,
                             mag_error *err)
{
    static const struct mag_local_program iproute = {"ip", "iproute2"};
    char names[256] = "", packages[200] = "", found[sizeof m->ip], remedy[256];
    for (size_t i = 0; i <= w->n_programs; i++) {
        const struct mag_local_program *p = i < w->n_programs ? &w->programs[i] : &iproute;
        if (mag_find_program(w->path, p->name, found, sizeof found)) {
            if (p == &iproute)
                memcpy(m->ip, found, sizeof found);
            continue;
        }
        size_t n = strlen(names), k = strlen(packages);
        (void)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", p->name);
        if (!has_word(packages, p->package))
            (void)snprintf(packages + k, sizeof packages - k, "%s%s", k ? " " : "", p->package);
    }
    if (!names[0])
        return MAG_OK;
    (void)snprintf(remedy, sizeof remedy, "on the conductor's machine: apt-get install %s",
                   packages);
    return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing", remedy,
                    "Local nodes need programs that are not installed on this machine (%s): %s",
                    w->path, names);
}

/* Beside the running program (build tree), in ../libexec of it (any prefix), where it was
 * configured to be installed. */
static int32_t find_helper(const struct mag_local_wants *w, struct mag_local_machine *m,
                           mag_error *err)
{
    char self[PATH_MAX] = "", path[PATH_MAX * 3];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    if (w->helper) {
        if (access(w->helper, X_OK) == 0)
            return mag_path(m->helper, sizeof m->helper, err, "%s", w->helper);
    } else {
        (void)snprintf(path, sizeof path, "%s:%s/../libexec/magnum:" MAGNUM_LIBEXECDIR, self, self);
        if (mag_find_program(path, HELPER, m->helper, sizeof m->helper))
            return MAG_OK;
    }
    return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                    "install all of Magnum's programs, or set local_node_program of this driver",
                    "Magnum's own program " HELPER " is not found (%s)",
                    w->helper ? w->helper : MAGNUM_LIBEXECDIR);
}

static bool has_overlay(const char *state_dir)
{
    struct statfs fs;
    _mag_free_ char *text = NULL;
    if (statfs(state_dir, &fs) < 0 || fs.f_type == OVERLAYFS)
        return false;
    return mag_read_file("/proc/filesystems", 65536, &text, NULL) == MAG_OK &&
           strstr(text, "\toverlay\n") != NULL;
}

static int32_t try_kernel(const struct mag_local_machine *m, mag_error *err)
{
    const char *const argv[] = {m->helper, "check", "--ip", m->ip, NULL};
    _mag_free_ char *out = NULL;
    int32_t rc = mag_run(argv, NULL, -1, TRIAL_TIMEOUT_MS, &out, err);
    if (rc != MAG_OK)
        return mag_fail_wrap(err, rc, "Trying out what the kernel offers");
    if (!out[0])
        return MAG_OK;
    char *why = strchr(out, '\t');
    if (why)
        why[strcspn(why, "\n")] = '\0';
    return mag_fail(err, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "KernelPartMissing",
                    "run the conductor on a machine (or in a privileged container) whose kernel "
                    "allows this",
                    "Local nodes can't be made here: %s", why ? why + 1 : out);
}

int32_t mag_local_check(const struct mag_local_wants *wants, struct mag_local_machine *ret,
                        mag_error *err)
{
    struct mag_local_wants w = *wants;
    struct mag_local_machine m = {0};
    if (!w.path)
        w.path = MAG_LOCAL_PATH;
    if (geteuid() != 0)
        return mag_fail(err, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "NotRoot",
                        "run magnum-conductor (or magnum-allinone) as root",
                        "Local nodes need a conductor that runs as root, not as user id %u",
                        (unsigned)geteuid());
    int32_t rc = find_programs(&w, &m, err);
    if (rc == MAG_OK)
        rc = find_helper(&w, &m, err);
    if (rc == MAG_OK)
        rc = mag_mkdirs(w.state_dir, 0711, err);
    if (rc == MAG_OK)
        rc = try_kernel(&m, err);
    if (rc != MAG_OK)
        return rc;
    if (!mag_cgroup_has_memory())
        return mag_fail(err, MAG_E_UNSUPPORTED, MAG_ERR_OPERATOR, "KernelPartMissing",
                        "mount the cgroup file systems; boot with cgroup_enable=memory",
                        "Local nodes need the memory cgroup controller, which is not mounted");
    m.overlay = has_overlay(w.state_dir);
    *ret = m;
    return MAG_OK;
}
