/* The token of who asked, kept for the stage that makes the cluster's trust: the conductors seal it
 * with their key, so what is stored tells the database's readers nothing. See api_internal.h. */
#include "api/api_internal.h"

static bool makes_trusts(const struct config *cfg)
{
    return str_eq(cfg->auth_strategy, "keystone") &&
           !(str_blank(cfg->trust_trustee_domain_id) && str_blank(cfg->trust_trustee_domain_name));
}

int operation_seal_token(struct api_call *c, enum op_kind kind, struct operation *op, struct err *e)
{
    struct err why = ERR_INIT;
    _cleanup_json_ json_t *result = NULL;
    if ((kind != OP_CREATE && kind != OP_DELETE) || !makes_trusts(c->api->cfg) || !c->who.token)
        return 0;
    _cleanup_json_ json_t *params =
        json_pack("{s:s, s:s}", "operation", op->id, "token", c->who.token);
    int rc = conductor_call(c, "token.seal", params, &result, &why);
    const char *sealed = jsonx_str(result, "sealed");
    if (rc == 0 && sealed) {
        op->token_sealed = str_dup(sealed);
        return op->token_sealed ? 0 : err_nomem(e);
    }
    if (kind == OP_DELETE) { /* which has the trust itself, as a rule */
        c->show_5xx = false;
        return 0;
    }
    return err_set(e, rc ? rc : ERR_INTERNAL, "The trust of the cluster can't be prepared: %s",
                   why.msg);
}
