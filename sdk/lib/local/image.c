/* See image.h. */
#include "lib/local/image.h"

#include "lib/cleanup.h"
#include "lib/fail.h"
#include "lib/json.h"
#include "lib/local/files.h"
#include "lib/local/spawn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { RUN_MS = 20000 };

/* ash reaps whatever is handed to it as process 1, and ends at once when told. */
static const char wait_for_ever[] =
    "trap 'exit 0' TERM INT; while :; do /bin/busybox sleep 2147483647 & wait $!; done";

struct making {
    const char *path, *work;
    mag_error *err;
};

static int32_t tool(const struct making *m, const char *name, char ret[512])
{
    if (mag_find_program(m->path, name, ret, 512))
        return MAG_OK;
    return mag_fail(m->err, MAG_E_NOT_FOUND, MAG_ERR_OPERATOR, "ProgramMissing",
                    "apt-get install tar coreutils", "%s is not installed", name);
}

/* The same input gives the same bytes, and so the same image id on every machine. */
static int32_t pack(const struct making *m, const char *out, const char *dir,
                    const char *const names[])
{
    char tar[512];
    const char *argv[24] = {tar,          "--numeric-owner",
                            "--owner=0",  "--group=0",
                            "--mtime=@0", "--sort=name",
                            "-C",         dir,
                            "-cf",        out};
    int32_t rc = tool(m, "tar", tar);
    for (size_t i = 0; names[i]; i++)
        argv[10 + i] = names[i];
    return rc == MAG_OK ? mag_run(argv, NULL, -1, RUN_MS, NULL, m->err) : rc;
}

static int32_t digest(const struct making *m, const char *file, char ret[65])
{
    char program[512];
    _mag_free_ char *out = NULL;
    int32_t rc = tool(m, "sha256sum", program);
    const char *const argv[] = {program, "--", file, NULL};
    if (rc == MAG_OK)
        rc = mag_run(argv, NULL, -1, RUN_MS, &out, m->err);
    if (rc == MAG_OK && strlen(out) < 64)
        rc = mag_fail(m->err, MAG_E_UNAVAILABLE, MAG_ERR_OPERATOR, "BadAnswer", NULL,
                      "sha256sum said '%s'", out);
    if (rc == MAG_OK)
        (void)snprintf(ret, 65, "%.64s", out);
    return rc;
}

static int32_t put_json(const struct making *m, const char *name, json_t *doc)
{
    char path[4096];
    _mag_json_ json_t *mine = doc;
    _mag_free_ char *text = mine ? mag_json_dump(mine) : NULL;
    if (!text)
        return mag_fail_nomem(m->err);
    int32_t rc = mag_path(path, sizeof path, m->err, "%s/%s", m->work, name);
    return rc == MAG_OK ? mag_write_file(path, mag_text(text), 0644, m->err) : rc;
}

static int32_t make_root(const struct making *m, const char *busybox)
{
    char bin[4096], path[4096];
    _mag_free_ char *program = NULL;
    struct stat st;
    int32_t rc = mag_path(bin, sizeof bin, m->err, "%s/root/bin", m->work);
    if (rc == MAG_OK)
        rc = mag_mkdirs(bin, 0755, m->err);
    if (rc == MAG_OK && stat(busybox, &st) < 0)
        rc = mag_fail_errno(m->err, errno, "Can't read %s", busybox);
    FILE *f = rc == MAG_OK ? fopen(busybox, "re") : NULL;
    if (rc == MAG_OK && (!f || !(program = malloc((size_t)st.st_size)) ||
                         fread(program, 1, (size_t)st.st_size, f) != (size_t)st.st_size))
        rc = mag_fail_errno(m->err, errno ? errno : EIO, "Can't read %s", busybox);
    if (f)
        (void)fclose(f);
    if (rc == MAG_OK)
        rc = mag_path(path, sizeof path, m->err, "%s/busybox", bin);
    if (rc == MAG_OK)
        rc = mag_write_file(path, (mag_bytes){program, (uint64_t)st.st_size}, 0755, m->err);
    if (rc == MAG_OK && chmod(path, 0755) < 0) /* whatever the umask is */
        rc = mag_fail_errno(m->err, errno, "Can't make %s executable", path);
    if (rc == MAG_OK)
        rc = mag_path(path, sizeof path, m->err, "%s/sh", bin);
    if (rc == MAG_OK && symlink("busybox", path) < 0)
        rc = mag_fail_errno(m->err, errno, "Can't make %s", path);
    return rc;
}

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "unknown"
#endif

static int32_t make_parts(const struct making *m, const char *name)
{
    static const char *const all[] = {".", NULL};
    static const char epoch[] = "1970-01-01T00:00:00Z";
    char root[4096], path[4096], sum[65];
    int32_t rc = mag_path(root, sizeof root, m->err, "%s/root", m->work);
    if (rc == MAG_OK)
        rc = mag_path(path, sizeof path, m->err, "%s/layer.tar", m->work);
    if (rc == MAG_OK)
        rc = pack(m, path, root, all);
    if (rc == MAG_OK)
        rc = digest(m, path, sum);
    if (rc != MAG_OK)
        return rc;
    char diff_id[80];
    (void)snprintf(diff_id, sizeof diff_id, "sha256:%s", sum);
    rc = put_json(m, "config.json",
                  json_pack("{s:s, s:s, s:s, s:{s:[s], s:[s,s,s]}, s:{s:s, s:[s]}, s:[{s:s, s:s}]}",
                            "architecture", ARCHITECTURE, "os", "linux", "created", epoch, "config",
                            "Env", "PATH=/bin", "Cmd", "/bin/sh", "-c", wait_for_ever, "rootfs",
                            "type", "layers", "diff_ids", diff_id, "history", "created", epoch,
                            "created_by", "magnum"));
    if (rc == MAG_OK)
        rc = put_json(m, "manifest.json",
                      json_pack("[{s:s, s:[s], s:[s]}]", "Config", "config.json", "RepoTags", name,
                                "Layers", "layer.tar"));
    return rc;
}

int32_t mag_image_busybox(const char *file, const char *name, const char *busybox, const char *path,
                          mag_error *err)
{
    char work[4096], tmp[4096];
    if (access(file, F_OK) == 0)
        return MAG_OK;
    /* A directory of this process alone: two clusters may want the image at the same time. */
    int32_t rc = mag_path(work, sizeof work, err, "%s.work.%d", file, (int)getpid());
    if (rc == MAG_OK)
        rc = mag_remove_tree(work, err);
    if (rc == MAG_OK)
        rc = mag_path(tmp, sizeof tmp, err, "%s/image.tar", work);
    struct making m = {path, work, err};
    if (rc == MAG_OK)
        rc = make_root(&m, busybox);
    if (rc == MAG_OK)
        rc = make_parts(&m, name);
    static const char *const names[] = {"manifest.json", "config.json", "layer.tar", NULL};
    if (rc == MAG_OK)
        rc = pack(&m, tmp, work, names);
    if (rc == MAG_OK && rename(tmp, file) < 0)
        rc = mag_fail_errno(err, errno, "Can't make %s", file);
    (void)mag_remove_tree(work, NULL);
    return rc == MAG_OK ? rc : mag_fail_wrap(err, rc, "Image %s", name);
}
