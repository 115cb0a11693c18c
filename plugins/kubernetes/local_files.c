/* Everything a node's daemons read: certificates of the cluster's CAs, client configurations, and
 * the list of daemons with their flags, written below BASE before the node is started. JSON is YAML
 * to Kubernetes. A certificate and its key are one file, so that they always belong together.
 * Neighbours: local_parts.c (the daemons), local_nodes.c. */
#include "local_files.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/local/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CERT_DAYS = 3650 };

struct pem { /* one certificate to make */
    const char *file, *ca, *cn, *o;
    bool server, client;
    json_t *dns, *ip; /* owned by whoever lists them; may be NULL */
};

int32_t files_put_json(const char *dir, const char *name, json_t *doc, mag_error *err)
{
    char path[MAG_LOCAL_BASE_MAX + 64];
    _mag_json_ json_t *mine = doc;
    _mag_free_ char *text = mine ? mag_json_dump(mine) : NULL;
    if (!text)
        return mag_fail_nomem(err);
    int32_t rc = mag_path(path, sizeof path, err, "%s/%s", dir, name);
    return rc == MAG_OK ? mag_write_file(path, mag_text(text), 0600, err) : rc;
}

static int32_t put_text(const char *dir, const char *name, const char *text, mag_error *err)
{
    char path[MAG_LOCAL_BASE_MAX + 64];
    int32_t rc = mag_path(path, sizeof path, err, "%s/%s", dir, name);
    return rc == MAG_OK ? mag_write_file(path, mag_text(text), 0600, err) : rc;
}

/* Certificate, then key. */
static int32_t put_pair(const char *dir, const char *file, const json_t *made, mag_error *err)
{
    _mag_free_ char *both = NULL;
    int n = asprintf(&both, "%s\n%s", mag_json_text(made, "certificate", ""),
                     mag_json_text(made, "private_key", ""));
    if (n < 0)
        return mag_fail_nomem(err);
    int32_t rc = put_text(dir, file, both, err);
    explicit_bzero(both, (size_t)n);
    return rc;
}

static int32_t make_pem(struct mag_local_run *r, const char *dir, const struct pem *p)
{
    struct mag_call *c = r->c;
    char path[MAG_LOCAL_BASE_MAX + 64], ca_file[MAG_LOCAL_BASE_MAX + 64];
    int32_t rc = mag_path(path, sizeof path, c->err, "%s/%s", dir, p->file);
    if (rc != MAG_OK || (access(path, F_OK) == 0 && !kube_run(r)->reissue))
        return rc;
    _mag_json_ json_t *usages = json_array();
    if (p->server)
        (void)json_array_append_new(usages, json_string("server"));
    if (p->client)
        (void)json_array_append_new(usages, json_string("client"));
    _mag_json_ json_t *request = json_pack("{s:s, s:s, s:s, s:O, s:i}", "ca", p->ca, "cn", p->cn,
                                           "o", p->o, "usages", usages, "days", CERT_DAYS);
    if (request && p->dns)
        (void)json_object_set(request, "dns", p->dns);
    if (request && p->ip)
        (void)json_object_set(request, "ip", p->ip);
    if (!request)
        return mag_fail_nomem(c->err);
    json_t *made = NULL;
    rc = mag_cert_issue(&c->self->services, c->op, request, &made, c->err);
    /* What is trusted changes in rounds of its own (local_rotate.c). */
    (void)snprintf(ca_file, sizeof ca_file, "%s/%s-ca.pem", dir, p->ca);
    bool trusts = access(ca_file, F_OK) == 0;
    (void)snprintf(ca_file, sizeof ca_file, "%s-ca.pem", p->ca);
    if (rc == MAG_OK && !trusts)
        rc = put_text(dir, ca_file, mag_json_text(made, "ca", ""), c->err);
    if (rc == MAG_OK)
        rc = put_pair(dir, p->file, made, c->err);
    mag_wipe_json(&made);
    return rc;
}

static json_t *master_addresses(struct mag_local_run *r)
{
    json_t *list = json_pack("[s]", "127.0.0.1");
    char text[16];
    local_ipv4(kube_run(r)->set.services_base + 1, text);
    (void)json_array_append_new(list, json_string(text));
    for (size_t i = 0; i < r->st.n; i++) {
        mag_local_address(r->st.v[i].index, text);
        if (r->st.v[i].master && !r->st.v[i].leaving)
            (void)json_array_append_new(list, json_string(text));
    }
    return list;
}

