/* The client `magnum`: one process, one request or a few, an exit code that scripts can use.
 *
 * magnum.c picks the command from cli_commands[] (commands.c, commands_objects.c), also by the
 * words of the old shell (commands_old.c); args.c parses by the command's own table, from which
 * help.c prints --help too; labels.c reads the small languages of option values; env.c finds the
 * service and the credentials; request.c talks; output.c prints; wait.c follows an operation.
 * Commands live in cmd_*.c. Nothing here runs in a server. Neighbours: base, config (YAML), http
 * (client). */
#ifndef MAGNUM_CMD_CLI_CLI_H
#define MAGNUM_CMD_CLI_CLI_H

#include "base/err.h"
#include "base/str.h"
#include "http/client.h"

#include <jansson.h>

/* Exit codes, also in every --help. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* the service refused the request */
    CLI_USAGE = 2,       /* wrong command line or environment */
    CLI_NOT_FOUND = 3,   /* no such object */
    CLI_OP_FAILED = 4,   /* the operation waited for ended in failure */
    CLI_TIMEOUT = 5,     /* --timeout is over, the operation goes on */
    CLI_UNREACHABLE = 6, /* no answer from the service */
};

/* ---- command line ---- */
enum cli_kind {
    CLI_FLAG,  /* no value */
    CLI_TEXT,  /* one value, the last one counts */
    CLI_INT,   /* one integer */
    CLI_MULTI, /* may be repeated */
};
struct cli_option {
    const char *name; /* "node-count"; NULL ends the table */
    enum cli_kind kind;
    const char *value; /* shown in help: "N" */
    const char *help;
    const char *field; /* request field it fills; NULL = the command looks at it itself */
};
struct cli_value {
    const struct cli_option *option;
    const char *text; /* borrowed from argv; "" for flags */
};
struct cli_args {
    struct cli_value *values; /* owned */
    size_t n_values;
    const char **words; /* positional arguments; owned array of borrowed texts */
    size_t n_words;
};
struct cli;
struct cli_command {
    const char *words;   /* "cluster template create" */
    const char *summary; /* one line */
    const char *usage;   /* positional arguments as shown: "CLUSTER NODE_COUNT" */
    size_t min_words, max_words;
    const struct cli_option *options; /* may be NULL */
    const char *example;
    enum cli_exit (*run)(struct cli *c, const struct cli_args *a);
};
extern const struct cli_command cli_commands[];      /* ends with words NULL */
extern const struct cli_option cli_global_options[]; /* of every command */
extern const struct cli_option cli_login_options[];  /* the same; shown by magnum --help alone */
/* Words of the old shell, such as "bay-create", and those of the command that does the same today;
 * ends with NULL. Options that were renamed are known by both names (args.c). */
struct cli_old_words {
    const char *old, *words;
};
extern const struct cli_old_words cli_old_words[];

/* The command that argv names, with *ret_skip arguments before its words (global options) and
 * *ret_words words; NULL when there is none. */
const struct cli_command *cli_find(int argc, char **argv, int *ret_skip, int *ret_words);
/* Parses argv (without the command's words) by the command's table and the global one. False and
 * *e (for exit code CLI_USAGE) when it does not fit; ret is to be freed either way. */
bool cli_args_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_args *ret,
                    struct err *e);
void cli_args_done(struct cli_args *a);
bool cli_has(const struct cli_args *a, const char *option);
/* The word at this place, or the option that stands for it; NULL when there is neither. */
const char *cli_word(const struct cli_args *a, size_t at, const char *option);
const char *cli_text(const struct cli_args *a, const char *option); /* NULL when absent */
int64_t cli_int(const struct cli_args *a, const char *option, int64_t missing);
/* Puts every option that has a `field` into `body`: flags as booleans (--x-disabled and
 * --visible mean false), integers as numbers, repeated ones joined with ",". */
int cli_fill(const struct cli_args *a, json_t *body, struct err *e);
/* --labels: k=v separated by "," or ";", repeated options add up, the same key twice is joined
 * with "," (clients.md 1.3). *ret: a JSON object of strings, caller owns; empty when not given. */
int cli_labels(const struct cli_args *a, const char *option, json_t **ret, struct err *e);
/* --node-taints KEY[=VALUE]:EFFECT, repeated or separated by ",": a JSON array, caller owns. */
int cli_taints(const struct cli_args *a, const char *option, json_t **ret, struct err *e);
/* cli_fill, and labels, node labels and taints where the command has them. */
int cli_body(const struct cli_args *a, json_t *body, struct err *e);

