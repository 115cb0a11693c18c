/* The local certificate manager's files: whole or not at all, sealed, never readable by others. */
#include "../store.h"
#include "lib/json.h"
#include "support/cunit_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY "0b9c3c26-1b7f-4a0e-9a25-6a4c33a1f001/ca/1"

static char dir[64], path[96], key_file[96], other_key[96], pass_file[96];
static mag_error err;

static void write_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CU_ASSERT_FATAL(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CU_ASSERT_FATAL(fchmod(fd, mode) == 0 && close(fd) == 0);
}

static int setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/magnum-certs-local-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/store", dir);
    snprintf(key_file, sizeof key_file, "%s/key", dir);
    snprintf(other_key, sizeof other_key, "%s/other", dir);
    snprintf(pass_file, sizeof pass_file, "%s/pass", dir);
    return 0;
}

static int teardown(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

/* An empty place and three operator's keys. */
static struct store fresh(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", path);
    CU_ASSERT_FATAL(system(cmd) == 0);
    write_file(key_file, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
               0600);
    write_file(other_key, "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
               0600);
    write_file(pass_file, "correct horse battery\n", 0600);
    err = (mag_error){.struct_size = sizeof err};
    return (struct store){.path = path, .master = {.key_file = key_file}};
}

static json_t *bundle(const char *secret)
{
    return json_pack("{s:s,s:s,s:s*}", "certificate", "CERT", "chain", "CHAIN", "private_key",
                     secret);
}

static int32_t put(const struct store *s, const char *key, const char *secret)
{
    _mag_json_ json_t *b = bundle(secret);
    return store_put(s, key, b, &err);
}

static bool holds(const struct store *s, const char *key, const char *secret)
{
    _mag_json_ json_t *b = NULL;
    return store_get(s, key, true, &b, &err) == MAG_OK &&
           strcmp(mag_json_text(b, "private_key", ""), secret) == 0 &&
           strcmp(mag_json_text(b, "certificate", ""), "CERT") == 0;
}

static int count_files(const char *suffix)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d)))
        n += strlen(e->d_name) > strlen(suffix) &&
             strcmp(e->d_name + strlen(e->d_name) - strlen(suffix), suffix) == 0;
    if (d)
        closedir(d);
    return n;
}

/* Is the text anywhere in the directory? */
static bool grep(const char *text)
{
    char cmd[256];
    snprintf(cmd, sizeof cmd, "grep -rqF -- '%s' %s", text, path);
    int rc = system(cmd);
    return WIFEXITED(rc) && WEXITSTATUS(rc) == 0;
}