/* One key for all masters signs the tokens of service accounts. */
static int32_t make_shared(struct mag_local_run *r)
{
    char dir[MAG_LOCAL_BASE_MAX + 16];
    const struct pem sa = {"sa.pem", "kubernetes", "service-accounts", "magnum", false, true,
                           NULL,     NULL};
    (void)snprintf(dir, sizeof dir, "%s/pki", r->cl.dir);
    int32_t rc = mag_mkdirs(dir, 0700, r->c->err);
    bool reissue =
        kube_run(r)
            ->reissue; /* tokens signed with the key must stay valid: it is never made anew */
    kube_run(r)->reissue = false;
    if (rc == MAG_OK)
        rc = make_pem(r, dir, &sa);
    kube_run(r)->reissue = reissue;
    return rc;
}

static int32_t make_all(struct mag_local_run *r, const char *dir, const struct pem *v, size_t n)
{
    int32_t rc = mag_mkdirs(dir, 0700, r->c->err);
    for (size_t i = 0; i < n && rc == MAG_OK; i++)
        rc = make_pem(r, dir, &v[i]);
    return rc;
}

static int32_t master_certificates(struct mag_local_run *r, const struct mag_roster_node *n,
                                   const char *dir)
{
    char address[16], in_domain[96];
    mag_local_address(n->index, address);
    (void)snprintf(in_domain, sizeof in_domain, "kubernetes.default.svc.%s",
                   kube_run(r)->set.domain);
    _mag_json_ json_t *api_dns =
        json_pack("[s,s,s,s,s,s]", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                  in_domain, "localhost", n->name);
    _mag_json_ json_t *api_ip = master_addresses(r);
    _mag_json_ json_t *etcd_dns = json_pack("[s,s]", "localhost", n->name);
    _mag_json_ json_t *etcd_ip = json_pack("[s,s]", "127.0.0.1", address);
    const struct pem all[] = {
        {"apiserver.pem", "kubernetes", "kube-apiserver", "magnum", true, false, api_dns, api_ip},
        {"kubelet-client.pem", "kubernetes", "kube-apiserver-kubelet-client", "system:masters",
         false, true, NULL, NULL},
        {"controllers.pem", "kubernetes", "system:kube-controller-manager",
         "system:kube-controller-manager", false, true, NULL, NULL},
        {"scheduler.pem", "kubernetes", "system:kube-scheduler", "system:kube-scheduler", false,
         true, NULL, NULL},
        {"etcd.pem", "etcd", "etcd", "magnum", true, true, etcd_dns, etcd_ip},
        {"etcd-client.pem", "etcd", "kube-apiserver-etcd-client", "magnum", false, true, NULL,
         NULL},
        {"front-proxy-client.pem", "front-proxy", "front-proxy-client", "magnum", false, true, NULL,
         NULL},
    };
    int32_t rc = make_shared(r);
    return rc == MAG_OK ? make_all(r, dir, all, MAG_LEN(all)) : rc;
}

static int32_t worker_certificates(struct mag_local_run *r, const struct mag_roster_node *n,
                                   const char *dir)
{
    char address[16], cn[96];
    mag_local_address(n->index, address);
    (void)snprintf(cn, sizeof cn, "system:node:%s", n->name);
    _mag_json_ json_t *dns = json_pack("[s]", n->name);
    _mag_json_ json_t *ip = json_pack("[s]", address);
    const struct pem all[] = {
        {"kubelet.pem", "kubernetes", cn, "system:nodes", true, true, dns, ip},
        {"proxy.pem", "kubernetes", "system:kube-proxy", "system:node-proxier", false, true, NULL,
         NULL},
    };
    return make_all(r, dir, all, MAG_LEN(all));
}

static int32_t put_client(const char *base, const char *name, mag_error *err)
{
    char file[64], ca[MAG_LOCAL_BASE_MAX + 64], pem[MAG_LOCAL_BASE_MAX + 64];
    (void)snprintf(file, sizeof file, "%s.kubeconfig", name);
    (void)snprintf(ca, sizeof ca, "%s/pki/kubernetes-ca.pem", base);
    (void)snprintf(pem, sizeof pem, "%s/pki/%s.pem", base, name);
    return files_put_json(
        base, file,
        json_pack("{s:s, s:s, s:[{s:s, s:{s:s, s:s}}], s:[{s:s, s:{s:s, s:s}}],"
                  " s:[{s:s, s:{s:s, s:s}}], s:s}",
                  "apiVersion", "v1", "kind", "Config", "clusters", "name", "c", "cluster",
                  "server", "https://127.0.0.1:6443", "certificate-authority", ca, "users", "name",
                  "u", "user", "client-certificate", pem, "client-key", pem, "contexts", "name",
                  "x", "context", "cluster", "c", "user", "u", "current-context", "x"),
        err);
}

