/* See net.h. */
#include "lib/local/net.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/json.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define NETNS_DIR "/run/netns"
enum { IP_TIMEOUT_MS = 10000, NSFS = 0x6e736673 };

static int32_t run_ip(const struct mag_local_cluster *c, const char *netns,
                      const char *const args[], const char *input, char **ret_out, mag_error *err)
{
    const char *argv[16] = {c->ip};
    size_t n = 1;
    if (netns) {
        argv[n++] = "-n";
        argv[n++] = netns;
    }
    for (size_t i = 0; args[i] && n + 1 < MAG_LEN(argv); i++)
        argv[n++] = args[i];
    argv[n] = NULL;
    int32_t rc = mag_run(argv, input, c->lock_fd, IP_TIMEOUT_MS, ret_out, err);
    return rc == MAG_OK ? rc : mag_fail_wrap(err, rc, "ip (%s)", netns ? netns : "netns");
}

/* Runs all lines although some say "exists": what came of them is checked afterwards. */
static int32_t run_batch(const struct mag_local_cluster *c, const char *netns, const char *lines,
                         mag_error *err)
{
    static const char *const args[] = {"-force", "-batch", "-", NULL};
    int32_t rc = run_ip(c, netns, args, lines, NULL, err);
    return rc == MAG_E_UNAVAILABLE ? MAG_OK : rc;
}

bool mag_net_exists(const struct mag_local_cluster *c, unsigned index)
{
    char name[96], path[128];
    struct statfs fs;
    mag_local_netns(c, index, name);
    (void)snprintf(path, sizeof path, NETNS_DIR "/%s", name);
    return statfs(path, &fs) == 0 && fs.f_type == NSFS;
}

static int32_t make_netns(const struct mag_local_cluster *c, unsigned index, mag_error *err)
{
    char name[96], path[128];
    if (mag_net_exists(c, index))
        return MAG_OK;
    mag_local_netns(c, index, name);
    (void)snprintf(path, sizeof path, NETNS_DIR "/%s", name);
    (void)unlink(path); /* a crash between the file's making and its mount leaves an empty file */
    const char *const args[] = {"netns", "add", name, NULL};
    return run_ip(c, NULL, args, NULL, NULL, err);
}

static int32_t query(const struct mag_local_cluster *c, const char *netns, const char *const args[],
                     json_t **ret, mag_error *err)
{
    _mag_free_ char *out = NULL;
    int32_t rc = run_ip(c, netns, args, NULL, &out, err);
    if (rc == MAG_OK)
        rc = mag_json_parse(mag_text(out), "ip", ret, err);
    return rc;
}

static bool link_up(const json_t *link)
{
    size_t i;
    json_t *f;
    json_array_foreach(mag_json_at(link, "flags"), i, f)
    {
        if (json_is_string(f) && strcmp(json_string_value(f), "UP") == 0)
            return true;
    }
    return false;
}

static const json_t *link_named(const json_t *links, const char *name)
{
    size_t i;
    json_t *l;
    json_array_foreach(links, i, l)
    {
        if (strcmp(mag_json_text(l, "ifname", ""), name) == 0)
            return l;
    }
    return NULL;
}

static int32_t not_up(mag_error *err, const char *netns, const char *what)
{
    return mag_fail(err, MAG_E_UNAVAILABLE, MAG_ERR_RETRYABLE | MAG_ERR_OPERATOR, "NetworkNotUp",
                    NULL, "%s does not come up in the network namespace %s", what, netns);
}

int32_t mag_net_fabric_up(const struct mag_local_cluster *c, mag_error *err)
{
    static const char *const show[] = {"-j", "link", "show", "type", "bridge", NULL};
    char name[96];
    mag_local_netns(c, 0, name);
    int32_t rc = make_netns(c, 0, err);
    for (int pass = 0; pass < 2 && rc == MAG_OK; pass++) {
        _mag_json_ json_t *links = NULL;
        rc = query(c, name, show, &links, err);
        if (rc != MAG_OK || link_up(link_named(links, "br0")))
            return rc;
        if (pass == 0)
            rc = run_batch(c, name, "link set lo up\nlink add br0 type bridge\nlink set br0 up\n",
                           err);
    }
    return rc == MAG_OK ? not_up(err, name, "The bridge br0") : rc;
}

static bool has_address(const json_t *link, const char *address)
{
    size_t i;
    json_t *a;
    json_array_foreach(mag_json_at(link, "addr_info"), i, a)
    {
        if (strcmp(mag_json_text(a, "local", ""), address) == 0)
            return true;
    }
    return false;
}

static int32_t node_inside_up(const struct mag_local_cluster *c, unsigned index, mag_error *err)
{
    static const char *const show[] = {"-j", "addr", "show", NULL};
    char name[96], fabric[96], address[16], lines[512];
    mag_local_netns(c, index, name);
    mag_local_netns(c, 0, fabric);
    mag_local_address(index, address);
    int32_t rc = make_netns(c, index, err);
    for (int pass = 0; pass < 2 && rc == MAG_OK; pass++) {
        _mag_json_ json_t *links = NULL;
        rc = query(c, name, show, &links, err);
        const json_t *eth0 = link_named(links, "eth0");
        if (rc != MAG_OK || (link_up(eth0) && has_address(eth0, address)))
            return rc;
        (void)snprintf(lines, sizeof lines,
                       "link set lo up\n"
                       "link add eth0 type veth peer name v%u netns %s\n"
                       "addr add %s/24 dev eth0\n"
                       "link set eth0 up\n",
                       index, fabric, address);
        if (pass == 0)
            rc = run_batch(c, name, lines, err);
    }
    return rc == MAG_OK ? not_up(err, name, "eth0") : rc;
}

