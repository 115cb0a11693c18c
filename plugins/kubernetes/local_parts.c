/* The daemons of a node with their flags, as magnum-local-group reads them (group.h of
 * sdk/lib/local). A master: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and the
 * way in from the host. A worker: containerd, images, kubelet, kube-proxy, and the way to whichever
 * master lives. All clients in a node find the API at 127.0.0.1:6443. Neighbours: local_files.c. */
#include "local_files.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct writer { /* collects; a failure (no memory) shows at the end */
    struct mag_local_run *r;
    const struct mag_roster_node *n;
    const struct binaries *bin;
    const char *base;
    unsigned minor; /* of the version: flags came and went */
    char stamp[64]; /* of the certificates; a daemon that has some is started again with new ones */
    json_t *parts;
    bool bad;
};

__attribute__((format(printf, 3, 4))) static void arg(struct writer *w, json_t *argv,
                                                      const char *fmt, ...)
{
    _mag_free_ char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        w->bad = true;
    va_end(ap);
    if (!w->bad && json_array_append_new(argv, json_string(text)) < 0)
        w->bad = true;
}

static void extra(struct writer *w, json_t *argv, const struct words *words)
{
    for (size_t i = 0; words->v[i]; i++)
        arg(w, argv, "%s", words->v[i]);
}

/* Takes argv. option: "once": true, or "wait_tcp"/"wait_unix": address; or NULL. */
static void part(struct writer *w, const char *name, json_t *argv, const char *option,
                 const char *value)
{
    json_t *p = json_pack("{s:s, s:o}", "name", name, "argv", argv);
    if (p && option)
        w->bad |= json_object_set_new(p, option, value ? json_string(value) : json_true()) < 0;
    if (p && w->stamp[0] && (strncmp(name, "kube", 4) == 0 || strcmp(name, "etcd") == 0))
        w->bad |= json_object_set_new(p, "stamp", json_string(w->stamp)) < 0;
    w->bad |= !p || json_array_append_new(w->parts, p) < 0;
}

static json_t *program(struct writer *w, const char *name)
{
    json_t *argv = json_array();
    arg(w, argv, "%s/%s", w->bin->dir, name);
    return argv;
}

/* Of this machine; probe said that it is there. */
static json_t *tool(struct writer *w, const char *name)
{
    char path[512] = "";
    json_t *argv = json_array();
    if (!mag_find_program(w->r->site->path, name, path, sizeof path))
        (void)snprintf(path, sizeof path, "/usr/bin/%s", name);
    arg(w, argv, "%s", path);
    return argv;
}

static size_t count_masters(const struct mag_local_run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->st.n; i++)
        n += r->st.v[i].master && !r->st.v[i].leaving;
    return n;
}

static void routes(struct writer *w)
{
    json_t *argv = tool(w, "ip");
    arg(w, argv, "-batch");
    arg(w, argv, "%s/routes", w->base);
    part(w, "routes", argv, "once", NULL);
}

/* ---- master ---- */

/* "m1=https://10.77.0.11:2380,...": read by etcd as long as it has no data. */
static void etcd_members(struct writer *w, json_t *argv)
{
    _mag_free_ char *list = NULL, *join = local_join_list(w->base);
    size_t size, n = 0;
    char address[16];
    if (join) {
        arg(w, argv, "--initial-cluster=%s", join);
        arg(w, argv, "--initial-cluster-state=existing");
        return;
    }
    FILE *f = open_memstream(&list, &size);
    for (size_t i = 0; f && i < w->r->st.n; i++) {
        const struct mag_roster_node *m = &w->r->st.v[i];
        mag_local_address(m->index, address);
        if (m->master && !m->leaving)
            (void)fprintf(f, "%sm%u=https://%s:2380", n++ ? "," : "", m->index, address);
    }
    if (!f || fclose(f) != 0) {
        w->bad = true;
        return;
    }
    arg(w, argv, "--initial-cluster=%s", list);
}

