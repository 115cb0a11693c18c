/* What a rotation leaves in the cluster's directory, so that tests can see whom its nodes trust:
 * rotated.json = {"trusted": PEM bundle, "certificate": PEM, issued at that time, "phase"}. A host
 * without certificates leaves nothing. See sim.h. */
#include "sim.h"

int32_t sim_note_trust(const struct sim *s, const mag_op *op, const char *phase, mag_error *err)
{
    char dir[SIM_PATH];
    json_t *issued = NULL;
    if (!s->services.cert || !sim_cluster_dir(s, op->cluster_id, dir))
        return MAG_OK;
    _mag_json_ json_t *request =
        json_pack("{s:s, s:s, s:[s]}", "ca", "kubernetes", "cn", "simulator", "usages", "server");
    if (!request)
        return mag_fail_nomem(err);
    int32_t rc = mag_cert_issue(&s->services, op, request, &issued, err);
    if (rc == MAG_E_UNSUPPORTED)
        return MAG_OK;
    if (rc != MAG_OK)
        return rc;
    _mag_json_ json_t *doc =
        json_pack("{s:s, s:O, s:O}", "phase", phase, "trusted", json_object_get(issued, "ca"),
                  "certificate", json_object_get(issued, "certificate"));
    rc = doc ? sim_write_file(dir, "rotated.json", doc, err) : mag_fail_nomem(err);
    mag_wipe_json(&issued);
    return rc;
}
