/* See local_front.h. The serial is made from the content, so that equal files have equal serials.
 */
#include "local_front.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/json.h"
#include "lib/local/files.h"

#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, SERIAL_MAX = 32, PATH_ROOM = MAG_LOCAL_BASE_MAX + 32 };
#define SERIAL_LINE "# serial "
#define TRUSTED_LINE "# trusted\n"

static void wipe_text(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void local_front_done(struct local_front *f)
{
    wipe_text(&f->text);
    *f = (struct local_front){0};
}

int32_t local_front_read(const char *base, struct local_front *ret, mag_error *err)
{
    char path[PATH_ROOM], *text = NULL;
    (void)snprintf(path, sizeof path, "%s/front.pem", base);
    int32_t rc = mag_read_file(path, FILE_MAX, &text, err);
    if (rc != MAG_OK)
        return rc;
    char *end = strchr(text, '\n'), *mark = end ? strstr(end + 1, TRUSTED_LINE) : NULL;
    if (strncmp(text, SERIAL_LINE, strlen(SERIAL_LINE)) != 0 || !mark) {
        wipe_text(&text);
        return mag_fail(err, MAG_E_NOT_FOUND, 0, "NoFront", NULL, "%s is not usable", path);
    }
    *end = *mark = '\0';
    *ret = (struct local_front){.text = text,
                                .serial = text + strlen(SERIAL_LINE),
                                .material = end + 1,
                                .trusted = mark + strlen(TRUSTED_LINE)};
    return MAG_OK;
}

/* FNV-1a: tells contents apart, protects nothing. */
static uint64_t mix(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return h;
}

int32_t local_front_write(const char *base, const char *material, const char *trusted,
                          mag_error *err)
{
    char path[PATH_ROOM], *text = NULL;
    uint64_t h = mix(mix(UINT64_C(14695981039346656037), material), trusted);
    (void)snprintf(path, sizeof path, "%s/front.pem", base);
    if (asprintf(&text, SERIAL_LINE "%016llx\n%s" TRUSTED_LINE "%s", (unsigned long long)h,
                 material, trusted) < 0)
        return mag_fail_nomem(err);
    int32_t rc = mag_write_file(path, mag_text(text), 0600, err);
    wipe_text(&text);
    return rc;
}

int32_t local_front_in_use(const char *base, mag_error *err)
{
    static const char failed[] = "error: ";
    char path[PATH_ROOM];
    struct local_front f = {0};
    _mag_free_ char *loaded = NULL;
    (void)snprintf(path, sizeof path, "%s/front.loaded", base);
    int32_t rc = local_front_read(base, &f, err);
    if (rc != MAG_OK)
        return rc;
    if (mag_read_file(path, SERIAL_MAX + 512, &loaded, NULL) != MAG_OK)
        rc = MAG_AGAIN;
    else if (strncmp(loaded, failed, strlen(failed)) == 0)
        rc = mag_fail(err, MAG_E_INTERNAL, MAG_ERR_OPERATOR | MAG_ERR_RETRYABLE, "BadCertificates",
                      NULL, "%s can't be used: %s", path, loaded + strlen(failed));
    else if (strcmp(loaded, f.serial) != 0)
        rc = MAG_AGAIN;
    local_front_done(&f);
    return rc;
}
