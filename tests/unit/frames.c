/* The frame codec against a real socketpair: whole frames in any slicing, and every way to be
 * broken. Also the values inside frames and the templates of the host. */
#include "host/frames.h"
#include "host/render.h"
#include "host/wire.h"
#include "support/cunit_main.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CAP = 1 << 20 };

static int pair[2];
static struct frame_reader reader;

static void open_pair(size_t cap)
{
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    frame_reader_init(&reader, cap);
}

static void close_pair(void)
{
    close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    frame_reader_done(&reader);
}

static void send_raw(const void *data, size_t len)
{
    CU_ASSERT_EQUAL_FATAL(send(pair[1], data, len, 0), (ssize_t)len);
}

static size_t make_raw(char *to, unsigned type, unsigned call, const char *payload, size_t size)
{
    const unsigned char head[FRAME_HEADER] = {
        (unsigned char)(size >> 24), (unsigned char)(size >> 16), (unsigned char)(size >> 8),
        (unsigned char)size,         (unsigned char)type,         (unsigned char)(call >> 24),
        (unsigned char)(call >> 16), (unsigned char)(call >> 8),  (unsigned char)call};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, payload, strlen(payload));
    return sizeof head + strlen(payload);
}

static int read_one(struct frame *f)
{
    return frame_read(&reader, pair[0], frame_now_ms() + 60000, f);
}

static void test_round_trip(void)
{
    open_pair(CAP);
    json_t *body = json_pack("{s:s,s:[i,b,n]}", "text", "gr\xc3\xbc\xc3\x9f", "list", 1, 1);
    for (unsigned type = FRAME_HELLO; type <= FRAME_LOG; type++) {
        struct frame f = {0};
        CU_ASSERT_EQUAL(
            frame_write(pair[1], CAP, (uint8_t)type, 0xfffffff0U + type, body, FRAME_FOREVER),
            FRAME_OK);
        CU_ASSERT_EQUAL_FATAL(read_one(&f), FRAME_OK);
        CU_ASSERT_EQUAL(f.type, type);
        CU_ASSERT_EQUAL(f.call, 0xfffffff0U + type);
        CU_ASSERT(json_equal(f.body, body));
        frame_done(&f);
    }
    json_decref(body);
    close_pair();
}

static void *write_big(void *arg)
{
    return (void *)(intptr_t)frame_write(pair[1], CAP, FRAME_CALL, 7, arg, FRAME_FOREVER);
}

/* Larger than any socket buffer: both ends have to take turns. */
static void test_large(void)
{
    open_pair(CAP);
    char *big = malloc(CAP);
    memset(big, 'x', CAP);
    big[CAP - 100] = '\0';
    json_t *body = json_pack("{s:s}", "big", big);
    pthread_t id;
    void *rc = NULL;
    struct frame f = {0};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&id, NULL, write_big, body), 0);
    CU_ASSERT_EQUAL(read_one(&f), FRAME_OK);
    pthread_join(id, &rc);
    CU_ASSERT_EQUAL((intptr_t)rc, FRAME_OK);
    CU_ASSERT(json_equal(f.body, body));
    frame_done(&f);
    json_decref(body);
    free(big);
    close_pair();
}

/* Any slicing of two frames gives the same two frames. */
static void test_slices(void)
{
    char raw[200];
    size_t n = make_raw(raw, FRAME_CALL, 1, "{\"a\":1}", 7);
    n += make_raw(raw + n, FRAME_RESULT, 2, "{}", 2);
    for (size_t slice = 1; slice <= n; slice++) {
        struct frame_reader r;
        frame_reader_init(&r, CAP);
        unsigned got = 0;
        for (size_t at = 0; at < n;) {
            size_t want = n - at < slice ? n - at : slice, used = 0;
            struct frame f = {0};
            int rc = frame_reader_feed(&r, raw + at, want, &used, &f);
            at += used;
            CU_ASSERT(rc == FRAME_OK || rc == FRAME_MORE);
            if (rc == FRAME_OK) {
                got++;
                CU_ASSERT_EQUAL(f.call, got);
                frame_done(&f);
            }
        }
        CU_ASSERT_EQUAL(got, 2);
        frame_reader_done(&r);
    }
}

