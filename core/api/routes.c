/* The route table. Literal segments stand before stars; the order matters only for that.
 * See router.h; handlers are in the resource files. */
#include "api/api_internal.h"

#define PAGE "limit,marker,sort_dir,sort_key"
#define GET_(p, h) .method = "GET", .pattern = (p), .handler = (h)
#define POST_(p, h) .method = "POST", .pattern = (p), .handler = (h)
#define PATCH_(p, h) .method = "PATCH", .pattern = (p), .handler = (h)
#define DELETE_(p, h) .method = "DELETE", .pattern = (p), .handler = (h)
#define OBJECT(t) .body = BODY_OBJECT, .attrs = &(t)
#define JSON_PATCH(r) .body = BODY_PATCH, .patch = &(r)
#define MISSING(m, p, a) .method = (m), .pattern = (p), .missing = (a)
#define SURPLUS(p, t) .method = "POST", .pattern = (p), .surplus = &(t)
#define MARKER(p) .method = "GET", .pattern = (p), .marker = true
#define CLOSED(p) .method = NULL, .pattern = (p)
#define NG "clusters/*/nodegroups"
#define FROM(version, what) .min_minor = (version), .name = (what)

const struct route api_routes[] = {
    {GET_("clusters", api_cluster_list), .query = PAGE},
    {GET_("clusters/detail", api_cluster_detail), .query = PAGE},
    {GET_("clusters/*", api_cluster_show)},
    {POST_("clusters", api_cluster_create), OBJECT(attrs_cluster), .query = "plan"},
    {PATCH_("clusters/*", api_cluster_patch), JSON_PATCH(patch_cluster), .query = "plan,rollback"},
    {DELETE_("clusters/*", api_cluster_delete), .query = "force,plan"},
    {MISSING("PATCH", "clusters", "cluster_ident")},
    {MISSING("DELETE", "clusters", "cluster_ident")},
    {SURPLUS("clusters/*", attrs_cluster)},
    {MARKER("clusters/*/detail")},
    {MARKER("*/clusters")},
    {POST_("clusters/*/actions/resize", api_cluster_resize), OBJECT(attrs_resize), .query = "plan",
     FROM(7, "resize")},
    {POST_("clusters/*/actions/upgrade", api_cluster_upgrade), OBJECT(attrs_upgrade),
     .query = "plan", FROM(7, "upgrade")},
    {CLOSED("clusters/*/actions")},
    {CLOSED("clusters/*/actions/*")},
    {GET_("clusters/*/operations", api_cluster_operations), .query = "limit,marker"},
    {GET_("clusters/*/events", api_cluster_events), .query = "after,follow,limit"},

    {GET_(NG, api_nodegroup_list), .query = PAGE ",role", FROM(9, "get_one")},
    {GET_(NG "/*", api_nodegroup_show), FROM(9, "get_one")},
    {POST_(NG, api_nodegroup_create), OBJECT(attrs_nodegroup), .query = "plan", FROM(9, "post")},
    {PATCH_(NG "/*", api_nodegroup_patch), JSON_PATCH(patch_nodegroup), .query = "plan",
     FROM(9, "patch")},
    {DELETE_(NG "/*", api_nodegroup_delete), .query = "plan", FROM(9, "delete")},
    {MISSING("PATCH", NG, "nodegroup_id"), FROM(9, "patch")},
    {MISSING("DELETE", NG, "nodegroup_id"), FROM(9, "delete")},
    {SURPLUS(NG "/*", attrs_nodegroup), FROM(9, "post")},

    {GET_("clustertemplates", api_template_list), .query = PAGE},
    {GET_("clustertemplates/detail", api_template_detail), .query = PAGE},
    {GET_("clustertemplates/*", api_template_show)},
    {POST_("clustertemplates", api_template_create), OBJECT(attrs_template)},
    {PATCH_("clustertemplates/*", api_template_patch), JSON_PATCH(patch_template)},
    {DELETE_("clustertemplates/*", api_template_delete)},
    {MISSING("PATCH", "clustertemplates", "cluster_template_ident")},
    {MISSING("DELETE", "clustertemplates", "cluster_template_ident")},
    {SURPLUS("clustertemplates/*", attrs_template)},
    {MARKER("clustertemplates/*/detail")},
    {MARKER("*/clustertemplates")},

    /* 15.0.1 alone: api.c knows */
    {GET_("bays", api_cluster_list), .query = PAGE},
    {GET_("bays/detail", api_cluster_detail), .query = PAGE},
    {GET_("bays/*", api_cluster_show)},
    {POST_("bays", api_cluster_create), OBJECT(attrs_bay)},
    {PATCH_("bays/*", api_cluster_patch), JSON_PATCH(patch_bay), .query = "rollback"},
    {DELETE_("bays/*", api_cluster_delete)},
    {MISSING("PATCH", "bays", "bay_ident")},
    {MISSING("DELETE", "bays", "bay_ident")},
    {SURPLUS("bays/*", attrs_bay)},
    {MARKER("bays/*/detail")},
    {GET_("baymodels", api_template_list), .query = PAGE},
    {GET_("baymodels/detail", api_template_detail), .query = PAGE},
    {GET_("baymodels/*", api_template_show)},
    {POST_("baymodels", api_template_create), OBJECT(attrs_baymodel)},
    {PATCH_("baymodels/*", api_template_patch), JSON_PATCH(patch_baymodel)},
    {DELETE_("baymodels/*", api_template_delete)},
    {MISSING("PATCH", "baymodels", "baymodel_ident")},
    {MISSING("DELETE", "baymodels", "baymodel_ident")},
    {SURPLUS("baymodels/*", attrs_baymodel)},
    {MARKER("baymodels/*/detail")},

    {GET_("certificates", api_certificate_list), .query = "expiring,limit,marker",
     .only_with = "expiring"},
    {GET_("certificates/*", api_certificate_show), .query = "ca_cert_type"},
    {GET_("certificates/*/*", api_certificate_show)},
    {POST_("certificates", api_certificate_sign), .body = BODY_NAMES, .attrs = &attrs_certificate},
    {PATCH_("certificates/*", api_certificate_rotate)},
    {MISSING("PATCH", "certificates", "cluster_ident")},
    {SURPLUS("certificates/*", attrs_certificate)},

    {PATCH_("credentials/*", api_credential_rotate), FROM(12, "patch")},
    {MISSING("PATCH", "credentials", "cluster_ident"), FROM(12, "patch")},
    {CLOSED("credentials")},

    {GET_("quotas", api_quota_list), .query = PAGE ",all_tenants"},
    {GET_("quotas/*/*", api_quota_show)},
    {POST_("quotas", api_quota_create), OBJECT(attrs_quota)},
    {PATCH_("quotas/*/*", api_quota_update), OBJECT(attrs_quota_update)},
    {DELETE_("quotas/*/*", api_quota_delete)},
    {MISSING("GET", "quotas/*", "resource")},
    {MISSING("PATCH", "quotas/*", "resource")},
    {MISSING("DELETE", "quotas/*", "resource")},
    {MISSING("PATCH", "quotas", "project_id")},
    {MISSING("DELETE", "quotas", "project_id")},
    {SURPLUS("quotas/*", attrs_quota)},

    {GET_("stats", api_stats_show), .query = "project_id,type"},
    {CLOSED("stats/*")},
    {GET_("mservices", api_mservice_list)},
    {CLOSED("mservices/*")},

    {GET_("federations", api_federation_list), .query = PAGE},
    {GET_("federations/detail", api_federation_detail), .query = PAGE},
    {GET_("federations/*", api_federation_show)},
    {POST_("federations", api_federation_create), OBJECT(attrs_federation)},
    {PATCH_("federations/*", api_federation_patch), JSON_PATCH(patch_federation),
     .query = "rollback"},
    {DELETE_("federations/*", api_federation_delete)},
    {MISSING("PATCH", "federations", "federation_ident")},
    {MISSING("DELETE", "federations", "federation_ident")},
    {SURPLUS("federations/*", attrs_federation)},
    {MARKER("federations/*/detail")},

    {GET_("operations", api_operation_list), .query = "limit,marker"},
    {GET_("operations/*", api_operation_show)},
    {GET_("operations/*/events", api_operation_events), .query = "after,follow,limit"},
    {POST_("operations/*/cancel", api_operation_cancel)},
    {POST_("operations/*/retry", api_operation_retry)},
    {GET_("drivers", api_driver_list)},
    {GET_("drivers/*", api_driver_show)},
};
const size_t api_routes_n = ARRAY_LEN(api_routes);
