/* See entity.h. Everything here is generated from the .def lists. */
#include "model/entity.h"

#include "base/str.h"

#include <string.h>

#define INIT_STR(name) p->name = NULL;
#define INIT_INT(name) p->name = MODEL_UNSET;
#define INIT_BOOL(name) p->name = false;
#define INIT_TIME(name) p->name = TIME_UNSET;
#define INIT_JSON(name) p->name = NULL;
#define DONE_STR(name) free(p->name);
#define DONE_INT(name)
#define DONE_BOOL(name)
#define DONE_TIME(name)
#define DONE_JSON(name) json_decref(p->name);

#define LIST_FUNCTIONS(type)                                                                       \
    struct type *type##_list_add(struct type##_list *l)                                            \
    {                                                                                              \
        /* grows at powers of two: the capacity is implied by the length */                        \
        if ((l->n & (l->n - 1)) == 0) {                                                            \
            size_t cap = l->n ? l->n * 2 : 1;                                                      \
            struct type *v = realloc(l->v, cap * sizeof *v);                                       \
            if (!v)                                                                                \
                return NULL;                                                                       \
            l->v = v;                                                                              \
        }                                                                                          \
        type##_init(&l->v[l->n]);                                                                  \
        return &l->v[l->n++];                                                                      \
    }                                                                                              \
    void type##_list_done(struct type##_list *l)                                                   \
    {                                                                                              \
        for (size_t i = 0; i < l->n; i++)                                                          \
            type##_done(&l->v[i]);                                                                 \
        free(l->v);                                                                                \
        l->v = NULL;                                                                               \
        l->n = 0;                                                                                  \
    }

/* The members that no column list knows. */
static void cluster_derived_init(struct cluster *p)
{
    p->node_count = p->master_count = 0;
    p->node_addresses = p->master_addresses = p->template_labels = p->faults = NULL;
}
static void cluster_derived_done(struct cluster *p)
{
    json_decref(p->node_addresses);
    json_decref(p->master_addresses);
    json_decref(p->template_labels);
    json_decref(p->faults);
    if (p->trustee_password)
        explicit_bzero(p->trustee_password, strlen(p->trustee_password));
}
static void nodegroup_derived_init(struct nodegroup *p)
{
    p->cluster_labels = NULL;
}
static void nodegroup_derived_done(struct nodegroup *p)
{
    json_decref(p->cluster_labels);
}
static void x509keypair_derived_done(struct x509keypair *p)
{
    if (p->private_key)
        explicit_bzero(p->private_key, strlen(p->private_key));
    if (p->private_key_passphrase)
        explicit_bzero(p->private_key_passphrase, strlen(p->private_key_passphrase));
}
#define F(kind, name) INIT_##kind(name)
void cluster_init(struct cluster *p)
{
#include "model/cluster.def"
    cluster_derived_init(p);
}
void template_init(struct template *p)
{
#include "model/template.def"
}
void nodegroup_init(struct nodegroup *p)
{
#include "model/nodegroup.def"
    nodegroup_derived_init(p);
}
void operation_init(struct operation *p)
{
#include "model/operation.def"
}
void operation_event_init(struct operation_event *p)
{
#include "model/operation_event.def"
}
void ledger_entry_init(struct ledger_entry *p)
{
#include "model/ledger.def"
}
void mservice_init(struct mservice *p)
{
#include "model/mservice.def"
}
void x509keypair_init(struct x509keypair *p)
{
#include "model/x509keypair.def"
}
void certificate_init(struct certificate *p)
{
#include "model/certificate.def"
}
void quota_init(struct quota *p)
{
#include "model/quota.def"
}
void federation_init(struct federation *p)
{
#include "model/federation.def"
}
void coe_object_init(struct coe_object *p)
{
#include "model/coe_object.def"
}
void node_init(struct node *p)
{
#include "model/node.def"
}
void driver_row_init(struct driver_row *p)
{
#include "model/driver.def"
}
#undef F

