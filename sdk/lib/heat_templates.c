/* See heat_cluster.h: the HOT files of a driver, from directories of this machine. In a build tree
 * they are where an installation has them, seen from the program that runs the driver. */
#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/heat_cluster.h"
#include "lib/heat_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifndef MAGNUM_DATADIR
#define MAGNUM_DATADIR "/usr/share/magnum"
#endif
enum { PATH_SIZE = 1024, FILE_MAX = 262144, FILES_MAX = 64 };

static void dirp(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static int32_t cannot(mag_error *err, const char *what, const char *path)
{
    return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "TemplatesMissing",
                    "install Magnum's data files, or set template_dir of this driver",
                    "cannot %s %s: %s", what, path, strerror(errno));
}

void heat_data_dir(const char *folder, char ret[HEAT_PATH])
{
    static const char *const beside[] = {"../share/magnum", "../../share/magnum"};
    char self[PATH_SIZE / 2];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; slash && i < MAG_LEN(beside); i++) {
        (void)snprintf(ret, HEAT_PATH, "%s/%s/%s", self, beside[i], folder);
        if (access(ret, R_OK | X_OK) == 0)
            return;
    }
    (void)snprintf(ret, HEAT_PATH, "%s/%s", MAGNUM_DATADIR, folder);
}

int32_t heat_read_file(const char *path, char **ret, mag_error *err)
{
    _mag_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return cannot(err, "read", path);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "TemplateTooLarge", NULL,
                        "%s is no file of at most %d bytes", path, FILE_MAX);
    _mag_free_ char *text = malloc((size_t)st.st_size + 1);
    if (!text)
        return mag_fail_nomem(err);
    size_t used = 0;
    while (used < (size_t)st.st_size) {
        ssize_t n = read(fd, text + used, (size_t)st.st_size - used);
        if (n < 0)
            return cannot(err, "read", path);
        if (n == 0)
            break;
        used += (size_t)n;
    }
    text[used] = '\0';
    *ret = MAG_TAKE(text);
    return MAG_OK;
}

static bool is_template(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && strcmp(dot, ".yaml") == 0 && name[0] != '.';
}

static int32_t add_files(const char *dir, json_t *files, mag_error *err)
{
    _mag_cleanup_(dirp) DIR *d = opendir(dir);
    if (!d)
        return cannot(err, "open", dir);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        _mag_free_ char *text = NULL;
        char path[PATH_SIZE + sizeof e->d_name];
        if (!is_template(e->d_name))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        int32_t rc = heat_read_file(path, &text, err);
        if (rc != MAG_OK)
            return rc;
        json_t *value = json_string(text);
        if (!value)
            return mag_fail(err, MAG_E_INVALID, MAG_ERR_OPERATOR, "BadTemplate", NULL,
                            "%s is not UTF-8", path);
        if (json_object_size(files) >= FILES_MAX ||
            json_object_set_new(files, e->d_name, value) < 0)
            return mag_fail_nomem(err);
    }
    return MAG_OK;
}

int32_t mag_heat_templates(const mag_host *host, const char *coe, const char *main,
                           json_t **ret_files, char **ret_main, mag_error *err)
{
    char data[HEAT_PATH], shared[PATH_SIZE + 32], own[PATH_SIZE + 32];
    *ret_files = NULL;
    *ret_main = NULL;
    _mag_json_ json_t *files = json_object();
    if (!files)
        return mag_fail_nomem(err);
    heat_data_dir("heat", data);
    (void)snprintf(shared, sizeof shared, "%s/shared", data);
    (void)snprintf(own, sizeof own, "%s/%.30s", data, coe);
    const char *dir = mag_config(host, "template_dir", own);
    int32_t rc = add_files(shared, files, err);
    if (rc == MAG_OK)
        rc = add_files(dir, files, err);
    if (rc != MAG_OK)
        return rc;
    const char *text = json_string_value(json_object_get(files, main));
    if (!text)
        return mag_fail(err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "TemplatesMissing",
                        "look at template_dir of this driver", "%s has no file %s", dir, main);
    *ret_main = strdup(text);
    if (!*ret_main)
        return mag_fail_nomem(err);
    (void)json_object_del(files, main);
    *ret_files = MAG_TAKE(files);
    return MAG_OK;
}