static void expect_broken(const char *raw, size_t len, bool close_after, int want)
{
    struct frame f = {0};
    open_pair(1000);
    send_raw(raw, len);
    if (close_after) {
        close(pair[1]);
        pair[1] = -1;
    }
    int rc = read_one(&f);
    if (rc != want)
        fprintf(stderr, "got %d, want %d (%s)\n", rc, want, frame_error(want));
    CU_ASSERT_EQUAL(rc, want);
    CU_ASSERT_PTR_NULL(f.body);
    CU_ASSERT(strlen(frame_error(rc)) > 0);
    frame_done(&f);
    close_pair();
}

static void test_broken(void)
{
    static const char *const bad_json[] = {
        "",           "{",           "[1]",          "1",     "\"text\"", "{\"a\":1,\"a\":2}",
        "{\"a\":1}}", "{\"a\":NaN}", "{\"\xff\":1}", "{a:1}", "{} {}",    "{\"a\":\"\\u0000\"}"};
    char raw[400];
    size_t n;
    for (size_t i = 0; i < sizeof bad_json / sizeof bad_json[0]; i++) {
        n = make_raw(raw, FRAME_CALL, 1, bad_json[i], strlen(bad_json[i]));
        expect_broken(raw, n, false, FRAME_E_BAD_JSON);
    }
    n = make_raw(raw, 0, 1, "{}", 2);
    expect_broken(raw, n, false, FRAME_E_BAD_TYPE);
    n = make_raw(raw, FRAME_LOG + 1, 1, "{}", 2);
    expect_broken(raw, n, false, FRAME_E_BAD_TYPE);
    n = make_raw(raw, FRAME_CALL, 1, "", 1001);
    expect_broken(raw, n, false, FRAME_E_TOO_LARGE); /* at once: nothing is awaited or allocated */
    n = make_raw(raw, FRAME_CALL, 1, "", 0xffffffffU);
    expect_broken(raw, n, false, FRAME_E_TOO_LARGE);
    expect_broken(raw, 0, true, FRAME_E_CLOSED);
    n = make_raw(raw, FRAME_CALL, 1, "{\"a\":1}", 7);
    for (size_t cut = 1; cut < n; cut++)
        expect_broken(raw, cut, true, FRAME_E_TRUNCATED);
    expect_broken("GET / HTTP/1.1\r\n\r\n", 18, false, FRAME_E_BAD_TYPE);
}

static void test_depth(void)
{
    char payload[400] = "{\"a\":";
    for (int deep = FRAME_MAX_DEPTH - 1; deep <= FRAME_MAX_DEPTH; deep++) {
        char *p = payload + 5;
        memset(p, '[', (size_t)deep);
        memset(p + deep, ']', (size_t)deep);
        memcpy(p + 2 * deep, "}", 2);
        struct frame_reader r;
        struct frame f = {0};
        char raw[500];
        size_t used, n = make_raw(raw, FRAME_CALL, 1, payload, strlen(payload));
        frame_reader_init(&r, CAP);
        CU_ASSERT_EQUAL(frame_reader_feed(&r, raw, n, &used, &f),
                        deep < FRAME_MAX_DEPTH ? FRAME_OK : FRAME_E_BAD_JSON);
        frame_done(&f);
        frame_reader_done(&r);
    }
}

/* Many frames in the socket at once, small, empty and larger than what is read ahead: each comes
 * out whole and in order, and after the last there is nothing. */
static void test_several_at_once(void)
{
    static const size_t sizes[] = {1, 0, 2, FRAME_AHEAD - 40, 3, FRAME_AHEAD, 3 * FRAME_AHEAD,
                                   5, 0};
    struct frame f = {0};
    open_pair(CAP);
    for (int blocking = 0; blocking < 2; blocking++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *pad = calloc(1, sizes[i] + 1);
            memset(pad, 'x', sizes[i]);
            json_t *body = sizes[i] ? json_pack("{s:s}", "pad", pad) : json_object();
            CU_ASSERT_EQUAL(
                frame_write(pair[1], CAP, FRAME_CALL, (uint32_t)i, body, frame_now_ms() + 60000),
                FRAME_OK);
            json_decref(body);
            free(pad);
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            CU_ASSERT_EQUAL_FATAL(blocking ? frame_read(&reader, pair[0], FRAME_FOREVER, &f)
                                           : frame_reader_poll(&reader, pair[0], &f),
                                  FRAME_OK);
            CU_ASSERT_EQUAL(f.call, i);
            CU_ASSERT_EQUAL(json_string_length(json_object_get(f.body, "pad")), sizes[i]);
            frame_done(&f);
        }
        CU_ASSERT_EQUAL(frame_reader_poll(&reader, pair[0], &f), FRAME_MORE);
        CU_ASSERT_FALSE(frame_reader_has(&reader));
    }
    close(pair[1]);
    pair[1] = -1;
    CU_ASSERT_EQUAL(frame_read(&reader, pair[0], FRAME_FOREVER, &f), FRAME_E_CLOSED);
    close_pair();
}