static void a_bundle_is_kept_sealed_and_given_back(void)
{
    struct store s = fresh();
    struct stat st;
    _mag_json_ json_t *open = NULL;
    CU_ASSERT_EQUAL_FATAL(put(&s, KEY, "CANARY-secret"), MAG_OK);
    CU_ASSERT(holds(&s, KEY, "CANARY-secret"));
    CU_ASSERT_FALSE(grep("CANARY"));
    CU_ASSERT_TRUE(grep("CHAIN"));
    CU_ASSERT_EQUAL_FATAL(store_get(&s, KEY, false, &open, &err), MAG_OK);
    CU_ASSERT_PTR_NULL(json_object_get(open, "private_key"));
    CU_ASSERT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
    char file[256];
    snprintf(file, sizeof file, "%s/0b9c3c26-1b7f-4a0e-9a25-6a4c33a1f001~ca~1.bundle", path);
    CU_ASSERT(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
    CU_ASSERT_EQUAL(count_files(".tmp"), 0);
}

static void the_same_again_is_fine_another_is_not(void)
{
    struct store s = fresh();
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    CU_ASSERT_EQUAL(put(&s, KEY, "two"), MAG_E_EXISTS);
    CU_ASSERT(holds(&s, KEY, "one"));
    CU_ASSERT_EQUAL(count_files(".bundle"), 1);
}

static void what_is_gone_is_gone(void)
{
    struct store s = fresh();
    _mag_json_ json_t *b = NULL;
    CU_ASSERT_EQUAL(store_delete(&s, KEY, &err), MAG_OK); /* not even a directory */
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    CU_ASSERT_EQUAL(store_delete(&s, KEY, &err), MAG_OK);
    CU_ASSERT_EQUAL(store_delete(&s, KEY, &err), MAG_OK);
    CU_ASSERT_EQUAL(store_get(&s, KEY, true, &b, &err), MAG_E_NOT_FOUND);
    CU_ASSERT_EQUAL(count_files(".bundle"), 0);
}

static void keys_that_are_no_keys_are_refused(void)
{
    static const char *const bad[] = {"", "../../etc/passwd", "a b", ".hidden", "a~b", "a\nb"};
    struct store s = fresh();
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (size_t i = 0; i < MAG_LEN(bad); i++)
        CU_ASSERT_EQUAL(put(&s, bad[i], "x"), MAG_E_INVALID);
    CU_ASSERT_EQUAL(put(&s, longer, "x"), MAG_E_INVALID);
    CU_ASSERT_EQUAL(count_files(".bundle"), 0);
}

static void what_others_can_read_is_refused(void)
{
    struct store s = fresh();
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    CU_ASSERT_EQUAL(store_check(&s, &err), MAG_OK);
    chmod(path, 0755);
    CU_ASSERT_EQUAL(store_check(&s, &err), MAG_E_DENIED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.message, "can be read by others"));
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_E_DENIED);
    chmod(path, 0700);
    chmod(key_file, 0640);
    CU_ASSERT_EQUAL(store_check(&s, &err), MAG_E_DENIED);
    CU_ASSERT_FALSE(holds(&s, KEY, "one"));
    chmod(key_file, 0600);
    CU_ASSERT(holds(&s, KEY, "one"));
}

static void another_key_opens_nothing(void)
{
    struct store s = fresh();
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    s.master.key_file = other_key;
    CU_ASSERT_FALSE(holds(&s, KEY, "one"));
    CU_ASSERT_STRING_EQUAL(err.reason, "WrongKey");
    CU_ASSERT_EQUAL(put(&s, KEY "2", "two"), MAG_E_DENIED);
    s.master = (struct master){.passphrase_file = pass_file};
    CU_ASSERT_FALSE(holds(&s, KEY, "one"));
    s.master = (struct master){0};
    CU_ASSERT_EQUAL(store_check(&s, &err), MAG_E_PRECONDITION);
}

static void a_passphrase_does_as_well(void)
{
    struct store s = fresh();
    s.master = (struct master){.passphrase_file = pass_file};
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    CU_ASSERT(holds(&s, KEY, "one"));
    write_file(pass_file, "another horse\n", 0600);
    CU_ASSERT_FALSE(holds(&s, KEY, "one"));
    write_file(pass_file, "short\n", 0600);
    CU_ASSERT_FALSE(holds(&s, KEY, "one"));
    CU_ASSERT_STRING_EQUAL(err.reason, "WeakPassphrase");
}

static void damage_is_found_and_keys_cannot_be_moved(void)
{
    struct store s = fresh();
    char cmd[512];
    CU_ASSERT_EQUAL(put(&s, "c/ca/1", "one"), MAG_OK);
    CU_ASSERT_EQUAL(put(&s, "c/ca/2", "two"), MAG_OK);
    /* the other bundle's seal under this one's name */
    snprintf(cmd, sizeof cmd,
             "cd %s && sed 's#c/ca/1#c/ca/2#' 'c~ca~1.bundle' > x && mv x 'c~ca~2.bundle'", path);
    CU_ASSERT_FATAL(system(cmd) == 0);
    CU_ASSERT_FALSE(holds(&s, "c/ca/2", "one"));
    CU_ASSERT_STRING_EQUAL(err.reason, "Damaged");
    snprintf(cmd, sizeof cmd, "cd %s && sed -i 's/CERT/CERX/' 'c~ca~1.bundle'", path);
    CU_ASSERT_FATAL(system(cmd) == 0);
    CU_ASSERT_FALSE(holds(&s, "c/ca/1", "one"));
    int n = -1;
    CU_ASSERT_EQUAL(store_verify(&s, &n, &err), MAG_E_INVALID);
    CU_ASSERT_EQUAL(n, 0);
}

