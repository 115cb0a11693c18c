/* See local_swarm_look.h. */
#include "system/local_swarm_look.h"

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/local/cluster.h"
#include "lib/local/files.h"
#include "lib/local/net.h"
#include "lib/local/record.h"
#include "lib/local/spawn.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

static size_t read_some(const char *path, char *out, size_t cap)
{
    _mag_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Started by the node's TLS end: the daemon itself, not a child of it that was forked and has not
 * executed its own program yet. */
static bool is_served(const char *pid)
{
    char path[300], text[4096];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    (void)read_some(path, text, sizeof text);
    const char *line = strstr(text, "\nPPid:");
    if (!line || sscanf(line, " PPid: %d", &parent) != 1)
        return false;
    snprintf(path, sizeof path, "/proc/%d/cmdline", parent);
    return read_some(path, text, sizeof text) && strstr(text, "magnum-swarm-front");
}

/* Processes whose command line holds `text`; program: how argv[0] must end, or NULL. */
static size_t processes(const char *text, const char *program, bool tell)
{
    size_t found = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], line[4096];
        if (!isdigit((unsigned char)e->d_name[0]) || atoi(e->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        size_t n = read_some(path, line, sizeof line), first = strlen(line);
        bool fits = !program || (first >= strlen(program) &&
                                 strcmp(line + first - strlen(program), program) == 0);
        for (size_t i = 0; i + 1 < n; i++)
            if (!line[i])
                line[i] = ' ';
        if (!n || !fits || !strstr(line, text) || (program && !is_served(e->d_name)))
            continue;
        found++;
        if (tell)
            fprintf(stderr, "  left: process %s %.100s\n", e->d_name, line);
    }
    if (d)
        closedir(d);
    return found;
}

size_t look_daemons(const struct world *w)
{
    return processes(w->state_dir, "/dockerd", false);
}

static const char *wanted_cgroup;
static size_t cgroups_found;
static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (type != FTW_D || !strstr(path, wanted_cgroup))
        return 0;
    fprintf(stderr, "  left: cgroup %s\n", path);
    cgroups_found++;
    return 0;
}

static size_t names_in(const char *dir, const char *prefix)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        fprintf(stderr, "  left: %s/%s\n", dir, e->d_name);
        n++;
    }
    if (d)
        closedir(d);
    return n;
}

static size_t mounts(const char *pid, const char *text)
{
    size_t n = 0;
    char line[4096], path[64];
    snprintf(path, sizeof path, "/proc/%s/mountinfo", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strstr(line, text)) {
            fprintf(stderr, "  left: mount %s", line);
            n++;
        }
    if (f)
        fclose(f);
    return n;
}

size_t look_leftovers(const struct world *w)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "mag-%s", w->uuid);
    for (int i = 0; i < 40 && processes(w->state_dir, NULL, false); i++)
        (void)poll(NULL, 0, 50);
    size_t n = processes(w->state_dir, NULL, true);
    n += names_in("/run/netns", prefix);
    n += names_in(w->state_dir, "");
    n += mounts("self", w->state_dir) + mounts("self", prefix);
    wanted_cgroup = w->uuid;
    cgroups_found = 0;
    nftw("/sys/fs/cgroup", visit, 32, FTW_PHYS | FTW_MOUNT);
    DIR *d = opendir("/sys/fs/cgroup"); /* hierarchies are mounts of their own */
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300];
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", e->d_name);
        if (e->d_name[0] != '.' && e->d_type == DT_DIR)
            nftw(path, visit, 32, FTW_PHYS | FTW_MOUNT);
    }
    if (d)
        closedir(d);
    json_t *store = world_store(w);
    size_t entries = json_array_size(json_object_get(store, "ledger"));
    if (entries)
        fprintf(stderr, "  left: %zu ledger entries\n", entries);
    json_decref(store);
    return n + cgroups_found + entries;
}

static void base_of(const struct world *w, unsigned index, char *ret, size_t cap)
{
    char dir[MAG_LOCAL_BASE_MAX] = "";
    mag_error e = {.struct_size = sizeof e};
    (void)mag_local_find(w->state_dir, w->uuid, dir, &e);
    snprintf(ret, cap, "%s/n%u", dir, index);
}

size_t look_pinned(const struct world *w, unsigned index)
{
    char base[128], pid[16];
    struct mag_node_record r;
    base_of(w, index, base, sizeof base);
    mag_record_read(base, &r);
    snprintf(pid, sizeof pid, "%d", (int)r.pid);
    return r.pid ? mounts(pid, "/netns/mag-") : 99;
}

