/* For those who write drivers: `new` copies the SDK's template, `check` runs the conformance kit
 * over an installed driver (or takes a verdict from elsewhere) and keeps what it found. See
 * driver_manage.h. */
#include "cmd/driver_manage.h"

#include "base/io.h"
#include "base/jsonx.h"
#include "db/db_driver.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { TEMPLATE_MAX = 1 << 20 };

/* ---- check ---- */
/* The program beside this one. */
static int kit_program(char ret[4096], struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", ret, 4000);
    ret[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(ret, '/');
    if (!slash)
        return err_set(e, ERR_CONFIG, "this program's directory is not known");
    strcpy(slash + 1, "magnum-driver-check");
    return access(ret, X_OK) == 0
               ? 0
               : err_set(e, ERR_CONFIG, "%s is not there: install the SDK (libmagnum-sdk-dev)",
                         ret);
}

/* Its own output is for whoever looks; the verdict goes to a file. */
static int run_kit(const struct request *r, const struct plugin *p, const char *verdict,
                   struct err *e)
{
    char program[4096];
    pid_t pid = 0;
    int status = 0, rc = kit_program(program, e), n = 0;
    char **argv = rc ? NULL : calloc((size_t)r->n_args + 4, sizeof *argv);
    if (!argv)
        return rc ? rc : err_nomem(e);
    argv[n++] = program;
    argv[n++] = (char *)"--json";
    argv[n++] = (char *)(uintptr_t)verdict;
    for (int i = 1; i < r->n_args; i++)
        argv[n++] = r->args[i];
    argv[n++] = p->manifest_path;
    int bad = posix_spawn(&pid, program, NULL, NULL, argv, environ);
    free(argv);
    if (bad)
        return err_errno(e, bad, "cannot start %s", program);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        return err_set(e, ERR_INVALID, "the kit could not run (status %d)", status);
    return 0;
}

static int keep(const struct request *r, const struct plugin *p, const char *file, struct err *e)
{
    _cleanup_json_ json_t *kept = NULL;
    char who[WHO];
    who_am_i(who, sizeof who);
    int rc = verdict_read(r->cfg, p, file, &kept, e);
    if (rc == 0 && r->db)
        rc = db_driver_verdict(r->db, p->id, p->version, p->sha256, kept, who, e);
    if (rc != 0)
        return rc;
    const char *signer = jsonx_str(kept, "signed_by");
    printf("# %s: %s, %s%s\n", p->ref, jsonx_str(kept, "result"),
           signer ? "signed by " : "unsigned", signer ? signer : "");
    return jsonx_int(kept, "failed", 0) ? err_set(e, ERR_INVALID, "%lld checks of %s failed",
                                                  (long long)jsonx_int(kept, "failed", 0), p->ref)
                                        : 0;
}

/* The verdict of a run of our own, and its signature when one was asked for, are not kept as files.
 */
static int check_here(const struct request *r, const struct plugin *p, struct err *e)
{
    char dir[] = "/tmp/magnum-verdict-XXXXXX";
    if (!mkdtemp(dir))
        return err_errno(e, errno, "cannot make %s", dir);
    _cleanup_free_ char *file = str_fmt("%s/verdict.json", dir),
                        *sig = str_fmt("%s/verdict.json.sig", dir);
    int rc = file && sig ? run_kit(r, p, file, e) : err_nomem(e);
    if (rc == 0)
        rc = keep(r, p, file, e);
    if (file)
        (void)unlink(file);
    if (sig)
        (void)unlink(sig);
    (void)rmdir(dir);
    return rc;
}

int do_check(struct request *r, struct err *e)
{
    struct driver_info i;
    int rc = driver_info_load(r->cfg, r->db, &i, e);
    if (rc != 0)
        return rc;
    const struct plugin *p = driver_info_plugin(&i, r->arg);
    if (!p || p->problem)
        rc = err_set(e, p ? ERR_INVALID : ERR_NOT_FOUND, "%s%s",
                     p ? "it can't be used: " : "there is no such driver on this machine: ",
                     p ? p->problem : r->arg);
    else if (r->verdict)
        rc = keep(r, p, r->verdict, e);
    else
        rc = check_here(r, p, e);
    driver_info_done(&i);
    return rc;
}

/* ---- new ---- */
struct names {
    const char *name, *id, *vendor;
};

static int fill_in(const char *text, const struct names *n, struct str *ret, struct err *e)
{
    const struct {
        const char *mark, *text;
    } marks[] = {{"@NAME@", n->name}, {"@ID@", n->id}, {"@VENDOR@", n->vendor}};
    while (*text) {
        size_t i = 0, plain = strcspn(text, "@");
        str_append_n(ret, text, plain);
        text += plain;
        while (i < ARRAY_LEN(marks) && !str_starts(text, marks[i].mark))
            i++;
        if (i < ARRAY_LEN(marks)) {
            str_append(ret, marks[i].text);
            text += strlen(marks[i].mark);
        } else if (*text) {
            str_append_c(ret, *text++);
        }
    }
    return ret->oom ? err_nomem(e) : 0;
}

static int copy_tree(const char *from, const char *to, const struct names *n, struct err *e);

static int copy_entry(const char *from, const char *to, const char *file, const struct names *n,
                      struct err *e)
{
    _cleanup_str_ struct str name = STR_INIT, content = STR_INIT;
    _cleanup_free_ char *source = str_fmt("%s/%s", from, file), *text = NULL;
    struct stat st;
    size_t len = 0;
    int rc = fill_in(file, n, &name, e);
    _cleanup_free_ char *target = rc ? NULL : str_fmt("%s/%s", to, str_text(&name));
    if (!source || !target)
        return err_nomem(e);
    if (stat(source, &st) < 0)
        return err_errno(e, errno, "cannot look at %s", source);
    if (S_ISDIR(st.st_mode))
        return copy_tree(source, target, n, e);
    rc = io_read_file(source, TEMPLATE_MAX, &text, &len, e);
    if (rc == 0)
        rc = fill_in(text, n, &content, e);
    return rc ? rc : io_write_file(target, str_text(&content), content.len, 0644, e);
}

static int copy_tree(const char *from, const char *to, const struct names *n, struct err *e)
{
    struct dirent **files = NULL;
    int count = scandir(from, &files, NULL, alphasort);
    if (count < 0)
        return err_errno(e, errno, "cannot read the template %s", from);
    int rc = io_mkdirs(to, 0755, e);
    for (int i = 0; i < count; i++) {
        if (rc == 0 && files[i]->d_name[0] != '.')
            rc = copy_entry(from, to, files[i]->d_name, n, e);
        free(files[i]);
    }
    free(files);
    return rc;
}

static bool good_name(const char *s)
{
    if (!islower((unsigned char)*s))
        return false;
    for (; *s; s++)
        if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

int do_new(struct request *r, struct err *e)
{
    const char *from = r->template ? r->template : MAGNUM_SDK_TEMPLATE_DIR;
    if (!good_name(r->arg))
        return err_set(e, ERR_INVALID,
                       "'%s': a name begins with a small letter, then small letters, digits and _",
                       r->arg);
    _cleanup_free_ char *id = r->id ? str_dup(r->id) : str_fmt("com.example.%s", r->arg);
    const struct names n = {r->arg, id, r->vendor ? r->vendor : "Example"};
    const char *to = r->output ? r->output : r->arg;
    if (!id)
        return err_nomem(e);
    if (access(to, F_OK) == 0)
        return err_set(e, ERR_EXISTS, "%s is there already", to);
    int rc = copy_tree(from, to, &n, e);
    if (rc == 0)
        printf("%s: a driver %s that builds and passes the kit; README.md says how\n", to, id);
    return rc;
}
