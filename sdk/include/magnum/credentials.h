/* magnum/credentials.h - "mag.coe.credentials/1": what a user's client needs. Optional. */
#ifndef MAGNUM_CREDENTIALS_H
#define MAGNUM_CREDENTIALS_H

#include "magnum/plugin.h"

#define MAG_IFACE_CREDENTIALS "mag.coe.credentials/1"

typedef struct mag_credentials {
    uint32_t struct_size;
    uint32_t reserved0;
    /* *ret_json: {"files": {name: text}, "env": {NAME: value}}, where ${dir}, ${ca}, ${cert} and
     * ${key} stand for the client's paths. Read only. */
    int32_t (*client_config)(void *self, const mag_op *op, mag_bytes *ret_json, mag_error *err);
} mag_credentials;

#endif