static void etcd(struct writer *w)
{
    char address[16];
    json_t *argv = tool(w, "etcd");
    mag_local_address(w->n->index, address);
    arg(w, argv, "--name=m%u", w->n->index);
    arg(w, argv, "--data-dir=%s/etcd", w->base);
    arg(w, argv, "--listen-client-urls=https://127.0.0.1:2379");
    arg(w, argv, "--advertise-client-urls=https://127.0.0.1:2379");
    arg(w, argv, "--listen-peer-urls=https://%s:2380", address);
    arg(w, argv, "--initial-advertise-peer-urls=https://%s:2380", address);
    arg(w, argv, "--initial-cluster-token=%s", w->r->cl.uuid);
    etcd_members(w, argv);
    arg(w, argv, "--cert-file=%s/pki/etcd.pem", w->base);
    arg(w, argv, "--key-file=%s/pki/etcd.pem", w->base);
    arg(w, argv, "--trusted-ca-file=%s/pki/etcd-ca.pem", w->base);
    arg(w, argv, "--client-cert-auth");
    arg(w, argv, "--peer-cert-file=%s/pki/etcd.pem", w->base);
    arg(w, argv, "--peer-key-file=%s/pki/etcd.pem", w->base);
    arg(w, argv, "--peer-trusted-ca-file=%s/pki/etcd-ca.pem", w->base);
    arg(w, argv, "--peer-client-cert-auth");
    arg(w, argv, "--auto-compaction-retention=1");
    arg(w, argv, "--log-level=warn");
    part(w, "etcd", argv, "wait_tcp", "127.0.0.1:2379");
}

static void apiserver_tls(struct writer *w, json_t *argv)
{
    const char *b = w->base;
    arg(w, argv, "--etcd-cafile=%s/pki/etcd-ca.pem", b);
    arg(w, argv, "--etcd-certfile=%s/pki/etcd-client.pem", b);
    arg(w, argv, "--etcd-keyfile=%s/pki/etcd-client.pem", b);
    arg(w, argv, "--tls-cert-file=%s/pki/apiserver.pem", b);
    arg(w, argv, "--tls-private-key-file=%s/pki/apiserver.pem", b);
    arg(w, argv, "--client-ca-file=%s/pki/kubernetes-ca.pem", b);
    arg(w, argv, "--kubelet-certificate-authority=%s/pki/kubernetes-ca.pem", b);
    arg(w, argv, "--kubelet-client-certificate=%s/pki/kubelet-client.pem", b);
    arg(w, argv, "--kubelet-client-key=%s/pki/kubelet-client.pem", b);
    arg(w, argv, "--service-account-issuer=https://kubernetes.default.svc");
    arg(w, argv, "--service-account-key-file=%s/pki/sa.pem", w->r->cl.dir);
    arg(w, argv, "--service-account-signing-key-file=%s/pki/sa.pem", w->r->cl.dir);
    arg(w, argv, "--requestheader-client-ca-file=%s/pki/front-proxy-ca.pem", b);
    arg(w, argv, "--requestheader-allowed-names=front-proxy-client");
    arg(w, argv, "--requestheader-extra-headers-prefix=X-Remote-Extra-");
    arg(w, argv, "--requestheader-group-headers=X-Remote-Group");
    arg(w, argv, "--requestheader-username-headers=X-Remote-User");
    arg(w, argv, "--proxy-client-cert-file=%s/pki/front-proxy-client.pem", b);
    arg(w, argv, "--proxy-client-key-file=%s/pki/front-proxy-client.pem", b);
}

static void apiserver(struct writer *w)
{
    const struct settings *s = &kube_run(w->r)->set;
    char address[16];
    json_t *argv = program(w, "kube-apiserver");
    mag_local_address(w->n->index, address);
    arg(w, argv, "--etcd-servers=https://127.0.0.1:2379");
    arg(w, argv, "--bind-address=0.0.0.0");
    arg(w, argv, "--secure-port=%d", API_PORT);
    arg(w, argv, "--advertise-address=%s", address);
    arg(w, argv, "--apiserver-count=%zu", count_masters(w->r));
    apiserver_tls(w, argv);
    arg(w, argv, "--kubelet-preferred-address-types=InternalIP");
    arg(w, argv, "--authorization-mode=Node,RBAC");
    arg(w, argv, "--enable-admission-plugins=NodeRestriction%s%s", s->admission[0] ? "," : "",
        s->admission);
    arg(w, argv, "--allow-privileged=true");
    arg(w, argv, "--service-cluster-ip-range=%s", s->services);
    extra(w, argv, &s->apiserver);
    part(w, "kube-apiserver", argv, "wait_tcp", "127.0.0.1:6443");
}