/* A payload whose object is followed by texts: whole in a call, refused elsewhere and when it lies.
 */
static void test_texts(void)
{
    static const char *const texts[] = {"{\"a\": \"}\"}", ""};
    static const struct {
        unsigned type;
        const char *payload;
        size_t size;
    } bad[] = {
        {FRAME_RESULT, "{\"texts\":[1]}x\0", 15},      {FRAME_CALL, "{\"texts\":[2]}x\0", 15},
        {FRAME_CALL, "{\"texts\":[0]}x\0", 15},        {FRAME_CALL, "{\"texts\":[-1]}x\0", 16},
        {FRAME_CALL, "{\"texts\":[1]}xy", 15},         {FRAME_CALL, "{\"texts\":[1,9]}x\0", 17},
        {FRAME_CALL, "{\"texts\":1}x\0", 13},          {FRAME_CALL, "{\"t\":[1]}x\0", 11},
        {FRAME_CALL, "{\"texts\":[0,0,0]}\0\0\0", 20}, {FRAME_CALL, "{\"texts\":[\"\"]}x\0", 16},
    };
    struct frame f = {0};
    size_t len = 99;
    char raw[64];
    json_t *body = json_pack("{s:[i,i]}", "texts", (int)strlen(texts[0]), 0);
    open_pair(CAP);
    CU_ASSERT_EQUAL(frame_write_texts(pair[1], CAP, 3, body, texts, 2, FRAME_FOREVER), FRAME_OK);
    CU_ASSERT_EQUAL(frame_write(pair[1], CAP, FRAME_LOG, 4, body, FRAME_FOREVER), FRAME_OK);
    CU_ASSERT_EQUAL_FATAL(read_one(&f), FRAME_OK);
    CU_ASSERT_STRING_EQUAL(frame_text(&f, FRAME_TEXT_SPEC, &len), texts[0]);
    CU_ASSERT_EQUAL(len, strlen(texts[0]));
    CU_ASSERT_STRING_EQUAL(frame_text(&f, FRAME_TEXT_PRIOR, &len), "");
    CU_ASSERT_EQUAL(len, 0);
    CU_ASSERT_PTR_NULL(frame_text(&f, 2, &len));
    frame_done(&f);
    CU_ASSERT_EQUAL_FATAL(read_one(&f), FRAME_OK);
    CU_ASSERT_PTR_NULL(frame_text(&f, FRAME_TEXT_SPEC, &len));
    frame_done(&f);
    CU_ASSERT_EQUAL(frame_write_texts(pair[1], 20, 3, body, texts, 2, FRAME_FOREVER),
                    FRAME_E_TOO_LARGE);
    close_pair();
    json_decref(body);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frame_reader r;
        size_t used, n = make_raw(raw, bad[i].type, 1, "", bad[i].size);
        memcpy(raw + n, bad[i].payload, bad[i].size);
        frame_reader_init(&r, CAP);
        if (frame_reader_feed(&r, raw, n + bad[i].size, &used, &f) != FRAME_E_BAD_JSON) {
            fprintf(stderr, "accepted: %s\n", bad[i].payload);
            CU_FAIL("a payload that lies is accepted");
        }
        frame_reader_done(&r);
    }
}

