/* Attributes and patch rules of the first Magnum's objects. See legacy.h, attrs.h, patch.h. */
#include "api/legacy.h"

#define TEXT(n) .name = (n), .type = ATTR_TEXT
#define READONLY(n) .name = (n), .type = ATTR_ANY, .flags = ATTR_READONLY
#define TIMES                                                                                      \
    {.name = "created_at", .type = ATTR_TIME, .flags = ATTR_READONLY},                             \
    {                                                                                              \
        .name = "updated_at", .type = ATTR_TIME, .flags = ATTR_READONLY                            \
    }

/* Pods, services and replication controllers take a manifest; all else is read from it. */
static const struct attr object[] = {
    {READONLY("uuid")},
    {READONLY("name")},
    {TEXT("bay_uuid"), .flags = ATTR_MANDATORY},
    {TEXT("manifest_url")},
    {TEXT("manifest")},
    {READONLY("desc")},
    {READONLY("images")},
    {READONLY("labels")},
    {READONLY("status")},
    {READONLY("host")},
    {READONLY("selector")},
    {READONLY("ip")},
    {READONLY("ports")},
    {READONLY("replicas")},
    {READONLY("links")},
    TIMES,
};

/* image_id: how 2015.1.0 called the image. */
static const struct attr container[] = {
    {READONLY("uuid")},
    {.name = "name", .type = ATTR_STRING, .min = 1, .max = 255},
    {TEXT("image")},
    {TEXT("image_id")},
    {TEXT("bay_uuid"), .flags = ATTR_MANDATORY},
    {TEXT("command")},
    {TEXT("memory")},
    {READONLY("status")},
    {READONLY("host")},
    {READONLY("links")},
    TIMES,
};

static const char *const node_types[] = {"bare", "virt", NULL};
static const struct attr node[] = {
    {READONLY("uuid")},       {.name = "type", .type = ATTR_ENUM, .choices = node_types},
    {TEXT("image_id")},       {TEXT("ironic_node_id")},
    {READONLY("project_id")}, {READONLY("user_id")},
    {READONLY("links")},      TIMES,
};

#define TABLE(symbol, arg, what, rows)                                                             \
    const struct attr_table symbol = {                                                             \
        .argument = (arg), .type = (what), .v = (rows), .n = ARRAY_LEN(rows)}

TABLE(attrs_pod, "pod", "Pod", object);
TABLE(attrs_service, "service", "Service", object);
TABLE(attrs_rc, "rc", "ReplicationController", object);
TABLE(attrs_container, "container", "Container", container);
TABLE(attrs_node, "node", "Node", node);

#define COMMON "/created_at", "/id", "/links", "/updated_at", "/uuid", "/project_id", "/user_id"
static const char *const pod_internal[] = {COMMON,    "/name",   "/labels", "/desc",
                                           "/images", "/status", "/host",   NULL};
static const char *const service_internal[] = {COMMON,   "/name", "/labels", "/selector",
                                               "/ports", "/port", "/ip",     NULL};
static const char *const rc_internal[] = {COMMON, "/name", "/labels", "/images", "/replicas", NULL};
static const char *const container_internal[] = {COMMON, "/status", "/host", NULL};
static const char *const node_internal[] = {COMMON, NULL};
static const char *const bay_mandatory[] = {"/bay_uuid", NULL};
static const char *const none[] = {NULL};

const struct patch_rules patch_pod = {pod_internal, NULL, bay_mandatory, none};
const struct patch_rules patch_service = {service_internal, NULL, bay_mandatory, none};
const struct patch_rules patch_rc = {rc_internal, NULL, bay_mandatory, none};
const struct patch_rules patch_container = {container_internal, NULL, bay_mandatory, none};
const struct patch_rules patch_node = {node_internal, NULL, none, none};