static void controllers(struct writer *w)
{
    const struct settings *s = &kube_run(w->r)->set;
    json_t *argv = program(w, "kube-controller-manager");
    arg(w, argv, "--kubeconfig=%s/controllers.kubeconfig", w->base);
    arg(w, argv, "--authentication-kubeconfig=%s/controllers.kubeconfig", w->base);
    arg(w, argv, "--authorization-kubeconfig=%s/controllers.kubeconfig", w->base);
    arg(w, argv, "--service-account-private-key-file=%s/pki/sa.pem", w->r->cl.dir);
    arg(w, argv, "--root-ca-file=%s/pki/kubernetes-ca.pem", w->base);
    arg(w, argv, "--use-service-account-credentials=true");
    arg(w, argv, "--service-cluster-ip-range=%s", s->services);
    arg(w, argv, "--cluster-cidr=%s", s->pods);
    arg(w, argv, "--allocate-node-cidrs=false");
    arg(w, argv, "--bind-address=127.0.0.1");
    arg(w, argv, "--leader-elect=%s", count_masters(w->r) > 1 ? "true" : "false");
    arg(w, argv, "--node-monitor-period=2s");
    arg(w, argv, "--node-monitor-grace-period=%ds", GRACE_SECONDS);
    /* At the first start of a cluster the right to read it is not yet there. */
    arg(w, argv, "--authentication-tolerate-lookup-failure=true");
    arg(w, argv, "--flex-volume-plugin-dir=%s/volumeplugins", w->base);
    if (w->minor < 24)
        arg(w, argv, "--address=127.0.0.1"); /* where the API asks for its health */
    extra(w, argv, &s->controllers);
    part(w, "kube-controller-manager", argv, NULL, NULL);
}

static void scheduler(struct writer *w)
{
    json_t *argv = program(w, "kube-scheduler");
    arg(w, argv, "--kubeconfig=%s/scheduler.kubeconfig", w->base);
    arg(w, argv, "--authentication-kubeconfig=%s/scheduler.kubeconfig", w->base);
    arg(w, argv, "--authorization-kubeconfig=%s/scheduler.kubeconfig", w->base);
    arg(w, argv, "--bind-address=127.0.0.1");
    arg(w, argv, "--leader-elect=%s", count_masters(w->r) > 1 ? "true" : "false");
    if (w->minor < 23)
        arg(w, argv, "--address=127.0.0.1"); /* where the API asks for its health */
    extra(w, argv, &kube_run(w->r)->set.scheduler);
    part(w, "kube-scheduler", argv, NULL, NULL);
}

static void forward(struct writer *w, const char *listen_at, json_t *to)
{
    json_t *p = json_pack("{s:s, s:s, s:o}", "name", "api", "listen", listen_at, "to", to);
    w->bad |= !p || json_array_append_new(w->parts, p) < 0;
}

static void master(struct writer *w)
{
    forward(w, "fd:3", json_pack("[s]", "127.0.0.1:6443"));
    etcd(w);
    apiserver(w);
    controllers(w);
    scheduler(w);
}

/* ---- worker ---- */

json_t *local_masters_of(const struct mag_local_run *r)
{
    json_t *list = json_array();
    char address[16];
    for (size_t i = 0; i < r->st.n; i++) {
        const struct mag_roster_node *m = &r->st.v[i];
        mag_local_address(m->index, address);
        if (m->master && !m->leaving)
            (void)json_array_append_new(list, json_sprintf("%s:%d", address, API_PORT));
    }
    return list;
}

static void containerd(struct writer *w)
{
    json_t *argv = tool(w, "containerd");
    arg(w, argv, "-c");
    arg(w, argv, "%s/containerd.toml", w->base);
    part(w, "containerd", argv, "wait_unix", CONTAINERD_SOCKET);
}

/* There is no registry: what is in the image directory is there on every node. */
static void images(struct writer *w)
{
    json_t *argv = json_array();
    arg(w, argv, "/bin/sh");
    arg(w, argv, "-c");
    arg(w, argv,
        "for f in \"$1\"/*.tar; do"
        " [ ! -e \"$f\" ] || ctr -a " CONTAINERD_SOCKET " -n k8s.io images import \"$f\" || exit 1;"
        " done");
    arg(w, argv, "images");
    arg(w, argv, "%s/images", w->r->site->state_dir);
    part(w, "images", argv, "once", NULL);
}