static void rotation_reseals_everything_and_forgets_the_old_key(void)
{
    struct store s = fresh();
    const struct master next = {.key_file = other_key};
    char before[4096] = "", after[4096] = "", name[160];
    int n = -1;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "c/ca/%d", i);
        CU_ASSERT_EQUAL(put(&s, name, name), MAG_OK);
    }
    snprintf(name, sizeof name, "%s/c~ca~3.bundle", path);
    FILE *f = fopen(name, "r");
    CU_ASSERT(fread(before, 1, sizeof before - 1, f) > 0 && fclose(f) == 0);
    CU_ASSERT_EQUAL_FATAL(store_rotate(&s, &next, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL(n, 5);
    f = fopen(name, "r");
    CU_ASSERT(fread(after, 1, sizeof after - 1, f) > 0 && fclose(f) == 0);
    CU_ASSERT_STRING_NOT_EQUAL(before, after);
    CU_ASSERT_FALSE(holds(&s, "c/ca/3", "c/ca/3")); /* the old operator's key is worth nothing */
    s.master = next;
    CU_ASSERT(holds(&s, "c/ca/3", "c/ca/3"));
    CU_ASSERT_EQUAL(store_verify(&s, &n, &err), MAG_OK);
    CU_ASSERT_EQUAL(n, 5);
    /* what was sealed with the old key can't be put back */
    f = fopen(name, "w");
    CU_ASSERT(fputs(before, f) >= 0 && fclose(f) == 0);
    CU_ASSERT_FALSE(holds(&s, "c/ca/3", "c/ca/3"));
}

/* A process that rotates is killed at a random moment, again and again: every bundle can always be
 * opened. */
static void a_rotation_may_be_killed_at_any_moment(void)
{
    struct store s = fresh();
    char name[32];
    int n = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "c/ca/%d", i);
        CU_ASSERT_EQUAL(put(&s, name, name), MAG_OK);
    }
    for (int round = 0; round < 12; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            const struct master same = s.master;
            alarm(10);
            for (;;)
                (void)store_rotate(&s, &same, &n, &err);
        }
        usleep((useconds_t)(500 + 1733 * round));
        kill(pid, SIGKILL);
        CU_ASSERT_EQUAL_FATAL(waitpid(pid, NULL, 0), pid);
        CU_ASSERT_EQUAL_FATAL(store_verify(&s, &n, &err), MAG_OK);
        CU_ASSERT_EQUAL(n, 20);
    }
    CU_ASSERT_EQUAL(store_rotate(&s, &s.master, &n, &err), MAG_OK);
    struct keyring k;
    int fd = -1;
    CU_ASSERT_EQUAL(dir_open(path, false, &fd, &err), MAG_OK);
    CU_ASSERT_EQUAL(keyring_load(fd, &s.master, &k, &err), MAG_OK);
    CU_ASSERT_EQUAL(k.n, 1);
    close(fd);
}

/* In a directory that is not there yet: they make it, and its first key, as well. */
static void write_at_once(void)
{
    struct store s = fresh();
    enum { WRITERS = 4 };
    pid_t pids[WRITERS];
    int won = 0, status;
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char secret[16];
            snprintf(secret, sizeof secret, "writer %d", i);
            int32_t rc = put(&s, KEY, secret);
            if (rc != MAG_OK && rc != MAG_E_EXISTS)
                fprintf(stderr, "writer %d: %d %s\n", i, rc, err.message);
            _exit(rc == MAG_OK ? 0 : rc == MAG_E_EXISTS ? 1 : 2);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        CU_ASSERT_FATAL(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status));
        CU_ASSERT(WEXITSTATUS(status) < 2);
        won += WEXITSTATUS(status) == 0;
    }
    CU_ASSERT_EQUAL(won, 1);
    CU_ASSERT_EQUAL(count_files(".bundle"), 1);
    CU_ASSERT_EQUAL(count_files(".tmp"), 0);
}