static void test_deadlines(void)
{
    struct frame f = {0};
    open_pair(CAP);
    CU_ASSERT_EQUAL(frame_read(&reader, pair[0], frame_now_ms() + 10, &f), FRAME_E_TIMEOUT);
    CU_ASSERT_EQUAL(frame_read(&reader, pair[0], 0, &f), FRAME_E_TIMEOUT); /* long past */
    char raw[64];
    size_t n = make_raw(raw, FRAME_CALL, 1, "{\"a\":1}", 7);
    send_raw(raw, n - 1);
    CU_ASSERT_EQUAL(frame_read(&reader, pair[0], frame_now_ms() + 10, &f), FRAME_E_TIMEOUT);
    send_raw(raw + n - 1, 1); /* what was read so far is kept */
    CU_ASSERT_EQUAL(read_one(&f), FRAME_OK);
    frame_done(&f);
    /* A reader that does not read: the writer gives up at its deadline. */
    char *big = calloc(1, CAP);
    memset(big, 'x', CAP - 100);
    json_t *body = json_pack("{s:s}", "big", big);
    CU_ASSERT_EQUAL(frame_write(pair[1], CAP, FRAME_CALL, 1, body, frame_now_ms() + 10),
                    FRAME_E_TIMEOUT);
    json_decref(body);
    free(big);
    close_pair();
}

static void test_write_errors(void)
{
    open_pair(CAP);
    json_t *body = json_pack("{s:s}", "text", "0123456789");
    CU_ASSERT_EQUAL(frame_write(pair[1], 20, FRAME_CALL, 1, body, FRAME_FOREVER),
                    FRAME_E_TOO_LARGE);
    CU_ASSERT_EQUAL(frame_write(pair[1], 21, FRAME_CALL, 1, body, FRAME_FOREVER), FRAME_OK);
    struct frame f = {0};
    CU_ASSERT_EQUAL(read_one(&f), FRAME_OK); /* of the refused one not a byte was sent */
    frame_done(&f);
    close(pair[0]);
    CU_ASSERT_EQUAL(frame_write(pair[1], CAP, FRAME_CALL, 1, body, FRAME_FOREVER), FRAME_E_CLOSED);
    pair[0] = dup(pair[1]);
    json_decref(body);
    close_pair();
}

/* ---- values ---- */

static void test_bytes(void)
{
    static const struct {
        const char *data;
        size_t len;
        bool text;
    } cases[] = {{"", 0, true},
                 {"plain", 5, true},
                 {"gr\xc3\xbc\xc3\x9f", 6, true},
                 {"\xf0\x9f\x98\x80", 4, true},
                 {"a\0b", 3, false},
                 {"\xff\xfe", 2, false},
                 {"\xc0\xaf", 2, false},     /* overlong */
                 {"\xe0\x80\x80", 3, false}, /* overlong */
                 {"\xed\xa0\x80", 3, false}, /* surrogate */
                 {"\xf4\x90\x80\x80", 4, false},
                 {"\xe2\x82", 2, false}, /* cut off */
                 {"\x80", 1, false},
                 {"1\xff", 2, false},
                 {"12\xff", 3, false},
                 {"123\xff", 4, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *j = wire_bytes(cases[i].data, cases[i].len);
        char *back = NULL;
        size_t len = 99;
        CU_ASSERT_EQUAL(json_is_string(j), cases[i].text);
        CU_ASSERT_EQUAL(wire_is_text(cases[i].data, cases[i].len), cases[i].text);
        CU_ASSERT(wire_bytes_get(j, &back, &len));
        CU_ASSERT_EQUAL_FATAL(len, cases[i].len);
        CU_ASSERT_EQUAL(memcmp(back, cases[i].data, len), 0);
        CU_ASSERT_EQUAL(back[len], '\0');
        free(back);
        json_decref(j);
    }
    unsigned char every[256];
    for (int i = 0; i < 256; i++)
        every[i] = (unsigned char)i;
    for (size_t n = 0; n <= 256; n++) {
        json_t *j = wire_bytes(every, n);
        char *back = NULL;
        size_t len = 999;
        CU_ASSERT(wire_bytes_get(j, &back, &len));
        CU_ASSERT(len == n && (n == 0 || memcmp(back, every, n) == 0));
        free(back);
        json_decref(j);
    }
}

static void test_bad_bytes(void)
{
    static const char *const bad[] = {"1",
                                      "[]",
                                      "true",
                                      "{}",
                                      "{\"base64\":1}",
                                      "{\"base64\":\"A\"}",
                                      "{\"base64\":\"AAA\"}",
                                      "{\"base64\":\"A===\"}",
                                      "{\"base64\":\"AA=A\"}",
                                      "{\"base64\":\"AA==AAAA\"}",
                                      "{\"base64\":\"AA-_\"}"};
    char *p;
    size_t n;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *j = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        CU_ASSERT_FATAL(j != NULL);
        bool ok = wire_bytes_get(j, &p, &n);
        if (ok)
            fprintf(stderr, "accepted %s\n", bad[i]);
        CU_ASSERT_FALSE(ok);
        json_decref(j);
    }
    CU_ASSERT(wire_bytes_get(NULL, &p, &n));
    CU_ASSERT(p == NULL && n == 0);
    CU_ASSERT(wire_bytes_get(json_null(), &p, &n));
}

