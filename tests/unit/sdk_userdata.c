/* User data of nodes: what is refused, what comes out, that it is the same each time, and the
 * limit. With MAGNUM_USERDATA_SAMPLES=<dir> the samples are written there for sdk_userdata.py,
 * which lets cloud-init and a checker of Ignition's rules read them. */
#include "support/cunit_main.h"

#include "lib/cleanup.h"
#include "lib/userdata.h"

#include <stdint.h>

static mag_error err;

static void fresh(void)
{
    err = (mag_error){.struct_size = sizeof err};
}

static const char awkward[] =
    "#!/bin/bash\n\n  # ä \"quoted\" 'text' \\n %41 ${x}: {[*&!|>\n\t- tab\n\n\n";
static const char heat[] =
    "NODE_IP='__NODE_IP__'\n\n# 50%: \"x\" #?&\nWAIT='__WAIT_PASSWORD__'\nE=''\n";

static const struct mag_userdata_file files[] = {
    {"/etc/magnum/params.sh", "A='b'\n", 0600, false}, {"/etc/magnum/heat.sh", heat, 0600, true},
    {"/opt/magnum/boot.sh", awkward, 0755, false},     {"/opt/magnum/empty", "", 0644, false},
    {"/opt/magnum/no newline", "x", 0644, false},
};
static const struct mag_userdata_unit units[] = {
    {"magnum-change.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n", false},
    {"magnum-change.timer", "[Timer]\nOnUnitInactiveSec=60\n[Install]\nWantedBy=timers.target\n",
     true},
};
static const struct mag_userdata sample = {.files = files,
                                           .n_files = MAG_LEN(files),
                                           .units = units,
                                           .n_units = MAG_LEN(units),
                                           .script = "/opt/magnum/boot.sh"};

static int write_sample(const char *name, const char *text)
{
    const char *dir = getenv("MAGNUM_USERDATA_SAMPLES");
    if (!dir)
        return 0;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (!f)
        return -1;
    int bad = fputs(text, f) < 0;
    return fclose(f) != 0 || bad ? -1 : 0;
}

static void test_formats(void)
{
    enum mag_userdata_format f = 0;
    CU_ASSERT_EQUAL(mag_userdata_format_of("ubuntu", &f, &err), MAG_OK);
    CU_ASSERT_EQUAL(f, MAG_USERDATA_CLOUD_CONFIG);
    CU_ASSERT_EQUAL(mag_userdata_format_of("debian", &f, &err), MAG_OK);
    CU_ASSERT_EQUAL(mag_userdata_format_of("fedora-atomic", &f, &err), MAG_OK);
    CU_ASSERT_EQUAL(f, MAG_USERDATA_CLOUD_CONFIG);
    CU_ASSERT_EQUAL(mag_userdata_format_of("fedora-coreos", &f, &err), MAG_OK);
    CU_ASSERT_EQUAL(f, MAG_USERDATA_IGNITION);
    CU_ASSERT_EQUAL(mag_userdata_format_of("flatcar", &f, &err), MAG_OK);
    CU_ASSERT_EQUAL(f, MAG_USERDATA_IGNITION);
    static const char *const unknown[] = {"Ubuntu", "", "windows", NULL};
    for (size_t i = 0; i < MAG_LEN(unknown); i++) {
        fresh();
        CU_ASSERT_EQUAL(mag_userdata_format_of(unknown[i], &f, &err), MAG_E_INVALID);
        CU_ASSERT_STRING_EQUAL(err.reason, "UnknownDistro");
    }
}

static void test_cloud_config(void)
{
    _mag_free_ char *a = NULL, *b = NULL;
    CU_ASSERT_EQUAL_FATAL(mag_userdata_render(&sample, MAG_USERDATA_CLOUD_CONFIG, &a, &err),
                          MAG_OK);
    CU_ASSERT_EQUAL_FATAL(mag_userdata_render(&sample, MAG_USERDATA_CLOUD_CONFIG, &b, &err),
                          MAG_OK);
    CU_ASSERT_STRING_EQUAL(a, b);
    CU_ASSERT_EQUAL(strncmp(a, "#cloud-config\n", 14), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\n      NODE_IP='__NODE_IP__'\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "permissions: \"0600\""));
    CU_ASSERT_PTR_NULL(strstr(a, "quoted")); /* packed */
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "--now, --no-block, \"magnum-boot.service\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "--now, --no-block, \"magnum-change.timer\""));
    CU_ASSERT_PTR_NULL(strstr(a, "--no-block, \"magnum-change.service\""));
    CU_ASSERT_EQUAL(write_sample("cloud-config.yaml", a), 0);
}