int kill_node(const struct world *w, unsigned index)
{
    char base[128];
    struct mag_node_record r;
    base_of(w, index, base, sizeof base);
    mag_record_read(base, &r);
    _mag_close_ int fd = mag_record_pidfd(&r);
    if (fd < 0 || pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0)
        return -1;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 5000) == 1 ? 0 : -1;
}

char *docker(const struct world *w, const char *const args[])
{
    char pem[3][128], address[64];
    static const char *const files[] = {"ca.pem", "cert.pem", "key.pem"};
    _mag_json_ json_t *store = world_store(w);
    snprintf(address, sizeof address, "%s",
             mag_json_text(mag_json_at(store, "outputs"), "api_address", "tcp://127.0.0.1:1"));
    for (size_t i = 0; i < 3; i++)
        snprintf(pem[i], sizeof pem[i], "%s/%s", w->dir, files[i]);
    const char *argv[32] = {
        "/usr/bin/docker", "--tlsverify", "--tlscacert", pem[0], "--tlscert", pem[1],
        "--tlskey",        pem[2],        "-H",          address};
    for (size_t n = 10, i = 0; args[i] && n + 1 < MAG_LEN(argv); i++)
        argv[n++] = args[i];
    char *out = NULL;
    mag_error e = {.struct_size = sizeof e};
    if (world_client_cert(w) != 0 || mag_run(argv, NULL, -1, 30000, &out, &e) != MAG_OK)
        fprintf(stderr, "  docker %s: %s\n", args[0], e.message);
    return out;
}

char *docker_on(const struct world *w, unsigned index, const char *const args[])
{
    char base[128], address[160];
    base_of(w, index, base, sizeof base);
    snprintf(address, sizeof address, "unix://%s/docker.sock", base);
    const char *argv[32] = {"/usr/bin/docker", "-H", address};
    for (size_t n = 3, i = 0; args[i] && n + 1 < MAG_LEN(argv); i++)
        argv[n++] = args[i];
    char *out = NULL;
    mag_error e = {.struct_size = sizeof e};
    if (mag_run(argv, NULL, -1, 60000, &out, &e) != MAG_OK)
        fprintf(stderr, "  docker %s on %u: %s\n", args[0], index, e.message);
    return out;
}

int import_image(const struct world *w, unsigned nodes)
{
    char script[512], tar[128];
    mag_error e = {.struct_size = sizeof e};
    snprintf(tar, sizeof tar, "%s/image.tar", w->dir);
    snprintf(script, sizeof script,
             "cd %s && mkdir -p root/bin && cp /bin/busybox root/bin/ && "
             "ln -sf busybox root/bin/sh && tar -C root -cf image.tar .",
             w->dir);
    const char *const sh[] = {"/bin/sh", "-c", script, NULL};
    const char *const import[] = {"import", tar, "magnum-test:1", NULL};
    if (mag_run(sh, NULL, -1, 30000, NULL, &e) != MAG_OK)
        return -1;
    for (unsigned i = 1; i <= nodes; i++) {
        _mag_free_ char *out = docker_on(w, i, import);
        if (!out)
            return -1;
    }
    return 0;
}

int lose_power(const struct world *w, unsigned nodes)
{
    struct mag_local_cluster c = MAG_LOCAL_CLUSTER_INIT;
    mag_error e = {.struct_size = sizeof e};
    int bad = 0;
    snprintf(c.uuid, sizeof c.uuid, "%s", w->uuid);
    for (unsigned i = 1; i <= nodes; i++)
        bad |= kill_node(w, i);
    for (unsigned i = 0; i <= nodes; i++)
        bad |= mag_net_down(&c, i, &e) != MAG_OK;
    return bad ? -1 : 0;
}

size_t docker_ready(const struct world *w)
{
    static const char *const args[] = {"node", "ls", "--format", "{{.Hostname}}={{.Status}}", NULL};
    _mag_free_ char *out = docker(w, args);
    size_t n = 0;
    for (const char *p = out; p && (p = strstr(p, "=Ready")); p++)
        n++;
    return n;
}

json_t *spec_of(int managers, int workers, json_t *params)
{
    return json_pack(
        "{s:{s:s, s:s, s:{}}, s:{s:s}, s:[{s:s, s:s, s:s, s:i, s:b}, {s:s, s:s, s:s, s:i, s:b}], "
        "s:o}",
        "cluster", "uuid", "-", "name", "c", "labels", "template", "coe", "swarm", "nodegroups",
        "uuid", "11111111-1111-4111-8111-111111111111", "name", "default-master", "role", "master",
        "node_count", managers, "is_default", 1, "uuid", "22222222-2222-4222-8222-222222222222",
        "name", "default-worker", "role", "worker", "node_count", workers, "is_default", 1,
        "params", params ? params : json_object());
}