/* So that nothing is scheduled on a tainted node before the driver has seen it. */
static void first_taints(struct writer *w, json_t *argv)
{
    const struct mag_roster_group *g = mag_local_group_of(w->r, w->n);
    _mag_free_ char *list = NULL;
    size_t size, i, n = 0;
    json_t *t;
    FILE *f = open_memstream(&list, &size);
    json_array_foreach(mag_json_at(g ? g->json : NULL, "node_taints"), i, t)
    {
        if (f)
            (void)fprintf(f, "%s%s=%s:%s", n++ ? "," : "", mag_json_text(t, "key", ""),
                          mag_json_text(t, "value", ""), mag_json_text(t, "effect", "NoSchedule"));
    }
    if (!f || fclose(f) != 0) {
        w->bad = true;
        return;
    }
    if (n)
        arg(w, argv, "--register-with-taints=%s", list);
}

static void kubelet(struct writer *w)
{
    char address[16];
    json_t *argv = program(w, "kubelet");
    mag_local_address(w->n->index, address);
    arg(w, argv, "--config=%s/kubelet.json", w->base);
    arg(w, argv, "--kubeconfig=%s/kubelet.kubeconfig", w->base);
    arg(w, argv, "--cert-dir=%s/pki", w->base);
    if (w->minor < 24)
        arg(w, argv, "--container-runtime=remote");
    arg(w, argv, "--container-runtime-endpoint=unix://" CONTAINERD_SOCKET);
    arg(w, argv, "--hostname-override=%s", w->n->name);
    arg(w, argv, "--node-ip=%s", address);
    first_taints(w, argv);
    extra(w, argv, &kube_run(w->r)->set.kubelet);
    part(w, "kubelet", argv, NULL, NULL);
}

static void proxy(struct writer *w)
{
    json_t *argv = program(w, "kube-proxy");
    arg(w, argv, "--kubeconfig=%s/proxy.kubeconfig", w->base);
    arg(w, argv, "--hostname-override=%s", w->n->name);
    arg(w, argv, "--proxy-mode=iptables");
    arg(w, argv, "--cluster-cidr=%s", kube_run(w->r)->set.pods);
    arg(w, argv, "--conntrack-max-per-core=0");
    arg(w, argv, "--conntrack-tcp-timeout-established=0s");
    arg(w, argv, "--conntrack-tcp-timeout-close-wait=0s");
    arg(w, argv, "--healthz-bind-address=127.0.0.1:10256");
    arg(w, argv, "--metrics-bind-address=127.0.0.1:10249");
    arg(w, argv, "--oom-score-adj=0");
    extra(w, argv, &kube_run(w->r)->set.proxy);
    part(w, "kube-proxy", argv, NULL, NULL);
}

static void worker(struct writer *w)
{
    char at[32];
    (void)snprintf(at, sizeof at, "127.0.0.1:%d", API_PORT);
    forward(w, at, local_masters_of(w->r));
    containerd(w);
    images(w);
    kubelet(w);
    proxy(w);
}

int32_t local_write_parts(struct mag_local_run *r, const struct mag_roster_node *n,
                          const struct binaries *bin, const char *base)
{
    unsigned v[3];
    (void)mag_kube_parse_version(bin->version, v);
    struct writer w = {
        .r = r, .n = n, .bin = bin, .base = base, .minor = v[1], .parts = json_array()};
    local_read_stamp(base, w.stamp);
    routes(&w);
    if (n->master)
        master(&w);
    else
        worker(&w);
    /* The kubelet looks for a cloud's metadata service at its start unless told not to. */
    json_t *doc =
        json_pack("{s:s, s:b, s:{s:s}, s:{s:s, s:s, s:s}, s:o}", "dir", base, "shared_mounts",
                  n->master ? 0 : 1, "env", "AWS_EC2_METADATA_DISABLED", "true", "sysctl",
                  "net/ipv4/ip_forward", "1", "net/ipv4/conf/eth0/proxy_arp", "1",
                  "net/ipv4/neigh/eth0/proxy_delay", "0", "parts", w.parts);
    if (w.bad) {
        json_decref(doc);
        return mag_fail_nomem(r->c->err);
    }
    return files_put_json(base, "group.json", doc, r->c->err);
}
