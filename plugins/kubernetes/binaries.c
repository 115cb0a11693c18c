/* Which versions of Kubernetes this machine has: directories of the option kubernetes_path that
 * hold all daemons. Each is asked for its version once in the life of the process. Neighbours:
 * local_nodes.c (runs them), local_upgrade.c. */
#include "kubernetes_internal.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/spawn.h"

#include <stdio.h>
#include <string.h>

/* The first is where tools/kubernetes-binaries puts what it built. */
#define DEFAULT_PATH                                                                               \
    "/var/cache/magnum/kubernetes:/usr/lib/magnum/kubernetes:/usr/local/bin:/usr/bin:/usr/sbin"
enum { ASK_MS = 10000 };

static const char *const daemons[] = {"kube-apiserver", "kube-controller-manager", "kube-scheduler",
                                      "kubelet", "kube-proxy"};

static bool is_complete(const char *dir)
{
    char path[300];
    for (size_t i = 0; i < MAG_LEN(daemons); i++)
        if (snprintf(path, sizeof path, "%s/%s", dir, daemons[i]) >= (int)sizeof path ||
            access(path, X_OK) < 0)
            return false;
    return true;
}

static int compare(const char *a, const char *b)
{
    unsigned x[3], y[3];
    if (!mag_kube_parse_version(a, x) || !mag_kube_parse_version(b, y))
        return 0;
    for (size_t i = 0; i < 3; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* Kept in order, the first of two directories with one version wins. */
static void keep(struct kubernetes *s, const struct binaries *b)
{
    size_t at = 0;
    while (at < s->n_binaries && compare(s->binaries[at].version, b->version) < 0)
        at++;
    if (s->n_binaries == BINARIES_MAX ||
        (at < s->n_binaries && compare(s->binaries[at].version, b->version) == 0))
        return;
    memmove(&s->binaries[at + 1], &s->binaries[at], (s->n_binaries - at) * sizeof *b);
    s->binaries[at] = *b;
    s->n_binaries++;
}

/* "Kubernetes v1.20.2" */
static void try_dir(struct kubernetes *s, const char *dir)
{
    struct binaries b = {.version = ""};
    char program[300];
    unsigned v[3];
    _mag_free_ char *out = NULL;
    mag_error why = {.struct_size = sizeof why};
    if (!is_complete(dir) || snprintf(b.dir, sizeof b.dir, "%s", dir) >= (int)sizeof b.dir)
        return;
    (void)snprintf(program, sizeof program, "%s/kube-apiserver", dir);
    const char *const argv[] = {program, "--version", NULL};
    int32_t rc = mag_run(argv, NULL, -1, ASK_MS, &out, &why);
    if (out)
        out[strcspn(out, "\n")] = '\0';
    const char *text = out ? strchr(out, 'v') : NULL;
    if (rc != MAG_OK || !text || !mag_kube_parse_version(text, v)) {
        mag_log(s->base.host, MAG_LOG_WARNING, "%s does not say its version (%s); not used",
                program, rc == MAG_OK ? out : why.message);
        return;
    }
    (void)snprintf(b.version, sizeof b.version, "%u.%u.%u", v[0], v[1], v[2]);
    keep(s, &b);
}

int32_t binaries_find(struct kubernetes *s, mag_error *err)
{
    const char *list = mag_config(s->base.host, "kubernetes_path", DEFAULT_PATH);
    char dir[sizeof s->binaries[0].dir];
    s->n_binaries = 0;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ":");
        if (n && snprintf(dir, sizeof dir, "%.*s", (int)n, p) < (int)sizeof dir)
            try_dir(s, dir);
        p += n + (p[n] == ':');
    }
    if (s->n_binaries)
        return MAG_OK;
    return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                    "run tools/kubernetes-binaries, or set kubernetes_path of this driver to a "
                    "directory with newer ones",
                    "Kubernetes' daemons (kube-apiserver, kube-controller-manager, kube-scheduler, "
                    "kubelet, kube-proxy) are in none of %s",
                    list);
}

static bool fits(const char *version, const char *tag)
{
    unsigned have[3], want[3];
    if (!mag_kube_parse_version(version, have) || !mag_kube_parse_version(tag, want))
        return false;
    const char *dot = strchr(tag, '.');
    bool patch = dot && strchr(dot + 1, '.') != NULL;
    return have[0] == want[0] && have[1] == want[1] && (!patch || have[2] == want[2]);
}

int32_t binaries_pick(struct kubernetes *s, const char *tag, const struct binaries **ret,
                      mag_error *err)
{
    char all[160] = "", remedy[256];
    int32_t rc = s->n_binaries ? MAG_OK : binaries_find(s, err);
    if (rc != MAG_OK)
        return rc;
    for (size_t i = s->n_binaries; i-- > 0;) {
        if (!*tag || fits(s->binaries[i].version, tag)) {
            *ret = &s->binaries[i];
            return MAG_OK;
        }
        size_t n = strlen(all);
        (void)snprintf(all + n, sizeof all - n, "%sv%s", n ? ", " : "", s->binaries[i].version);
    }
    (void)snprintf(remedy, sizeof remedy, "set the label kube_tag to one of %s, or leave it away",
                   all);
    return mag_fail(err, MAG_E_INVALID, MAG_ERR_USER, "VersionNotAvailable", remedy,
                    "Kubernetes %.40s is not available on the conductor's machine; there is %s",
                    tag, all);
}