static int32_t put_network(struct mag_local_run *r, const struct mag_roster_node *n,
                           const char *base)
{
    char dir[MAG_LOCAL_BASE_MAX + 32], ipam[MAG_LOCAL_BASE_MAX + 32], subnet[32], address[16];
    (void)snprintf(dir, sizeof dir, "%s/cni", base);
    (void)snprintf(ipam, sizeof ipam, "%s/cni-ipam", base);
    local_ipv4(kube_run(r)->set.pods_base + n->index * 256, address);
    (void)snprintf(subnet, sizeof subnet, "%s/24", address);
    int32_t rc = mag_mkdirs(dir, 0700, r->c->err);
    if (rc != MAG_OK)
        return rc;
    return files_put_json(dir, "10-bridge.conflist",
                          json_pack("{s:s, s:s, s:[{s:s, s:s, s:b, s:b, s:b,"
                                    " s:{s:s, s:s, s:[[{s:s}]], s:[{s:s}]}}, {s:s, s:{s:b}}]}",
                                    "cniVersion", "0.4.0", "name", n->name, "plugins", "type",
                                    "bridge", "bridge", "cni0", "isGateway", 1, "ipMasq", 0,
                                    "hairpinMode", 1, "ipam", "type", "host-local", "dataDir", ipam,
                                    "ranges", "subnet", subnet, "routes", "dst", "0.0.0.0/0",
                                    "type", "portmap", "capabilities", "portMappings", 1),
                          r->c->err);
}

static int32_t put_containerd(struct mag_local_run *r, const char *base)
{
    static const char off[] = "\"io.containerd.snapshotter.v1.aufs\", "
                              "\"io.containerd.snapshotter.v1.btrfs\", "
                              "\"io.containerd.snapshotter.v1.devmapper\", "
                              "\"io.containerd.snapshotter.v1.zfs\", "
                              "\"io.containerd.tracing.processor.v1.otlp\", "
                              "\"io.containerd.internal.v1.tracing\"";
    const struct mag_local_machine *m = &r->site->machine;
    _mag_free_ char *text = NULL;
    /* oom scores can't be lowered in many containers and VMs; then no pod would ever start */
    if (asprintf(&text,
                 "version = 2\n"
                 "root = \"%s/containerd\"\n"
                 "state = \"/run/containerd\"\n"
                 "oom_score = 0\n"
                 "disabled_plugins = [%s]\n"
                 "[grpc]\n"
                 "  address = \"" CONTAINERD_SOCKET "\"\n"
                 "[plugins.\"io.containerd.internal.v1.opt\"]\n"
                 "  path = \"%s/opt\"\n"
                 "[plugins.\"io.containerd.grpc.v1.cri\"]\n"
                 "  sandbox_image = \"" SANDBOX_IMAGE "\"\n"
                 "  stream_server_address = \"127.0.0.1\"\n"
                 "  restrict_oom_score_adj = true\n"
                 "  [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
                 "    snapshotter = \"%s\"\n"
                 "    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n"
                 "      runtime_type = \"io.containerd.runc.v2\"\n"
                 "      [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n"
                 "        SystemdCgroup = false\n"
                 "  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n"
                 "    bin_dir = \"%s\"\n"
                 "    conf_dir = \"%s/cni\"\n",
                 base, off, base, m->overlay ? "overlayfs" : "native",
                 mag_config(r->c->self->host, "cni_path", "/usr/lib/cni"), base) < 0)
        return mag_fail_nomem(r->c->err);
    return put_text(base, "containerd.toml", text, r->c->err);
}

