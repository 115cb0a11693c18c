/* The rows of the command table for the objects of the first Magnum; commands.c puts them into the
 * one table. Their handlers: cmd_objects.c. */
#ifndef MAGNUM_CMD_CLI_COMMANDS_OBJECTS_H
#define MAGNUM_CMD_CLI_COMMANDS_OBJECTS_H

#include "cmd/cli/cli.h"

extern const struct cli_option cli_object_list[], cli_object_paging[], cli_object_create[],
    cli_container_create[], cli_container_exec[], cli_node_create[];

CLI_COMMAND(cmd_pod_list);
CLI_COMMAND(cmd_pod_show);
CLI_COMMAND(cmd_pod_create);
CLI_COMMAND(cmd_pod_update);
CLI_COMMAND(cmd_pod_delete);
CLI_COMMAND(cmd_coe_service_list);
CLI_COMMAND(cmd_coe_service_show);
CLI_COMMAND(cmd_coe_service_create);
CLI_COMMAND(cmd_coe_service_update);
CLI_COMMAND(cmd_coe_service_delete);
CLI_COMMAND(cmd_rc_list);
CLI_COMMAND(cmd_rc_show);
CLI_COMMAND(cmd_rc_create);
CLI_COMMAND(cmd_rc_update);
CLI_COMMAND(cmd_rc_delete);
CLI_COMMAND(cmd_container_list);
CLI_COMMAND(cmd_container_show);
CLI_COMMAND(cmd_container_create);
CLI_COMMAND(cmd_container_update);
CLI_COMMAND(cmd_container_delete);
CLI_COMMAND(cmd_container_start);
CLI_COMMAND(cmd_container_stop);
CLI_COMMAND(cmd_container_reboot);
CLI_COMMAND(cmd_container_pause);
CLI_COMMAND(cmd_container_unpause);
CLI_COMMAND(cmd_container_logs);
CLI_COMMAND(cmd_container_exec);
CLI_COMMAND(cmd_node_list);
CLI_COMMAND(cmd_node_show);
CLI_COMMAND(cmd_node_create);
CLI_COMMAND(cmd_node_update);
CLI_COMMAND(cmd_node_delete);

