/* Rows of `certificate` for bundles that only columns of `cluster` name: what conductors do as they
 * come by such a cluster (db_certificate.c) and an online migration does for all (db_online.c). */
#ifndef MAGNUM_DB_CERTIFICATE_INTERNAL_H
#define MAGNUM_DB_CERTIFICATE_INTERNAL_H

/* rows: a relation with the columns of cluster; which: more conditions, with c for its rows */
#define ADOPT_CERTIFICATES(rows, which)                                                            \
    "INSERT INTO certificate (cluster_id, role, serial, manager, project_id, ref)"                 \
    " SELECT c.uuid, v.role, 1, coalesce(nullif(c.cert_manager, ''), 'x509keypair'),"              \
    " c.project_id, v.ref FROM " rows " c, LATERAL (VALUES ('ca', c.ca_cert_ref),"                 \
    " ('etcd-ca', c.etcd_ca_cert_ref), ('front-proxy-ca', c.front_proxy_ca_cert_ref),"             \
    " ('client', c.magnum_cert_ref)) AS v(role, ref) WHERE v.ref <> ''" which                      \
    " ON CONFLICT (cluster_id, role, serial, manager) DO NOTHING"
/* of c: nobody has given it any yet */
#define NO_CERTIFICATES " NOT EXISTS (SELECT FROM certificate x WHERE x.cluster_id = c.uuid)"

#endif