/* OP PATH=VALUE...: a JSON patch, caller owns. The value of file_path ("manifest", may be NULL)
 * names a file with the text meant. */
int cli_patch(const char *op, const char *const *words, size_t n, const char *file_path,
              json_t **ret, struct err *e);

void cli_help_command(FILE *out, const struct cli_command *cmd);
/* The commands that begin with `words` (all when NULL); false when there are none. */
bool cli_help_group(FILE *out, const char *words);
void cli_help_all(FILE *out);

/* ---- session ---- */
enum cli_format { CLI_TABLE, CLI_JSON, CLI_YAML, CLI_VALUE };
struct cli {
    char *endpoint;    /* without /v1 and trailing slash; owned */
    char *unix_socket; /* owned, NULL = TCP; endpoint is then for the Host header only */
    struct strv headers;
    char *ca_pem;            /* owned, may be NULL */
    struct cli_login *login; /* owned; NULL = Keystone is not asked */
    bool insecure, debug;
    enum cli_format format;
    struct strv columns;
    struct http_client *http;
};
/* Endpoint and credentials from options, OS_* variables, clouds.yaml. */
int cli_session(struct cli *c, const struct cli_args *a, struct err *e);
void cli_done(struct cli *c);

/* ---- Keystone (keystone.c) ---- */
/* A setting from options, then the environment, then clouds.yaml; NULL when it is nowhere. option:
 * "os-username"; key: its name in the section `auth` of a cloud. */
const char *cli_setting(const struct cli_args *a, const json_t *cloud, const char *option,
                        const char *env, const char *key);
/* Reads how to log in; *ret NULL when nothing says so. type: of OS_AUTH_TYPE, or NULL. */
int cli_login_read(const struct cli_args *a, const json_t *cloud, const char *type,
                   struct cli_login **ret, struct err *e);
/* Gets a token, and puts it into the headers in the place of the one before. endpoint: wanted from
 * the catalogue too, caller frees; NULL = not wanted. */
int cli_login_open(struct cli *c, char **ret_endpoint, struct err *e);
void cli_login_free(struct cli_login **l); /* wipes */

/* One request; path starts with "/v1". body NULL = none. On success *ret is the parsed answer
 * (NULL when it has none; caller owns; ret NULL = not wanted). Otherwise the exit code, with one
 * line in *e. */
enum cli_exit cli_try(struct cli *c, const char *method, const char *path, const json_t *body,
                      json_t **ret, struct err *e);
/* The same, but tells the user about a failure. path NULL: out of memory. */
enum cli_exit cli_request(struct cli *c, const char *method, const char *path, const json_t *body,
                          json_t **ret);
/* All pages of a collection, or `limit` items of them when that is > 0: *ret is an array. */
enum cli_exit cli_request_all(struct cli *c, const char *path, const char *member, int64_t limit,
                              json_t **ret);
/* Percent-encodes one path segment or query value. Caller frees; NULL = no memory. */
char *cli_escape(const char *segment);
/* prefix/<ident><rest>, encoded. Caller frees; NULL = no memory. */
char *cli_path(const char *prefix, const char *ident, const char *rest);
/* GET <collection>/<ident>. */
enum cli_exit cli_get(struct cli *c, const char *collection, const char *ident, json_t **ret);
/* Between two questions when the service does not make us wait: it is away, or answers at once. */
void cli_pause_ms(int64_t ms);
/* Prints "magnum: <text>" and returns the code. */
enum cli_exit cli_fail(enum cli_exit code, const struct err *e);
enum cli_exit cli_no_memory(void);
/* Replaces control characters: what a service sends must not drive a terminal. In place. */
void cli_clean(char *s);

/* ---- output ---- */
/* items: array of objects; columns: NULL-terminated defaults, -c chooses others. */
enum cli_exit cli_print_list(struct cli *c, const json_t *items, const char *const *columns);
/* Every member but `links`, or those of -c. */
enum cli_exit cli_print_item(struct cli *c, const json_t *item);
/* The common shapes of commands; they take `path` (NULL = out of memory).
 * GET a collection, page by page, with --limit, --sort-key and --sort-dir when given. */