#define CLI_OBJECT_COMMANDS                                                                        \
    {"pod list",  "List pods", "[CLUSTER]", 0, 1, cli_object_list, "magnum pod list demo",         \
     cmd_pod_list},                                                                                \
        {"pod show", "Show a pod", "[CLUSTER] OBJECT",    1,                                       \
         2,          NULL,         "magnum pod show web", cmd_pod_show},                           \
        {"pod create",                                                                             \
         "Make a pod from a manifest",                                                             \
         "",                                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         cli_object_create,                                                                        \
         "magnum pod create --cluster demo --manifest web.yaml",                                   \
         cmd_pod_create},                                                                          \
        {"pod update",                                                                             \
         "Replace a pod",                                                                          \
         "[CLUSTER] OBJECT OP PATH=VALUE...",                                                      \
         3,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum pod update web replace manifest=web.yaml",                                        \
         cmd_pod_update},                                                                          \
        {"pod delete", "Delete a pod",          "[CLUSTER] OBJECT", 1, 2,                          \
         NULL,         "magnum pod delete web", cmd_pod_delete},                                   \
        {"coe-service list", "List services in clusters",    "[CLUSTER]",         0, 1,            \
         cli_object_list,    "magnum coe-service list demo", cmd_coe_service_list},                \
        {"coe-service show",                                                                       \
         "Show a service in a cluster",                                                            \
         "[CLUSTER] OBJECT",                                                                       \
         1,                                                                                        \
         2,                                                                                        \
         NULL,                                                                                     \
         "magnum coe-service show web",                                                            \
         cmd_coe_service_show},                                                                    \
        {"coe-service create",                                                                     \
         "Make a service in a cluster from a manifest",                                            \
         "",                                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         cli_object_create,                                                                        \
         "magnum coe-service create --cluster demo --manifest web.yaml",                           \
         cmd_coe_service_create},                                                                  \
        {"coe-service update",                                                                     \
         "Replace a service in a cluster",                                                         \
         "[CLUSTER] OBJECT OP PATH=VALUE...",                                                      \
         3,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum coe-service update web replace manifest=web.yaml",                                \
         cmd_coe_service_update},                                                                  \
        {"coe-service delete",                                                                     \
         "Delete a service in a cluster",                                                          \
         "[CLUSTER] OBJECT",                                                                       \
         1,                                                                                        \
         2,                                                                                        \
         NULL,                                                                                     \
         "magnum coe-service delete web",                                                          \
         cmd_coe_service_delete},                                                                  \
        {"rc list",       "List replication controllers", "[CLUSTER]", 0, 1,                       \
         cli_object_list, "magnum rc list demo",          cmd_rc_list},                            \
        {"rc show",                                                                                \
         "Show a replication controller",                                                          \
         "[CLUSTER] OBJECT",                                                                       \
         1,                                                                                        \
         2,                                                                                        \
         NULL,                                                                                     \
         "magnum rc show web",                                                                     \
         cmd_rc_show},                                                                             \
        {"rc create",                                                                              \
         "Make a replication controller from a manifest",                                          \
         "",                                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         cli_object_create,                                                                        \
         "magnum rc create --cluster demo --manifest web.yaml",                                    \
         cmd_rc_create},                                                                           \
        {"rc update",                                                                              \
         "Replace a replication controller",                                                       \
         "[CLUSTER] OBJECT OP PATH=VALUE...",                                                      \
         3,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum rc update web replace manifest=web.yaml",                                         \
         cmd_rc_update},                                                                           \
        {"rc delete",                                                                              \
         "Delete a replication controller",                                                        \
         "[CLUSTER] OBJECT",                                                                       \
         1,                                                                                        \
         2,                                                                                        \
         NULL,                                                                                     \
         "magnum rc delete web",                                                                   \
         cmd_rc_delete},                                                                           \
        {"container list",                                                                         \
         "List containers",                                                                        \
         "[CLUSTER]",                                                                              \
         0,                                                                                        \
         1,                                                                                        \
         cli_object_list,                                                                          \
         "magnum container list demo",                                                             \
         cmd_container_list},                                                                      \
        {"container show",                                                                         \
         "Show a container",                                                                       \
         "CONTAINER",                                                                              \
         1,                                                                                        \
         1,                                                                                        \
         NULL,                                                                                     \
         "magnum container show web",                                                              \
         cmd_container_show},                                                                      \
        {"container create",                                                                       \
         "Make a container; start it afterwards",                                                  \
         "",                                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         cli_container_create,                                                                     \
         "magnum container create --cluster demo --name web --image nginx --command 'nginx -g "    \
         "daemon\\ off;'",                                                                         \
         cmd_container_create},                                                                    \
        {"container update",                                                                       \
         "Change what is noted of a container",                                                    \
         "CONTAINER OP PATH=VALUE...",                                                             \
         3,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container update web replace name=site",                                          \
         cmd_container_update},                                                                    \
        {"container delete",                                                                       \
         "Stop and delete containers",                                                             \
         "CONTAINER...",                                                                           \
         1,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container delete web",                                                            \
         cmd_container_delete},                                                                    \
        {"container start",                                                                        \
         "Start containers",                                                                       \
         "CONTAINER...",                                                                           \
         1,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container start web",                                                             \
         cmd_container_start},                                                                     \
        {"container stop",                                                                         \
         "Stop containers",                                                                        \
         "CONTAINER...",                                                                           \
         1,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container stop web",                                                              \
         cmd_container_stop},                                                                      \
        {"container reboot",                                                                       \
         "Restart containers",                                                                     \
         "CONTAINER...",                                                                           \
         1,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container reboot web",                                                            \
         cmd_container_reboot},                                                                    \
        {"container pause",                                                                        \
         "Freeze containers",                                                                      \
         "CONTAINER...",                                                                           \
         1,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container pause web",                                                             \
         cmd_container_pause},                                                                     \
        {"container unpause",                                                                      \
         "Go on with containers that are frozen",                                                  \
         "CONTAINER...",                                                                           \
         1,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum container unpause web",                                                           \
         cmd_container_unpause},                                                                   \
        {"container logs",                                                                         \
         "Print what a container has written",                                                     \
         "CONTAINER",                                                                              \
         1,                                                                                        \
         1,                                                                                        \
         NULL,                                                                                     \
         "magnum container logs web",                                                              \
         cmd_container_logs},                                                                      \
        {"container exec",                                                                         \
         "Run a command in a container",                                                           \
         "CONTAINER [COMMAND]",                                                                    \
         1,                                                                                        \
         2,                                                                                        \
         cli_container_exec,                                                                       \
         "magnum container exec web --command 'ls -l'",                                            \
         cmd_container_exec},                                                                      \
        {"node list",       "List the nodes on record", "",           0, 0,                        \
         cli_object_paging, "magnum node list",         cmd_node_list},                            \
        {"node show", "Show a node on record",         "NODE",       1, 1,                         \
         NULL,        "magnum node show 5e0c4f9a-...", cmd_node_show},                             \
        {"node create",                                                                            \
         "Put a node on record",                                                                   \
         "",                                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         cli_node_create,                                                                          \
         "magnum node create --type virt --image-id ubuntu",                                       \
         cmd_node_create},                                                                         \
        {"node update",                                                                            \
         "Change the record of a node",                                                            \
         "NODE OP PATH=VALUE...",                                                                  \
         3,                                                                                        \
         100,                                                                                      \
         NULL,                                                                                     \
         "magnum node update 5e0c4f9a-... replace type=bare",                                      \
         cmd_node_update},                                                                         \
    {                                                                                              \
        "node delete", "Take a node from the records", "NODE", 1, 1, NULL,                         \
            "magnum node delete 5e0c4f9a-...", cmd_node_delete                                     \
    }

#endif