static void test_error_record(void)
{
    mag_error in = {.struct_size = sizeof in, .flags = 5, .retry_after_ms = 4000000000U}, out = {0};
    memset(in.reason, 'r', sizeof in.reason); /* no end: must not be read beyond */
    snprintf(in.message, sizeof in.message, "a message");
    json_t *j = wire_error(&in);
    wire_error_get(j, &out);
    CU_ASSERT_EQUAL(out.flags, 5);
    CU_ASSERT_EQUAL(out.retry_after_ms, 4000000000U);
    CU_ASSERT_EQUAL(strlen(out.reason), sizeof out.reason - 1);
    CU_ASSERT_STRING_EQUAL(out.message, "a message");
    CU_ASSERT_STRING_EQUAL(out.remedy, "");
    json_decref(j);
    wire_error_get(json_null(), &out);
    CU_ASSERT_EQUAL(out.flags, 0);
    CU_ASSERT_STRING_EQUAL(out.reason, "");
}

static void test_text_copy(void)
{
    char to[8];
    wire_text_copy(to, sizeof to, "a\nb\tc\x7f");
    CU_ASSERT_STRING_EQUAL(to, "a b c ");
    wire_text_copy(to, sizeof to, "123456\xc3\xbc"); /* not half a character */
    CU_ASSERT_STRING_EQUAL(to, "123456");
    wire_text_copy(to, sizeof to, "12345\xc3\xbcx");
    CU_ASSERT_STRING_EQUAL(to, "12345\xc3\xbc");
    wire_text_copy(to, sizeof to,
                   "12\xff"
                   "34");
    CU_ASSERT_STRING_EQUAL(to, "12");
}

/* ---- templates ---- */

static void expect_render(const char *text, const char *want, const char *why_has)
{
    json_t *values = json_pack("{s:s,s:i,s:b,s:n,s:{s:s},s:[]}", "a", "A", "n", 5, "t", 1, "nil",
                               "o", "in-ner", "X", "list");
    char why[RENDER_WHY] = "";
    size_t len = 0;
    char *out = render_text(text, strlen(text), values, &len, why);
    if (want) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(out);
        CU_ASSERT_STRING_EQUAL(out, want);
        CU_ASSERT_EQUAL(len, strlen(want));
    } else {
        CU_ASSERT_PTR_NULL(out);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, why_has));
    }
    free(out);
    json_decref(values);
}

static void test_render(void)
{
    expect_render("", "", NULL);
    expect_render("plain $ text $x $$", "plain $ text $x $$", NULL);
    expect_render("${a}-${n}-${t}-${nil}-", "A-5-true--", NULL);
    expect_render("${o.in-ner}", "X", NULL);
    expect_render("$${a} ${a}", "${a} A", NULL);
    expect_render("$${VAR:-x}", "${VAR:-x}", NULL);
    expect_render("$", "$", NULL);
    expect_render("x ${b}", NULL, "'b' is not defined");
    expect_render("${o.none}", NULL, "'o.none' is not defined");
    expect_render("${a.b}", NULL, "is not defined");
    expect_render("${o}", NULL, "list or an object");
    expect_render("${list}", NULL, "list or an object");
    expect_render("${", NULL, "malformed");
    expect_render("${}", NULL, "malformed");
    expect_render("${a", NULL, "malformed");
    expect_render("${a b}", NULL, "malformed");
    expect_render("ab ${VAR:-x}", NULL, "at byte 3");
}

TEST_MAIN("frames", NULL, NULL, TEST(test_round_trip), TEST(test_large), TEST(test_slices),
          TEST(test_broken), TEST(test_depth), TEST(test_several_at_once), TEST(test_texts),
          TEST(test_deadlines), TEST(test_write_errors), TEST(test_bytes), TEST(test_bad_bytes),
          TEST(test_error_record), TEST(test_text_copy), TEST(test_render))