static void test_ignition(void)
{
    _mag_free_ char *a = NULL, *b = NULL;
    CU_ASSERT_EQUAL_FATAL(mag_userdata_render(&sample, MAG_USERDATA_IGNITION, &a, &err), MAG_OK);
    CU_ASSERT_EQUAL_FATAL(mag_userdata_render(&sample, MAG_USERDATA_IGNITION, &b, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(a, b);
    CU_ASSERT_PTR_NOT_NULL(strstr(a, "\\nNODE_IP='__NODE_IP__'\\n"));
    _mag_json_ json_t *j = json_loads(a, JSON_REJECT_DUPLICATES, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(j);
    const json_t *systemd = json_object_get(json_object_get(j, "systemd"), "units");
    CU_ASSERT_EQUAL(json_array_size(systemd), 4); /* values, two of ours, boot */
    CU_ASSERT_PTR_NULL(json_object_get(json_array_get(systemd, 0), "enabled"));
    CU_ASSERT(json_is_false(json_object_get(json_array_get(systemd, 1), "enabled")));
    CU_ASSERT(json_is_true(json_object_get(json_array_get(systemd, 3), "enabled")));
    const json_t *first =
        json_array_get(json_object_get(json_object_get(j, "storage"), "files"), 0);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(first, "mode")), 0600);
    CU_ASSERT_EQUAL(write_sample("ignition.json", a), 0);
}

/* Without a script nobody could unpack an archive: every file stands for itself. */
static void test_no_script(void)
{
    static const struct mag_userdata_file own[] = {
        {"/opt/magnum/boot.sh", awkward, 0755, false},
        {"/opt/magnum/empty", "", 0644, false},
        {"/opt/magnum/no newline", "x", 0644, false},
    };
    const struct mag_userdata plain = {.files = own, .n_files = MAG_LEN(own)};
    _mag_free_ char *a = NULL, *b = NULL;
    CU_ASSERT_EQUAL_FATAL(mag_userdata_render(&plain, MAG_USERDATA_CLOUD_CONFIG, &a, &err), MAG_OK);
    CU_ASSERT_EQUAL_FATAL(mag_userdata_render(&plain, MAG_USERDATA_IGNITION, &b, &err), MAG_OK);
    CU_ASSERT_PTR_NULL(strstr(a, "runcmd"));
    CU_ASSERT_EQUAL(write_sample("plain.yaml", a), 0);
    CU_ASSERT_EQUAL(write_sample("plain.json", b), 0);
}

static void test_nothing(void)
{
    const struct mag_userdata none = {0};
    _mag_free_ char *a = NULL, *b = NULL;
    CU_ASSERT_EQUAL(mag_userdata_render(&none, MAG_USERDATA_CLOUD_CONFIG, &a, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(a, "#cloud-config\n");
    CU_ASSERT_EQUAL(mag_userdata_render(&none, MAG_USERDATA_IGNITION, &b, &err), MAG_OK);
}

static void refuse_file(const char *path, const char *text, unsigned mode, bool placeholders)
{
    const struct mag_userdata_file two[] = {{"/ok", "x", 0644, false},
                                            {path, text, mode, placeholders}};
    const struct mag_userdata w = {.files = two, .n_files = 2, .script = "/ok"};
    _mag_free_ char *out = NULL;
    for (int f = MAG_USERDATA_CLOUD_CONFIG; f <= MAG_USERDATA_IGNITION; f++) {
        fresh();
        CU_ASSERT_EQUAL(mag_userdata_render(&w, (enum mag_userdata_format)f, &out, &err),
                        MAG_E_INVALID);
        CU_ASSERT_STRING_EQUAL(err.reason, "BadUserData");
        CU_ASSERT_PTR_NULL(out);
    }
}

static void test_refused_files(void)
{
    static const char *const paths[] = {NULL,
                                        "",
                                        "etc/x",
                                        "/",
                                        "/a/",
                                        "/a//b",
                                        "/a/../b",
                                        "/a/./b",
                                        "/a23456789b123456789c123456789d123456789e123456789f1234567"
                                        "89g123456789h123456789i123456789j123456789",
                                        "/\xff",
                                        "/ok"};
    for (size_t i = 0; i < MAG_LEN(paths); i++)
        refuse_file(paths[i], "x", 0644, false);
    refuse_file("/a", NULL, 0644, false);
    refuse_file("/a", "\xff", 0644, false);
    refuse_file("/a", "x", 0, false);
    refuse_file("/a", "x", 01777, false);
    static const char *const texts[] = {
        "",      "\nA='x'\n", "A='x'\n\n", "A='x'\r\n", "A='\xc3\xa4'\n", "A='\x7f'\n",
        "A='x'", "A=x\n",     "a='x'\n",   "A='x'y\n",  "A='x''y'\n",     "='x'\n",
        "A='\n", "A='\\'\n",  "x\n",       "A=\n"};
    for (size_t i = 0; i < MAG_LEN(texts); i++)
        refuse_file("/a", texts[i], 0644, true);
    refuse_file("/a$b", "A='x'\n", 0644, true);
}

static void test_refused_units(void)
{
    static const char *const names[] = {NULL,
                                        "",
                                        "x",
                                        ".service",
                                        "a/b.service",
                                        "x.target",
                                        "magnum-boot.service",
                                        "magnum-values-1.service",
                                        "ok.service"};
    for (size_t i = 0; i < MAG_LEN(names); i++) {
        const struct mag_userdata_unit two[] = {{"ok.service", "x", true}, {names[i], "x", true}};
        const struct mag_userdata w = {.units = two, .n_units = 2};
        _mag_free_ char *out = NULL;
        fresh();
        CU_ASSERT_EQUAL(mag_userdata_render(&w, MAG_USERDATA_IGNITION, &out, &err), MAG_E_INVALID);
        CU_ASSERT_STRING_EQUAL(err.reason, "BadUserData");
    }
    struct mag_userdata w = sample;
    _mag_free_ char *out = NULL;
    w.script = "/opt/magnum/other.sh";
    CU_ASSERT_EQUAL(mag_userdata_render(&w, MAG_USERDATA_IGNITION, &out, &err), MAG_E_INVALID);
    w.script = NULL; /* placeholders, and nobody who reads them */
    CU_ASSERT_EQUAL(mag_userdata_render(&w, MAG_USERDATA_IGNITION, &out, &err), MAG_E_INVALID);
    w.script = "/opt/magnum/no newline";
    CU_ASSERT_EQUAL(mag_userdata_render(&w, MAG_USERDATA_IGNITION, &out, &err), MAG_E_INVALID);
}

/* Text that does not pack is refused beyond the limit; a long one that packs well is taken. */
static void test_limit(void)
{
    _mag_free_ char *noise = malloc(60001), *dull = malloc(2000001), *out = NULL;
    CU_ASSERT_FATAL(noise && dull);
    uint32_t seed = 1;
    for (size_t i = 0; i < 60000; i++) {
        seed = seed * 1664525 + 1013904223;
        noise[i] = (char)('0' + (seed >> 16) % 64);
    }
    noise[60000] = '\0';
    memset(dull, 'a', 2000000);
    dull[2000000] = '\0';
    struct mag_userdata_file f = {"/x", dull, 0644, false};
    struct mag_userdata w = {.files = &f, .n_files = 1};
    for (int k = MAG_USERDATA_CLOUD_CONFIG; k <= MAG_USERDATA_IGNITION; k++) {
        f.text = dull;
        w.reserve = 0;
        CU_ASSERT_EQUAL(mag_userdata_render(&w, (enum mag_userdata_format)k, &out, &err), MAG_OK);
        CU_ASSERT(out && strlen(out) < 10000);
        w.reserve = MAG_USERDATA_LIMIT - strlen(out);
        mag_freep(&out);
        CU_ASSERT_EQUAL(mag_userdata_render(&w, (enum mag_userdata_format)k, &out, &err), MAG_OK);
        mag_freep(&out);
        w.reserve++;
        fresh();
        CU_ASSERT_EQUAL(mag_userdata_render(&w, (enum mag_userdata_format)k, &out, &err),
                        MAG_E_INVALID);
        CU_ASSERT_STRING_EQUAL(err.reason, "UserDataTooLarge");
        CU_ASSERT(err.flags & MAG_ERR_USER);
        w.reserve = SIZE_MAX;
        CU_ASSERT_EQUAL(mag_userdata_render(&w, (enum mag_userdata_format)k, &out, &err),
                        MAG_E_INVALID);
        w.reserve = 0;
        f.text = noise;
        fresh();
        CU_ASSERT_EQUAL(mag_userdata_render(&w, (enum mag_userdata_format)k, &out, &err),
                        MAG_E_INVALID);
        CU_ASSERT_STRING_EQUAL(err.reason, "UserDataTooLarge");
    }
}

static void test_params(void)
{
    _mag_json_ json_t *j = json_pack("{s:s, s:i, s:b, s:b, s:n, s:s}", "B", "it's $x `y` \"z\"\n2",
                                     "A", -5, "T", 1, "F", 0, "N", "E", "");
    _mag_free_ char *out = NULL;
    CU_ASSERT_EQUAL_FATAL(mag_userdata_params(j, &out, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(out,
                           "A='-5'\nB='it'\\''s $x `y` \"z\"\n2'\nE=''\nF='false'\nT='true'\n");
    CU_ASSERT_EQUAL(write_sample("params.sh", out), 0);
    mag_freep(&out);
    static const char *const keys[] = {"", "a", "1A", "A-B", "A B", "A;B"};
    for (size_t i = 0; i < MAG_LEN(keys); i++) {
        _mag_json_ json_t *bad = json_pack("{s:s}", keys[i], "x");
        CU_ASSERT_EQUAL(mag_userdata_params(bad, &out, &err), MAG_E_INVALID);
        CU_ASSERT_PTR_NULL(out);
    }
    _mag_json_ json_t *list = json_pack("{s:[]}", "A");
    CU_ASSERT_EQUAL(mag_userdata_params(list, &out, &err), MAG_E_INVALID);
    _mag_json_ json_t *none = json_object();
    CU_ASSERT_EQUAL(mag_userdata_params(none, &out, &err), MAG_OK);
    CU_ASSERT_STRING_EQUAL(out, "");
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(test_formats),       TEST(test_cloud_config), TEST(test_ignition),
        TEST(test_nothing),       TEST(test_no_script),    TEST(test_refused_files),
        TEST(test_refused_units), TEST(test_limit),        TEST(test_params),
    };
    return test_main(argc, argv, "sdk_userdata", NULL, NULL, cases, sizeof cases / sizeof *cases);
}
