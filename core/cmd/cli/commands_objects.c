/* Options of the commands for the objects of the first Magnum. See commands_objects.h. */
#include "cmd/cli/commands_objects.h"

#define END                                                                                        \
    {                                                                                              \
        NULL, CLI_FLAG, NULL, NULL, NULL                                                           \
    }
#define OF_CLUSTER(what)                                                                           \
    {                                                                                              \
        "cluster", CLI_TEXT, "CLUSTER", what, NULL                                                 \
    }
#define PAGING                                                                                     \
    {"limit", CLI_INT, "N", "at most this many (all)", NULL},                                      \
        {"marker", CLI_TEXT, "UUID", "begin behind this one", NULL},                               \
        {"sort-key", CLI_TEXT, "KEY", "attribute to sort by", NULL},                               \
    {                                                                                              \
        "sort-dir", CLI_TEXT, "DIR", "asc or desc", NULL                                           \
    }

const struct cli_option cli_object_list[] = {
    OF_CLUSTER("only those of this cluster, as it is now"),
    PAGING,
    END,
};
const struct cli_option cli_object_paging[] = {
    PAGING,
    END,
};
const struct cli_option cli_object_create[] = {
    OF_CLUSTER("name or uuid (needed)"),
    {"manifest", CLI_TEXT, "FILE", "JSON or YAML of the object", NULL},
    {"manifest-url", CLI_TEXT, "URL", "where the service finds it", NULL},
    END,
};
const struct cli_option cli_container_create[] = {
    OF_CLUSTER("name or uuid (needed)"),
    {"image", CLI_TEXT, "IMAGE", "name[:tag] (needed)", "image"},
    {"name", CLI_TEXT, "NAME", "of the container", "name"},
    {"command", CLI_TEXT, "COMMAND", "what it runs, instead of what the image says", "command"},
    {"memory", CLI_TEXT, "SIZE", "limit: a number and b, k, m or g", "memory"},
    {"json", CLI_TEXT, "FILE", "the whole request; - is the standard input", NULL},
    END,
};
const struct cli_option cli_container_exec[] = {
    {"command", CLI_TEXT, "COMMAND", "one line, cut into words as a shell would", NULL},
    END,
};
const struct cli_option cli_node_create[] = {
    {"type", CLI_TEXT, "TYPE", "virt or bare", "type"},
    {"image-id", CLI_TEXT, "IMAGE", "its image", "image_id"},
    {"ironic-node-id", CLI_TEXT, "NODE", "its id in Ironic", "ironic_node_id"},
    END,
};