#define F(kind, name) DONE_##kind(name)
void cluster_done(struct cluster *p)
{
    cluster_derived_done(p);
#include "model/cluster.def"
    cluster_init(p);
}
void template_done(struct template *p)
{
#include "model/template.def"
    template_init(p);
}
void nodegroup_done(struct nodegroup *p)
{
    nodegroup_derived_done(p);
#include "model/nodegroup.def"
    nodegroup_init(p);
}
void operation_done(struct operation *p)
{
#include "model/operation.def"
    operation_init(p);
}
void operation_event_done(struct operation_event *p)
{
#include "model/operation_event.def"
    operation_event_init(p);
}
void ledger_entry_done(struct ledger_entry *p)
{
#include "model/ledger.def"
    ledger_entry_init(p);
}
void mservice_done(struct mservice *p)
{
#include "model/mservice.def"
    mservice_init(p);
}
void x509keypair_done(struct x509keypair *p)
{
    x509keypair_derived_done(p);
#include "model/x509keypair.def"
    x509keypair_init(p);
}
void certificate_done(struct certificate *p)
{
#include "model/certificate.def"
    certificate_init(p);
}
void quota_done(struct quota *p)
{
#include "model/quota.def"
    quota_init(p);
}
void federation_done(struct federation *p)
{
#include "model/federation.def"
    federation_init(p);
}
void coe_object_done(struct coe_object *p)
{
#include "model/coe_object.def"
    coe_object_init(p);
}
void node_done(struct node *p)
{
#include "model/node.def"
    node_init(p);
}
void driver_row_done(struct driver_row *p)
{
#include "model/driver.def"
    driver_row_init(p);
}
#undef F

LIST_FUNCTIONS(cluster)
LIST_FUNCTIONS(template)
LIST_FUNCTIONS(nodegroup)
LIST_FUNCTIONS(operation)
LIST_FUNCTIONS(operation_event)
LIST_FUNCTIONS(ledger_entry)
LIST_FUNCTIONS(mservice)
LIST_FUNCTIONS(x509keypair)
LIST_FUNCTIONS(certificate)
LIST_FUNCTIONS(quota)
LIST_FUNCTIONS(federation)
LIST_FUNCTIONS(coe_object)
LIST_FUNCTIONS(node)
LIST_FUNCTIONS(driver_row)

static json_t *time_json(int64_t us)
{
    char iso[CLOCK_ISO_MAX];
    if (us == TIME_UNSET)
        return json_null();
    clock_iso(us, iso);
    return json_string(iso);
}

#define JSON_OF_STR(name) p->name ? json_string(p->name) : json_null()
#define JSON_OF_INT(name) p->name == MODEL_UNSET ? json_null() : json_integer(p->name)
#define JSON_OF_BOOL(name) json_boolean(p->name)
#define JSON_OF_TIME(name) time_json(p->name)
#define JSON_OF_JSON(name) p->name ? json_incref(p->name) : json_null()
#define F(kind, name) bad |= json_object_set_new(o, #name, JSON_OF_##kind(name));

json_t *cluster_json(const struct cluster *p)
{
    json_t *o = json_object();
    int bad = !o;
#include "model/cluster.def"
    if (bad)
        json_decref(o);
    return bad ? NULL : o;
}
json_t *template_json(const struct template *p)
{
    json_t *o = json_object();
    int bad = !o;
#include "model/template.def"
    if (bad)
        json_decref(o);
    return bad ? NULL : o;
}
json_t *nodegroup_json(const struct nodegroup *p)
{
    json_t *o = json_object();
    int bad = !o;
#include "model/nodegroup.def"
    if (bad)
        json_decref(o);
    return bad ? NULL : o;
}
json_t *operation_json(const struct operation *p)
{
    json_t *o = json_object();
    int bad = !o;
#include "model/operation.def"
    if (bad)
        json_decref(o);
    return bad ? NULL : o;
}
json_t *operation_event_json(const struct operation_event *p)
{
    json_t *o = json_object();
    int bad = !o;
#include "model/operation_event.def"
    if (bad)
        json_decref(o);
    return bad ? NULL : o;
}
#undef F