static int32_t put_kubelet(struct mag_local_run *r, const struct mag_roster_node *n,
                           const char *base)
{
    char cgroup[96], ca[MAG_LOCAL_BASE_MAX + 64], pem[MAG_LOCAL_BASE_MAX + 64], dns[16];
    mag_local_cgroup(&r->cl, n->index, cgroup);
    (void)snprintf(ca, sizeof ca, "%s/pki/kubernetes-ca.pem", base);
    (void)snprintf(pem, sizeof pem, "%s/pki/kubelet.pem", base);
    local_ipv4(kube_run(r)->set.services_base + 10, dns);
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:{s:{s:b}, s:{s:b}, s:{s:s}}, s:{s:s}, s:s, s:s, s:s, s:[s]}",
        "apiVersion", "kubelet.config.k8s.io/v1beta1", "kind", "KubeletConfiguration", "address",
        "0.0.0.0", "readOnlyPort", 0, "healthzBindAddress", "127.0.0.1", "authentication",
        "anonymous", "enabled", 0, "webhook", "enabled", 1, "x509", "clientCAFile", ca,
        "authorization", "mode", "Webhook", "tlsCertFile", pem, "tlsPrivateKeyFile", pem,
        "clusterDomain", kube_run(r)->set.domain, "clusterDNS", dns);
    _mag_json_ json_t *more = json_pack(
        "{s:s, s:s, s:s, s:b, s:s, s:[s], s:i, s:{s:s, s:s, s:s, s:s}, s:s, s:s, s:i, s:s, s:i,"
        " s:i, s:i, s:s}",
        "resolvConf", "", "cgroupDriver", "cgroupfs", "cgroupRoot", cgroup, "failSwapOn", 0,
        "hairpinMode", "none", "enforceNodeAllocatable", "pods", "imageGCHighThresholdPercent", 100,
        "evictionHard", "memory.available", "50Mi", "nodefs.available", "1%", "nodefs.inodesFree",
        "1%", "imagefs.available", "1%", "nodeStatusUpdateFrequency", "1s",
        "nodeStatusReportFrequency", "10s", "nodeLeaseDurationSeconds", LEASE_SECONDS,
        "syncFrequency", "10s", "oomScoreAdj", 0, "maxPods", 110, "maxOpenFiles", 20000,
        "volumePluginDir", "/var/lib/kubelet/volumeplugins");
    if (!doc || !more || json_object_update(doc, more) < 0) {
        json_decref(doc);
        return mag_fail_nomem(r->c->err);
    }
    return files_put_json(base, "kubelet.json", doc, r->c->err);
}

/* The kubelet sets these for the whole machine; in the node they are plain files of its own. */
static int32_t put_fakes(const char *base, mag_error *err)
{
    int32_t rc = put_text(base, "overcommit_memory", "1\n", err);
    if (rc == MAG_OK)
        rc = put_text(base, "panic", "10\n", err);
    return rc == MAG_OK ? put_text(base, "panic_on_oops", "1\n", err) : rc;
}

/* One route for the pods of all nodes: each answers for its own (proxy_arp). The services'
 * addresses need any route at all, since kube-proxy rewrites them. No default route: nothing
 * leaves. */
static int32_t put_routes(struct mag_local_run *r, const char *base)
{
    char text[160];
    (void)snprintf(text, sizeof text, "route replace %s dev eth0\nroute replace %s dev eth0\n",
                   kube_run(r)->set.pods, kube_run(r)->set.services);
    return put_text(base, "routes", text, r->c->err);
}

int32_t local_write_node(struct mag_local_run *r, const struct mag_roster_node *n,
                         const struct binaries *bin)
{
    char base[MAG_LOCAL_BASE_MAX + 8], pki[MAG_LOCAL_BASE_MAX + 16];
    mag_local_base(&r->cl, n->index, base);
    (void)snprintf(pki, sizeof pki, "%s/pki", base);
    int32_t rc = mag_mkdirs(base, 0711, r->c->err);
    if (rc == MAG_OK)
        rc = put_routes(r, base);
    if (rc == MAG_OK && n->master) {
        rc = master_certificates(r, n, pki);
        if (rc == MAG_OK)
            rc = put_client(base, "controllers", r->c->err);
        if (rc == MAG_OK)
            rc = put_client(base, "scheduler", r->c->err);
    } else if (rc == MAG_OK) {
        rc = worker_certificates(r, n, pki);
        if (rc == MAG_OK)
            rc = put_client(base, "kubelet", r->c->err);
        if (rc == MAG_OK)
            rc = put_client(base, "proxy", r->c->err);
        if (rc == MAG_OK)
            rc = put_network(r, n, base);
        if (rc == MAG_OK)
            rc = put_containerd(r, base);
        if (rc == MAG_OK)
            rc = put_kubelet(r, n, base);
        if (rc == MAG_OK)
            rc = put_fakes(base, r->c->err);
    }
    return rc == MAG_OK ? local_write_parts(r, n, bin, base) : rc;
}
