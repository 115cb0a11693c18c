/* User data of a node's first boot: files, systemd units and one script, as cloud-config
 * (cloud-init) or as Ignition 3 JSON, chosen by the image's os_distro. Files are packed (gzip)
 * unless values have yet to come in: those stay readable for Heat's str_replace. A library of its
 * own, magnum_userdata, since it needs zlib. Neighbours: heat, drivers. */
#ifndef MAGNUM_SDK_LIB_USERDATA_H
#define MAGNUM_SDK_LIB_USERDATA_H

#include <magnum/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Nova takes 65,535 characters of base64: so many bytes of text. */
#define MAG_USERDATA_LIMIT ((size_t)65535 / 4 * 3)

enum mag_userdata_format {
    MAG_USERDATA_CLOUD_CONFIG = 1, /* debian, fedora, fedora-atomic, ubuntu */
    MAG_USERDATA_IGNITION = 2,     /* fedora-coreos, flatcar */
};
/* MAG_E_INVALID (operator, "UnknownDistro") names the distributions that are known. */
int32_t mag_userdata_format_of(const char *os_distro, enum mag_userdata_format *ret,
                               mag_error *err);

struct mag_userdata_file {
    const char *path; /* absolute, at most 99 bytes; its directory is made */
    const char *text; /* UTF-8 without NUL */
    unsigned mode;    /* e.g. 0600 */
    /* A file of NAME='text' lines and comments, with placeholders like __NODE_IP__ in the texts
     * that somebody who knows neither YAML nor JSON replaces later, by values of one line without
     * quotes and backslashes. It is not packed. With Ignition it travels as a unit that is never
     * started (a data URL could not carry '%' and '#') and becomes a file before the script runs.
     */
    bool placeholders;
};

struct mag_userdata_unit {
    const char *name; /* "x.service", "x.timer" */
    const char *text;
    bool enabled; /* enabled and, on the first boot, started */
};

/* What a node shall get. Borrows everything. */
struct mag_userdata {
    const struct mag_userdata_file *files;
    size_t n_files;
    const struct mag_userdata_unit *units;
    size_t n_units;
    const char *script; /* one of the files: run as root by magnum-boot.service at every boot, after
                         * the network is up (it knows what it did before), and after it has
                         * unpacked the other files, which then travel as one archive; or NULL */
    size_t reserve;     /* bytes that placeholders may grow by, beyond the limit's check */
};

/* *ret: the text; the caller frees. MAG_E_INVALID: "UserDataTooLarge" (user: fewer or smaller
 * parts), or "BadUserData" for a file that can't be (relative path, twice the same, no UTF-8, a
 * placeholder file whose other text collides with its format). */
int32_t mag_userdata_render(const struct mag_userdata *want, enum mag_userdata_format format,
                            char **ret, mag_error *err);

/* KEY='value' lines for a POSIX shell, sorted, from an object of texts, integers and booleans
 * ("true", "false"); null is left out. Keys are [A-Z_][A-Z0-9_]*. *ret: the caller frees. */
int32_t mag_userdata_params(const json_t *values, char **ret, mag_error *err);

#endif
