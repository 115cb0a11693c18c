/* The frozen layout of ABI 1.0, for x86-64 and other LP64 machines: the place, size and type of
 * every published member, and every published number. Compiled in every build, so that no change of
 * the headers gets past it unseen.
 *
 * A minor version that appends members adds lines at the end of their struct's block (with a new
 * SIZE line under the old one); no line is ever edited or removed. See POLICY.md. */
#include <magnum/cert.h>
#include <magnum/credentials.h>
#include <magnum/error.h>
#include <magnum/host.h>
#include <magnum/inventory.h>
#include <magnum/lifecycle.h>
#include <magnum/nodegroups.h>
#include <magnum/plan.h>
#include <magnum/plugin.h>
#include <magnum/rotate.h>
#include <magnum/stats.h>
#include <magnum/upgrade.h>
#include <magnum/workload.h>

_Static_assert(sizeof(void *) == 8 && sizeof(long) == 8, "this file describes LP64");

#define AT(type, member, offset, size)                                                             \
    _Static_assert(offsetof(type, member) == (offset) && sizeof(((type *)0)->member) == (size),    \
                   #type "." #member " has moved or changed its size")
#define SIZE(type, least) _Static_assert(sizeof(type) >= (least), #type " has shrunk")
/* The exact type of a member: catches two functions that changed places and a changed parameter. */
#define TYPE(type, member, ...)                                                                    \
    _Static_assert(_Generic(((type *)0)->member, __VA_ARGS__ : 1, default : 0) == 1,               \
                   #type "." #member " has another type")
#define NUMBER(name, value) _Static_assert((name) == (value), #name " has another value")

/* ---- mag_error ---- */
AT(mag_error, struct_size, 0, 4);
TYPE(mag_error, struct_size, uint32_t);
AT(mag_error, flags, 4, 4);
TYPE(mag_error, flags, uint32_t);
AT(mag_error, retry_after_ms, 8, 4);
TYPE(mag_error, retry_after_ms, uint32_t);
AT(mag_error, reserved0, 12, 4);
TYPE(mag_error, reserved0, uint32_t);
AT(mag_error, reason, 16, 64);
AT(mag_error, message, 80, 448);
AT(mag_error, remedy, 528, 256);
SIZE(mag_error, 784);

/* ---- mag_bytes ---- */
AT(mag_bytes, data, 0, 8);
TYPE(mag_bytes, data, const void *);
AT(mag_bytes, len, 8, 8);
TYPE(mag_bytes, len, uint64_t);
SIZE(mag_bytes, 16);

/* ---- mag_op ---- */
AT(mag_op, struct_size, 0, 4);
TYPE(mag_op, struct_size, uint32_t);
AT(mag_op, kind, 4, 4);
TYPE(mag_op, kind, uint32_t);
AT(mag_op, flags, 8, 4);
TYPE(mag_op, flags, uint32_t);
AT(mag_op, attempt, 12, 4);
TYPE(mag_op, attempt, uint32_t);
AT(mag_op, op_id, 16, 8);
TYPE(mag_op, op_id, const char *);
AT(mag_op, cluster_id, 24, 8);
TYPE(mag_op, cluster_id, const char *);
AT(mag_op, project_id, 32, 8);
TYPE(mag_op, project_id, const char *);
AT(mag_op, nodegroup_id, 40, 8);
TYPE(mag_op, nodegroup_id, const char *);
AT(mag_op, request_id, 48, 8);
TYPE(mag_op, request_id, const char *);
AT(mag_op, generation, 56, 8);
TYPE(mag_op, generation, uint64_t);
AT(mag_op, spec, 64, 16);
TYPE(mag_op, spec, mag_bytes);
AT(mag_op, prior, 80, 16);
TYPE(mag_op, prior, mag_bytes);
AT(mag_op, state, 96, 16);
TYPE(mag_op, state, mag_bytes);
AT(mag_op, deadline_unix_ms, 112, 8);
TYPE(mag_op, deadline_unix_ms, int64_t);
AT(mag_op, budget_ms, 120, 4);
TYPE(mag_op, budget_ms, uint32_t);
AT(mag_op, reserved0, 124, 4);
TYPE(mag_op, reserved0, uint32_t);
AT(mag_op, host_op, 128, 8);
TYPE(mag_op, host_op, void *);
SIZE(mag_op, 136);

/* ---- mag_step ---- */
AT(mag_step, struct_size, 0, 4);
TYPE(mag_step, struct_size, uint32_t);
AT(mag_step, wait_ms, 4, 4);
TYPE(mag_step, wait_ms, uint32_t);
AT(mag_step, percent, 8, 4);
TYPE(mag_step, percent, uint32_t);
AT(mag_step, reserved0, 12, 4);
TYPE(mag_step, reserved0, uint32_t);
AT(mag_step, message, 16, 192);
SIZE(mag_step, 208);

/* ---- mag_http_req ---- */
AT(mag_http_req, struct_size, 0, 4);
TYPE(mag_http_req, struct_size, uint32_t);
AT(mag_http_req, timeout_ms, 4, 4);
TYPE(mag_http_req, timeout_ms, uint32_t);
AT(mag_http_req, method, 8, 8);
TYPE(mag_http_req, method, const char *);
AT(mag_http_req, service, 16, 8);
TYPE(mag_http_req, service, const char *);
AT(mag_http_req, path, 24, 8);
TYPE(mag_http_req, path, const char *);
AT(mag_http_req, headers, 32, 8);
TYPE(mag_http_req, headers, const char *);
AT(mag_http_req, body, 40, 16);
TYPE(mag_http_req, body, mag_bytes);
SIZE(mag_http_req, 56);

/* ---- mag_http_resp ---- */
AT(mag_http_resp, struct_size, 0, 4);
TYPE(mag_http_resp, struct_size, uint32_t);
AT(mag_http_resp, status, 4, 4);
TYPE(mag_http_resp, status, uint32_t);
AT(mag_http_resp, body, 8, 16);
TYPE(mag_http_resp, body, mag_bytes);
AT(mag_http_resp, headers, 24, 8);
TYPE(mag_http_resp, headers, const char *);
SIZE(mag_http_resp, 32);

/* ---- mag_host ---- */
AT(mag_host, struct_size, 0, 4);
TYPE(mag_host, struct_size, uint32_t);
AT(mag_host, abi_major, 4, 4);
TYPE(mag_host, abi_major, uint32_t);
AT(mag_host, abi_minor, 8, 4);
TYPE(mag_host, abi_minor, uint32_t);
AT(mag_host, reserved0, 12, 4);
TYPE(mag_host, reserved0, uint32_t);
AT(mag_host, ctx, 16, 8);
TYPE(mag_host, ctx, void *);
AT(mag_host, log, 24, 8);
TYPE(mag_host, log, void (*)(void *, uint32_t, const char *));
AT(mag_host, config, 32, 8);
TYPE(mag_host, config, const char *(*)(void *, const char *));
AT(mag_host, http, 40, 8);
TYPE(mag_host, http,
     int32_t (*)(void *, const mag_op *, const mag_http_req *, mag_http_resp *, mag_error *));
AT(mag_host, checkpoint, 48, 8);
TYPE(mag_host, checkpoint, int32_t (*)(void *, const mag_op *, mag_bytes, mag_error *));
AT(mag_host, output, 56, 8);
TYPE(mag_host, output, int32_t (*)(void *, const mag_op *, const char *, mag_bytes, mag_error *));
AT(mag_host, cancelled, 64, 8);
TYPE(mag_host, cancelled, int32_t (*)(void *, const mag_op *));
AT(mag_host, secret_read, 72, 8);
TYPE(mag_host, secret_read,
     int32_t (*)(void *, const mag_op *, const char *, void *, uint64_t, uint64_t *, mag_error *));
AT(mag_host, get_service, 80, 8);
TYPE(mag_host, get_service, const void *(*)(void *, const char *));
SIZE(mag_host, 88);

/* ---- mag_host_ledger ---- */
AT(mag_host_ledger, struct_size, 0, 4);
TYPE(mag_host_ledger, struct_size, uint32_t);
AT(mag_host_ledger, reserved0, 4, 4);
TYPE(mag_host_ledger, reserved0, uint32_t);
AT(mag_host_ledger, declare, 8, 8);
TYPE(mag_host_ledger, declare,
     int32_t (*)(void *, const mag_op *, const char *, const char *, mag_bytes, mag_error *));
AT(mag_host_ledger, confirm, 16, 8);
TYPE(mag_host_ledger, confirm,
     int32_t (*)(void *, const mag_op *, const char *, const char *, const char *, mag_error *));
AT(mag_host_ledger, drop, 24, 8);
TYPE(mag_host_ledger, drop,
     int32_t (*)(void *, const mag_op *, const char *, const char *, mag_error *));
AT(mag_host_ledger, list, 32, 8);
TYPE(mag_host_ledger, list,
     int32_t (*)(void *, const mag_op *, const char *, mag_bytes *, mag_error *));
SIZE(mag_host_ledger, 40);

/* ---- mag_host_cert ---- */
AT(mag_host_cert, struct_size, 0, 4);
TYPE(mag_host_cert, struct_size, uint32_t);
AT(mag_host_cert, reserved0, 4, 4);
TYPE(mag_host_cert, reserved0, uint32_t);
AT(mag_host_cert, ca, 8, 8);
TYPE(mag_host_cert, ca,
     int32_t (*)(void *, const mag_op *, const char *, mag_bytes *, mag_error *));
AT(mag_host_cert, sign, 16, 8);
TYPE(mag_host_cert, sign,
     int32_t (*)(void *, const mag_op *, const char *, mag_bytes, mag_bytes, mag_bytes *,
                 mag_error *));
AT(mag_host_cert, issue, 24, 8);
TYPE(mag_host_cert, issue,
     int32_t (*)(void *, const mag_op *, mag_bytes, mag_bytes *, mag_error *));
SIZE(mag_host_cert, 32);

/* ---- mag_host_render ---- */
AT(mag_host_render, struct_size, 0, 4);
TYPE(mag_host_render, struct_size, uint32_t);
AT(mag_host_render, reserved0, 4, 4);
TYPE(mag_host_render, reserved0, uint32_t);
AT(mag_host_render, render, 8, 8);
TYPE(mag_host_render, render,
     int32_t (*)(void *, const mag_op *, mag_bytes, mag_bytes, mag_bytes *, mag_error *));
SIZE(mag_host_render, 16);

/* ---- mag_plugin ---- */
AT(mag_plugin, magic, 0, 4);
TYPE(mag_plugin, magic, uint32_t);
AT(mag_plugin, struct_size, 4, 4);
TYPE(mag_plugin, struct_size, uint32_t);
AT(mag_plugin, abi_major, 8, 4);
TYPE(mag_plugin, abi_major, uint32_t);
AT(mag_plugin, abi_minor, 12, 4);
TYPE(mag_plugin, abi_minor, uint32_t);
AT(mag_plugin, id, 16, 8);
TYPE(mag_plugin, id, const char *);
AT(mag_plugin, version, 24, 8);
TYPE(mag_plugin, version, const char *);
AT(mag_plugin, vendor, 32, 8);
TYPE(mag_plugin, vendor, const char *);
AT(mag_plugin, create, 40, 8);
TYPE(mag_plugin, create, int32_t (*)(const mag_host *, void **, mag_error *));
AT(mag_plugin, destroy, 48, 8);
TYPE(mag_plugin, destroy, void (*)(void *));
AT(mag_plugin, probe, 56, 8);
TYPE(mag_plugin, probe, int32_t (*)(void *, mag_error *));
AT(mag_plugin, get_interface, 64, 8);
TYPE(mag_plugin, get_interface, const void *(*)(void *, const char *));
SIZE(mag_plugin, 72);

/* ---- mag_lifecycle ---- */
AT(mag_lifecycle, struct_size, 0, 4);
TYPE(mag_lifecycle, struct_size, uint32_t);
AT(mag_lifecycle, reserved0, 4, 4);
TYPE(mag_lifecycle, reserved0, uint32_t);
AT(mag_lifecycle, validate, 8, 8);
TYPE(mag_lifecycle, validate, int32_t (*)(void *, const mag_op *, mag_error *));
AT(mag_lifecycle, create, 16, 8);
TYPE(mag_lifecycle, create, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_lifecycle, update, 24, 8);
TYPE(mag_lifecycle, update, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_lifecycle, remove, 32, 8);
TYPE(mag_lifecycle, remove, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_lifecycle, scale, 40, 8);
TYPE(mag_lifecycle, scale, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_lifecycle, health, 48, 8);
TYPE(mag_lifecycle, health, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
SIZE(mag_lifecycle, 56);

/* ---- mag_nodegroups ---- */
AT(mag_nodegroups, struct_size, 0, 4);
TYPE(mag_nodegroups, struct_size, uint32_t);
AT(mag_nodegroups, reserved0, 4, 4);
TYPE(mag_nodegroups, reserved0, uint32_t);
AT(mag_nodegroups, create, 8, 8);
TYPE(mag_nodegroups, create, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_nodegroups, update, 16, 8);
TYPE(mag_nodegroups, update, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_nodegroups, remove, 24, 8);
TYPE(mag_nodegroups, remove, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
SIZE(mag_nodegroups, 32);

/* ---- mag_upgrade ---- */
AT(mag_upgrade, struct_size, 0, 4);
TYPE(mag_upgrade, struct_size, uint32_t);
AT(mag_upgrade, reserved0, 4, 4);
TYPE(mag_upgrade, reserved0, uint32_t);
AT(mag_upgrade, plan, 8, 8);
TYPE(mag_upgrade, plan, int32_t (*)(void *, const mag_op *, mag_bytes *, mag_error *));
AT(mag_upgrade, upgrade, 16, 8);
TYPE(mag_upgrade, upgrade, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
SIZE(mag_upgrade, 24);

/* ---- mag_rotate ---- */
AT(mag_rotate, struct_size, 0, 4);
TYPE(mag_rotate, struct_size, uint32_t);
AT(mag_rotate, reserved0, 4, 4);
TYPE(mag_rotate, reserved0, uint32_t);
AT(mag_rotate, ca_prepare, 8, 8);
TYPE(mag_rotate, ca_prepare, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_rotate, ca_complete, 16, 8);
TYPE(mag_rotate, ca_complete, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
AT(mag_rotate, credential, 24, 8);
TYPE(mag_rotate, credential, int32_t (*)(void *, const mag_op *, mag_step *, mag_error *));
SIZE(mag_rotate, 32);

/* ---- mag_credentials ---- */
AT(mag_credentials, struct_size, 0, 4);
TYPE(mag_credentials, struct_size, uint32_t);
AT(mag_credentials, reserved0, 4, 4);
TYPE(mag_credentials, reserved0, uint32_t);
AT(mag_credentials, client_config, 8, 8);
TYPE(mag_credentials, client_config, int32_t (*)(void *, const mag_op *, mag_bytes *, mag_error *));
SIZE(mag_credentials, 16);

/* ---- mag_workload ---- */
AT(mag_workload, struct_size, 0, 4);
TYPE(mag_workload, struct_size, uint32_t);
AT(mag_workload, reserved0, 4, 4);
TYPE(mag_workload, reserved0, uint32_t);
AT(mag_workload, list, 8, 8);
TYPE(mag_workload, list,
     int32_t (*)(void *, const mag_op *, const char *, mag_bytes, mag_bytes *, mag_error *));
AT(mag_workload, get, 16, 8);
TYPE(mag_workload, get,
     int32_t (*)(void *, const mag_op *, const char *, const char *, mag_bytes *, mag_error *));
AT(mag_workload, create, 24, 8);
TYPE(mag_workload, create,
     int32_t (*)(void *, const mag_op *, const char *, mag_bytes, mag_bytes *, mag_error *));
AT(mag_workload, update, 32, 8);
TYPE(mag_workload, update,
     int32_t (*)(void *, const mag_op *, const char *, const char *, mag_bytes, mag_bytes *,
                 mag_error *));
AT(mag_workload, remove, 40, 8);
TYPE(mag_workload, remove,
     int32_t (*)(void *, const mag_op *, const char *, const char *, mag_error *));
AT(mag_workload, action, 48, 8);
TYPE(mag_workload, action,
     int32_t (*)(void *, const mag_op *, const char *, const char *, const char *, mag_bytes,
                 mag_bytes *, mag_error *));
SIZE(mag_workload, 56);

/* ---- mag_stats ---- */
AT(mag_stats, struct_size, 0, 4);
TYPE(mag_stats, struct_size, uint32_t);
AT(mag_stats, reserved0, 4, 4);
TYPE(mag_stats, reserved0, uint32_t);
AT(mag_stats, read, 8, 8);
TYPE(mag_stats, read, int32_t (*)(void *, const mag_op *, mag_bytes *, mag_error *));
SIZE(mag_stats, 16);

/* ---- mag_plan ---- */
AT(mag_plan, struct_size, 0, 4);
TYPE(mag_plan, struct_size, uint32_t);
AT(mag_plan, reserved0, 4, 4);
TYPE(mag_plan, reserved0, uint32_t);
AT(mag_plan, plan, 8, 8);
TYPE(mag_plan, plan, int32_t (*)(void *, const mag_op *, mag_bytes *, mag_error *));
SIZE(mag_plan, 16);

/* ---- mag_cert_ref ---- */
AT(mag_cert_ref, struct_size, 0, 4);
TYPE(mag_cert_ref, struct_size, uint32_t);
AT(mag_cert_ref, reserved0, 4, 4);
TYPE(mag_cert_ref, reserved0, uint32_t);
AT(mag_cert_ref, ref, 8, 256);
SIZE(mag_cert_ref, 264);

/* ---- mag_cert_sink ---- */
AT(mag_cert_sink, struct_size, 0, 4);
TYPE(mag_cert_sink, struct_size, uint32_t);
AT(mag_cert_sink, secret, 4, 4);
TYPE(mag_cert_sink, secret, uint32_t);
AT(mag_cert_sink, ctx, 8, 8);
TYPE(mag_cert_sink, ctx, void *);
AT(mag_cert_sink, part, 16, 8);
TYPE(mag_cert_sink, part, int32_t (*)(void *, uint32_t, mag_bytes));
SIZE(mag_cert_sink, 24);

/* ---- mag_cert_store ---- */
AT(mag_cert_store, struct_size, 0, 4);
TYPE(mag_cert_store, struct_size, uint32_t);
AT(mag_cert_store, reserved0, 4, 4);
TYPE(mag_cert_store, reserved0, uint32_t);
AT(mag_cert_store, put, 8, 8);
TYPE(mag_cert_store, put,
     int32_t (*)(void *, const mag_op *, const char *, mag_bytes, mag_cert_ref *, mag_error *));
AT(mag_cert_store, get, 16, 8);
TYPE(mag_cert_store, get,
     int32_t (*)(void *, const mag_op *, const mag_cert_ref *, uint32_t, mag_cert_sink *,
                 mag_error *));
AT(mag_cert_store, del, 24, 8);
TYPE(mag_cert_store, del, int32_t (*)(void *, const mag_op *, const mag_cert_ref *, mag_error *));
SIZE(mag_cert_store, 32);

/* ---- mag_cert_sign ---- */
AT(mag_cert_sign, struct_size, 0, 4);
TYPE(mag_cert_sign, struct_size, uint32_t);
AT(mag_cert_sign, reserved0, 4, 4);
TYPE(mag_cert_sign, reserved0, uint32_t);
AT(mag_cert_sign, sign_csr, 8, 8);
TYPE(mag_cert_sign, sign_csr,
     int32_t (*)(void *, const mag_op *, const mag_cert_ref *, mag_bytes, mag_bytes, mag_bytes *,
                 mag_error *));
SIZE(mag_cert_sign, 16);

/* ---- numbers ---- */
NUMBER(MAG_OK, 0);
NUMBER(MAG_AGAIN, 1);
NUMBER(MAG_E_INVALID, -1);
NUMBER(MAG_E_NOT_FOUND, -2);
NUMBER(MAG_E_EXISTS, -3);
NUMBER(MAG_E_BUSY, -4);
NUMBER(MAG_E_DENIED, -5);
NUMBER(MAG_E_AUTH, -6);
NUMBER(MAG_E_QUOTA, -7);
NUMBER(MAG_E_UNAVAILABLE, -8);
NUMBER(MAG_E_TIMEOUT, -9);
NUMBER(MAG_E_CANCELLED, -10);
NUMBER(MAG_E_UNSUPPORTED, -11);
NUMBER(MAG_E_PRECONDITION, -12);
NUMBER(MAG_E_INTERNAL, -13);
NUMBER(MAG_ERR_RETRYABLE, (1u << 0));
NUMBER(MAG_ERR_USER, (1u << 1));
NUMBER(MAG_ERR_OPERATOR, (1u << 2));
NUMBER(MAG_ERR_MAY_LEAK, (1u << 3));
NUMBER(MAG_OP_CREATE, 1);
NUMBER(MAG_OP_UPDATE, 2);
NUMBER(MAG_OP_DELETE, 3);
NUMBER(MAG_OP_SCALE, 4);
NUMBER(MAG_OP_HEALTH, 5);
NUMBER(MAG_OP_UPGRADE, 6);
NUMBER(MAG_OP_ROTATE_CA, 7);
NUMBER(MAG_OP_ROTATE_CREDENTIAL, 8);
NUMBER(MAG_OP_NODEGROUP_CREATE, 9);
NUMBER(MAG_OP_NODEGROUP_UPDATE, 10);
NUMBER(MAG_OP_NODEGROUP_DELETE, 11);
NUMBER(MAG_OP_VALIDATE, 12);
NUMBER(MAG_OP_QUERY, 13);
NUMBER(MAG_LOG_ERROR, 0);
NUMBER(MAG_LOG_WARNING, 1);
NUMBER(MAG_LOG_INFO, 2);
NUMBER(MAG_LOG_DEBUG, 3);
NUMBER(MAG_LOG_HOST_MISBEHAVING, 4);
NUMBER(MAG_OPF_RESUMED, (1u << 0));
NUMBER(MAG_OPF_CANCEL, (1u << 1));
NUMBER(MAG_OPF_ROLLBACK, (1u << 2));
NUMBER(MAG_OPF_FORCE, (1u << 3));
NUMBER(MAG_ABI_MAJOR, 1u);
NUMBER(MAG_PLUGIN_MAGIC, 0x4d41474eu);
NUMBER(MAG_CERT_CERTIFICATE, (1u << 0));
NUMBER(MAG_CERT_CHAIN, (1u << 1));
NUMBER(MAG_CERT_KEY, (1u << 2));
NUMBER(MAG_CERT_PASSPHRASE, (1u << 3));

/* ---- mag_inventory (an additional interface) ---- */
AT(mag_inventory, struct_size, 0, 4);
TYPE(mag_inventory, struct_size, uint32_t);
AT(mag_inventory, reserved0, 4, 4);
TYPE(mag_inventory, reserved0, uint32_t);
AT(mag_inventory, list, 8, 8);
TYPE(mag_inventory, list, int32_t (*)(void *, const mag_op *, mag_bytes *, mag_error *));
AT(mag_inventory, remove, 16, 8);
TYPE(mag_inventory, remove,
     int32_t (*)(void *, const mag_op *, const char *, const char *, mag_error *));
SIZE(mag_inventory, 24);

/* ---- the entry ---- */
_Static_assert(_Generic(&mag_plugin_entry, const mag_plugin *(*)(uint32_t, uint32_t) : 1,
                        default : 0),
               "mag_plugin_entry has another type");
_Static_assert(_Generic((mag_plugin_entry_fn)0, const mag_plugin *(*)(uint32_t, uint32_t) : 1,
                        default : 0),
               "mag_plugin_entry_fn has another type");