enum cli_exit cli_list(struct cli *c, const struct cli_args *a, char *path, const char *member,
                       const char *const *columns);
/* Sends a request and prints the object it answers with. */
enum cli_exit cli_show(struct cli *c, const char *method, char *path, const json_t *body);
/* One sentence for people; nothing with -f json|yaml|value. */
void cli_say(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- dry runs ---- */
/* Sends a change with ?plan=true and prints what it would do. */
enum cli_exit cli_plan(struct cli *c, const char *method, const char *path, const json_t *body);

/* ---- waiting ---- */
/* Follows an operation until it has ended; shows a progress line on a terminal, else one line per
 * change, on stderr. timeout_s 0 = none. A service that is away for a moment is asked again. */
enum cli_exit cli_wait(struct cli *c, const char *operation_id, int64_t timeout_s);
/* What a delete could not remove, on stderr; nothing when there is nothing. */
void cli_left_behind(const json_t *op);
/* The newest operation of a cluster (name or uuid): *ret, caller frees. */
enum cli_exit cli_newest_operation(struct cli *c, const char *cluster, char **ret);
/* Both, with the limit of --wait-timeout. */
enum cli_exit cli_wait_cluster(struct cli *c, const struct cli_args *a, const char *cluster);

/* ---- commands ---- */
#define CLI_COMMAND(fn) enum cli_exit fn(struct cli *c, const struct cli_args *a)
CLI_COMMAND(cmd_template_create);
CLI_COMMAND(cmd_template_list);
CLI_COMMAND(cmd_template_show);
CLI_COMMAND(cmd_template_delete);
CLI_COMMAND(cmd_cluster_create);
CLI_COMMAND(cmd_cluster_list);
CLI_COMMAND(cmd_cluster_show);
CLI_COMMAND(cmd_cluster_update);
CLI_COMMAND(cmd_cluster_resize);
CLI_COMMAND(cmd_cluster_delete);
CLI_COMMAND(cmd_cluster_config);
CLI_COMMAND(cmd_nodegroup_list);
CLI_COMMAND(cmd_nodegroup_show);
CLI_COMMAND(cmd_nodegroup_create);
CLI_COMMAND(cmd_nodegroup_delete);
CLI_COMMAND(cmd_operation_list);
CLI_COMMAND(cmd_operation_show);
CLI_COMMAND(cmd_operation_events);
CLI_COMMAND(cmd_operation_cancel);
CLI_COMMAND(cmd_operation_retry);
CLI_COMMAND(cmd_cluster_events);
CLI_COMMAND(cmd_driver_list);
CLI_COMMAND(cmd_driver_show);
CLI_COMMAND(cmd_ca_show);
CLI_COMMAND(cmd_ca_sign);
CLI_COMMAND(cmd_cert_list);
CLI_COMMAND(cmd_ca_rotate);
CLI_COMMAND(cmd_credential_rotate);
CLI_COMMAND(cmd_service_list);
CLI_COMMAND(cmd_stats);
CLI_COMMAND(cmd_top);
CLI_COMMAND(cmd_quota_list);
CLI_COMMAND(cmd_quota_usage);
CLI_COMMAND(cmd_quota_show);
CLI_COMMAND(cmd_quota_create);
CLI_COMMAND(cmd_quota_update);
CLI_COMMAND(cmd_quota_delete);
CLI_COMMAND(cmd_template_update);
CLI_COMMAND(cmd_cluster_upgrade);
CLI_COMMAND(cmd_nodegroup_update);
CLI_COMMAND(cmd_federation_list);
CLI_COMMAND(cmd_federation_show);
CLI_COMMAND(cmd_federation_create);
CLI_COMMAND(cmd_federation_join);
CLI_COMMAND(cmd_federation_unjoin);
CLI_COMMAND(cmd_federation_delete);
CLI_COMMAND(cmd_complete); /* the only one without a session */

/* A key (P-256) and a CSR. Caller frees both; the key is a secret. */
int cli_make_csr(const char *cn, const char *o, char **ret_key, char **ret_csr, struct err *e);
/* Appends `value` as one word of a POSIX shell (csh takes it too). */
void cli_shell_quote(struct str *out, const char *value);
/* The line that sets an environment variable in the user's kind of shell. Caller frees. */
char *cli_export_line(const char *shell, const char *name, const char *value);

#endif