/* The other ends: ports of the bridge. */
static int32_t ports_up(const struct mag_local_cluster *c, const unsigned *index, size_t n,
                        mag_error *err)
{
    static const char *const show[] = {"-j", "link", "show", "master", "br0", NULL};
    char name[96], port[16];
    mag_local_netns(c, 0, name);
    for (int pass = 0;; pass++) {
        _mag_json_ json_t *links = NULL;
        _mag_free_ char *lines = NULL;
        size_t size, missing = 0;
        int32_t rc = query(c, name, show, &links, err);
        if (rc != MAG_OK)
            return rc;
        FILE *f = open_memstream(&lines, &size);
        if (!f)
            return mag_fail_nomem(err);
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(port, sizeof port, "v%u", index[i]);
            if (link_up(link_named(links, port)))
                continue;
            missing++;
            (void)fprintf(f, "link set %s master br0 up\n", port);
        }
        if (fclose(f) != 0)
            return mag_fail_nomem(err);
        if (missing == 0)
            return MAG_OK;
        if (pass == 1)
            return not_up(err, name, "A port of the bridge");
        rc = run_batch(c, name, lines, err);
        if (rc != MAG_OK)
            return rc;
    }
}

int32_t mag_net_nodes_up(const struct mag_local_cluster *c, const unsigned *index, size_t n,
                         mag_error *err)
{
    int32_t rc = MAG_OK;
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = node_inside_up(c, index[i], err);
    return rc == MAG_OK && n ? ports_up(c, index, n, err) : rc;
}

/* Needs no program: a cluster can be removed although its tools are gone. */
int32_t mag_net_down(const struct mag_local_cluster *c, unsigned index, mag_error *err)
{
    char name[96], fabric[96], path[128], port[16];
    mag_local_netns(c, index, name);
    (void)snprintf(path, sizeof path, NETNS_DIR "/%s", name);
    struct stat st;
    if (lstat(path, &st) < 0)
        return MAG_OK;
    if (index && c->ip[0] && mag_net_exists(c, 0)) {
        /* Namespaces die in the background; deleting the pair here frees the port's name at once */
        (void)snprintf(port, sizeof port, "v%u", index);
        mag_local_netns(c, 0, fabric);
        const char *const del[] = {"link", "del", port, NULL};
        (void)run_ip(c, fabric, del, NULL, NULL, NULL);
    }
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (unlink(path) < 0 && errno != ENOENT)
        return mag_fail_errno(err, errno, "Can't remove the network namespace %s", name);
    return MAG_OK;
}

size_t mag_net_list(const struct mag_local_cluster *c, unsigned *ret, size_t cap)
{
    char prefix[96];
    size_t n = 0, len = (size_t)snprintf(prefix, sizeof prefix, "mag-%s-", c->uuid);
    DIR *d = opendir(NETNS_DIR);
    for (struct dirent *e; d && n < cap && (e = readdir(d));) {
        const char *tail = e->d_name + len;
        if (strncmp(e->d_name, prefix, len) != 0)
            continue;
        if (strcmp(tail, "fab") == 0)
            ret[n++] = 0;
        else if (tail[0] == 'n' && isdigit((unsigned char)tail[1]))
            ret[n++] = (unsigned)strtoul(tail + 1, NULL, 10);
    }
    if (d)
        (void)closedir(d);
    return n;
}

static bool in_netns(const char *pid, const struct stat *ns)
{
    char path[300];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
    return stat(path, &st) == 0 && st.st_ino == ns->st_ino && st.st_dev == ns->st_dev;
}

/* Kills what is inside now; the number of processes that were, their pidfds in fds. */
static size_t kill_inside(const struct stat *ns, int *fds, size_t cap)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && n < cap && (e = readdir(d));) {
        if (!isdigit((unsigned char)e->d_name[0]) || !in_netns(e->d_name, ns))
            continue;
        int fd = pidfd_open((pid_t)strtol(e->d_name, NULL, 10), 0);
        if (fd < 0)
            continue;
        if (in_netns(e->d_name, ns)) { /* looked at again while the pidfd pins the process */
            (void)pidfd_send_signal(fd, SIGKILL, NULL, 0);
            fds[n++] = fd;
        } else {
            (void)close(fd);
        }
    }
    if (d)
        (void)closedir(d);
    return n;
}

int32_t mag_net_kill_all(const struct mag_local_cluster *c, unsigned index, int64_t wait_ms,
                         mag_error *err)
{
    char name[96], path[128];
    struct stat ns, own;
    mag_local_netns(c, index, name);
    (void)snprintf(path, sizeof path, NETNS_DIR "/%s", name);
    if (!mag_net_exists(c, index) || stat(path, &ns) < 0)
        return MAG_OK;
    if (stat("/proc/self/ns/net", &own) == 0 && own.st_ino == ns.st_ino)
        return mag_fail(err, MAG_E_INTERNAL, 0, "OwnNamespace", NULL,
                        "The host itself runs in the network namespace %s", name);
    int64_t until = mag_now_ms() + wait_ms;
    for (;;) {
        int fds[64];
        size_t n = kill_inside(&ns, fds, MAG_LEN(fds));
        for (size_t i = 0; i < n; i++) {
            struct pollfd p = {.fd = fds[i], .events = POLLIN};
            int64_t left = until - mag_now_ms();
            (void)poll(&p, 1, left > 0 ? (int)left : 0);
            (void)close(fds[i]);
        }
        if (n == 0)
            return MAG_OK;
        if (mag_now_ms() >= until)
            return MAG_AGAIN;
    }
}