static void two_writers_make_one_bundle(void)
{
    for (int round = 0; round < 5; round++)
        write_at_once();
}

/* In the library's place: at the next look for a file another process makes the first key. */
static const struct master *another_makes_a_key;
int faccessat(int fd, const char *name, int mode, int flags)
{
    const struct master *m = MAG_TAKE(another_makes_a_key);
    struct keyring k = {.n = 0};
    if (m)
        CU_ASSERT(keyring_add(&k, &err) == MAG_OK && keyring_store(fd, m, &k, &err) == MAG_OK);
    return (int)syscall(flags ? SYS_faccessat2 : SYS_faccessat, fd, name, mode, flags);
}

static void another_process_makes_the_first_key_meanwhile(void)
{
    struct store s = fresh();
    another_makes_a_key = &s.master;
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    CU_ASSERT_PTR_NULL(another_makes_a_key);
    CU_ASSERT(holds(&s, KEY, "one"));
}

/* All processes of drivers have the number 1, each in a namespace of its own: another one that is
 * at the same bundle must not have its hand in what this one has stored. */
static void writers_with_one_process_id_do_not_meet(void)
{
    struct store s = fresh();
    char file[256];
    CU_ASSERT_EQUAL(put(&s, "c/ca/1", "one"), MAG_OK); /* makes the directory */
    snprintf(file, sizeof file, "%s/.c~ca~2.bundle.%ld.tmp", path, (long)getpid());
    int other = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CU_ASSERT_FATAL(other >= 0);
    CU_ASSERT_EQUAL(put(&s, "c/ca/2", "two"), MAG_OK);
    CU_ASSERT(write(other, "the other's", 11) == 11 && close(other) == 0);
    CU_ASSERT(holds(&s, "c/ca/2", "two"));
    CU_ASSERT_EQUAL(count_files(".tmp"), 1);
}

static void a_dead_writers_file_is_tidied_away(void)
{
    struct store s = fresh();
    char file[160], cmd[256];
    CU_ASSERT_EQUAL(put(&s, KEY, "one"), MAG_OK);
    snprintf(file, sizeof file, "%s/.x.bundle.1.tmp", path);
    write_file(file, "half", 0600);
    CU_ASSERT_EQUAL(store_check(&s, &err), MAG_OK);
    CU_ASSERT_EQUAL(count_files(".tmp"), 1); /* perhaps somebody is at it */
    snprintf(cmd, sizeof cmd, "touch -d '2 hours ago' %s", file);
    CU_ASSERT_FATAL(system(cmd) == 0);
    CU_ASSERT_EQUAL(store_check(&s, &err), MAG_OK);
    CU_ASSERT_EQUAL(count_files(".tmp"), 0);
}

TEST_MAIN("certs_local", setup, teardown, TEST(a_bundle_is_kept_sealed_and_given_back),
          TEST(the_same_again_is_fine_another_is_not), TEST(what_is_gone_is_gone),
          TEST(keys_that_are_no_keys_are_refused), TEST(what_others_can_read_is_refused),
          TEST(another_key_opens_nothing), TEST(a_passphrase_does_as_well),
          TEST(damage_is_found_and_keys_cannot_be_moved),
          TEST(rotation_reseals_everything_and_forgets_the_old_key),
          TEST(a_rotation_may_be_killed_at_any_moment), TEST(two_writers_make_one_bundle),
          TEST(another_process_makes_the_first_key_meanwhile),
          TEST(writers_with_one_process_id_do_not_meet), TEST(a_dead_writers_file_is_tidied_away))
