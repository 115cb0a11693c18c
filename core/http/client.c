/* See client.h. A stack of idle curl handles, each with its own kept connections: the handle used
 * last is taken first, so a quiet client keeps few connections warm. */
#include "http/client_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { BODY_DEFAULT = 4 * 1024 * 1024, HEADERS_MAX = 256 * 1024, KEEPALIVE_S = 30 };

void http_escape(struct str *to, const char *text)
{
    for (const char *p = text; *p; p++)
        if (isalnum((unsigned char)*p) || strchr("-._~", *p))
            str_append_c(to, *p);
        else
            str_printf(to, "%%%02X", (unsigned char)*p);
}

void http_answer_done(struct http_answer *a)
{
    free(a->body);
    free(a->headers);
    *a = (struct http_answer){0};
}

static CURLcode global_result;

static void global_init(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_new(struct http_client **ret, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    if (global_result != CURLE_OK)
        return err_set(e, ERR_INTERNAL, "libcurl: %s", curl_easy_strerror(global_result));
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    pthread_mutex_init(&c->lock, NULL);
    *ret = c;
    return 0;
}

void http_client_free(struct http_client **cp)
{
    struct http_client *c = *cp;
    if (!c)
        return;
    *cp = NULL;
    for (size_t i = 0; i < c->n_idle; i++)
        curl_easy_cleanup(c->idle[i]);
    for (size_t i = 0; i < c->n_idle_sets; i++)
        (void)curl_multi_cleanup(c->idle_sets[i]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static CURL *take_handle(struct http_client *c)
{
    CURL *h = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->n_idle)
        h = c->idle[--c->n_idle];
    pthread_mutex_unlock(&c->lock);
    return h ? h : curl_easy_init();
}

static void give_handle(struct http_client *c, CURL *h)
{
    curl_easy_reset(h); /* forgets options and secrets, keeps connections */
    pthread_mutex_lock(&c->lock);
    if (c->n_idle < IDLE_HANDLES)
        c->idle[c->n_idle++] = TAKE_PTR(h);
    pthread_mutex_unlock(&c->lock);
    curl_easy_cleanup(h);
}

/* ---- what the caller gave ---- */

static bool is_token(const char *s)
{
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("!#$%&'*+-.^_`|~", *s))
            return false;
    return true;
}

static bool is_http(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static int check_call(const struct http_call *call, struct err *e)
{
    if (str_blank(call->method) || !is_token(call->method))
        return err_set(e, ERR_INVALID, "not an HTTP method: \"%s\"",
                       call->method ? call->method : "");
    if (str_blank(call->url) || !is_http(call->url))
        return err_set(e, ERR_INVALID, "not an http or https URL: \"%s\"",
                       call->url ? call->url : "");
    if (call->timeout_ms <= 0)
        return err_set(e, ERR_INVALID, "a request needs a timeout");
    for (size_t i = 0; call->headers && call->headers[i]; i++) {
        const char *h = call->headers[i], *colon = strchr(h, ':');
        if (!colon || colon == h || h[strcspn(h, "\r\n")])
            return err_set(e, ERR_INVALID, "header %zu is not of the form \"Name: value\"", i + 1);
    }
    return 0;
}

static bool has_header(const struct http_call *call, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; call->headers && call->headers[i]; i++)
        if (strncasecmp(call->headers[i], name, n) == 0 && call->headers[i][n] == ':')
            return true;
    return false;
}

static int add_line(struct exchange *x, const char *line, struct err *e)
{
    struct curl_slist *more = curl_slist_append(x->lines, line);
    if (!more)
        return err_nomem(e);
    x->lines = more;
    return 0;
}

static int add_headers(struct exchange *x, const struct http_call *call, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && call->headers && call->headers[i]; i++) {
        const char *h = call->headers[i], *colon = strchr(h, ':');
        /* curl drops "Name:"; "Name;" is its way to send an empty value. */
        if (colon[strspn(colon + 1, " \t") + 1] == '\0') {
            _cleanup_free_ char *empty = str_fmt("%.*s;", (int)(colon - h), h);
            rc = empty ? add_line(x, empty, e) : err_nomem(e);
        } else {
            rc = add_line(x, h, e);
        }
    }
    /* curl's own ideas: a pause before large bodies, and a form's type for every body. */
    if (rc == 0 && !has_header(call, "Expect"))
        rc = add_line(x, "Expect:", e);
    if (rc == 0 && !has_header(call, "Content-Type"))
        rc = add_line(x, "Content-Type:", e);
    return rc;
}

/* ---- the trace ---- */

/* "host" or "host:port" of a URL, without user and brackets; *port 0 when it names none. */
static void server_of(const char *url, char *host, size_t size, int64_t *port)
{
    const char *begin = strstr(url, "://") + 3, *end = begin + strcspn(begin, "/?#");
    const char *at = memchr(begin, '@', (size_t)(end - begin));
    if (at)
        begin = at + 1;
    const char *close = *begin == '[' ? memchr(begin, ']', (size_t)(end - begin)) : NULL;
    const char *colon = memchr(close ? close : begin, ':', (size_t)(end - (close ? close : begin)));
    const char *stop = close ? close : colon ? colon : end;
    begin += close ? 1 : 0;
    snprintf(host, size, "%.*s", (int)(stop - begin), begin);
    *port = colon ? strtoll(colon + 1, NULL, 10) : 0;
}

/* What a caller asks for within a trace is a span of it, and the server hears of which. */
static int begin_span(struct exchange *x, const struct http_call *call, struct err *e)
{
    const struct trace_context *parent = trace_current();
    struct trace_span *s = &x->span;
    char host[256] = "", text[TRACE_PARENT_TEXT];
    int64_t port = 0;
    if (!parent || has_header(call, "traceparent"))
        return 0;
    trace_span_begin(s, parent, TRACE_CLIENT);
    if (s->recording) {
        bool tls = strncasecmp(call->url, "https", 5) == 0;
        server_of(call->url, host, sizeof host, &port);
        trace_span_name(s, "%s", call->method);
        trace_span_text(s, "http.request.method", call->method);
        trace_span_text(s, "server.address", call->unix_socket ? call->unix_socket : host);
        if (!call->unix_socket)
            trace_span_number(s, "server.port", port ? port : tls ? 443 : 80);
        /* without what may be secret in it */
        _cleanup_free_ char *full = strchr(call->url, '@')
                                        ? NULL
                                        : str_fmt("%.*s", (int)strcspn(call->url, "?#"), call->url);
        trace_span_text(s, "url.full", full);
    }
    trace_parent_text(&s->ctx, text);
    _cleanup_free_ char *line = str_fmt("traceparent: %s", text);
    _cleanup_free_ char *state = s->ctx.state ? str_fmt("tracestate: %s", s->ctx.state) : NULL;
    if (!line || (s->ctx.state && !state))
        return err_nomem(e);
    int rc = add_line(x, line, e);
    return rc == 0 && state ? add_line(x, state, e) : rc;
}

static void end_span(struct exchange *x, int rc, int status)
{
    struct trace_span *s = &x->span;
    if (status)
        trace_span_number(s, "http.response.status_code", status);
    if (s->recording && (rc < 0 || status >= 400)) {
        char code[16];
        snprintf(code, sizeof code, "%d", status);
        trace_span_text(s, "error.type", rc < 0 ? err_token(rc) : code);
        trace_span_fail(s, rc < 0 ? x->text : NULL);
    }
    trace_span_end(s);
}

/* ---- what the server sends ---- */

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;
    if (len > x->max_body - x->body.len) {
        x->too_large = true;
        return 0;
    }
    str_append_n(&x->body, data, len);
    return x->body.oom ? 0 : len;
}

static size_t take_header(char *data, size_t size, size_t n, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * n;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* a 100 Continue came before */
        str_clear(&x->headers);
        return len;
    }
    if (len > (size_t)HEADERS_MAX - x->headers.len) {
        x->too_large = true;
        return 0;
    }
    const char *colon = memchr(data, ':', len), *end = data + len;
    if (!colon)
        return len;
    for (const char *p = data; p < colon; p++)
        str_append_c(&x->headers, (char)tolower((unsigned char)*p));
    const char *v = colon + 1;
    while (v < end && isspace((unsigned char)*v))
        v++;
    while (end > v && isspace((unsigned char)end[-1]))
        end--;
    str_append(&x->headers, ": ");
    str_append_n(&x->headers, v, (size_t)(end - v));
    str_append_c(&x->headers, '\n');
    return x->headers.oom ? 0 : len;
}

/* ---- options ---- */

static bool is_loopback_url(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    static const char *const names[] = {"localhost", "127.", "[::1]"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strncasecmp(host, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* After the name is resolved: what is looked at is what is connected to. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct exchange *x = arg;
    (void)purpose;
    if (!x->call->may_connect(x->call->may_connect_ctx, &to->addr)) {
        x->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static CURLcode set_blob(CURL *h, CURLoption option, const char *pem)
{
    struct curl_blob blob = {
        .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
    return curl_easy_setopt(h, option, &blob);
}

static CURLcode set_tls(struct exchange *x, const struct http_call *call)
{
    CURL *h = x->curl;
    CURLcode rc = CURLE_OK;
    if (call->ca_pem)
        rc = set_blob(h, CURLOPT_CAINFO_BLOB, call->ca_pem);
    if (rc == CURLE_OK && call->cert_pem)
        rc = set_blob(h, CURLOPT_SSLCERT_BLOB, call->cert_pem);
    if (rc == CURLE_OK && call->key_pem)
        rc = set_blob(h, CURLOPT_SSLKEY_BLOB, call->key_pem);
    if (rc == CURLE_OK && !call->insecure)
        rc = client_tls_watch(x);
    if (rc == CURLE_OK && call->insecure) {
        rc = curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return rc;
}

static CURLcode set_body(CURL *h, const struct http_call *call)
{
    if (strcmp(call->method, "HEAD") == 0)
        return curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    /* A POST or PUT without body says so by Content-Length: 0. */
    bool body =
        call->body_len || strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0;
    CURLcode rc = CURLE_OK;
    if (body)
        rc = curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
    if (body && rc == CURLE_OK)
        rc = curl_easy_setopt(h, CURLOPT_POSTFIELDS, call->body ? call->body : "");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, call->method);
    return rc;
}

/* Setting an option fails for want of memory or of a feature of the library; the first failure is
 * kept. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(x->curl, option, value);                                         \
    } while (0)

static CURLcode set_options(struct exchange *x, const struct http_call *call)
{
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_ERRORBUFFER, x->text);
    SET(CURLOPT_URL, call->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    SET(CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, call->max_redirects ? 1L : 0L);
    SET(CURLOPT_MAXREDIRS, (long)call->max_redirects);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
    SET(CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)call->timeout_ms);
    SET(CURLOPT_HTTPHEADER, x->lines);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)x->max_body);
    if (call->unix_socket)
        SET(CURLOPT_UNIX_SOCKET_PATH, call->unix_socket);
    if (call->may_connect) { /* a kept connection was opened without asking */
        SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
        SET(CURLOPT_OPENSOCKETDATA, x);
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    if (call->unix_socket || call->may_connect || is_loopback_url(call->url))
        SET(CURLOPT_PROXY, ""); /* proxies of the environment are not for this machine */
    if (rc == CURLE_OK)
        rc = set_body(x->curl, call);
    if (rc == CURLE_OK)
        rc = set_tls(x, call);
    return rc;
}

/* ---- the result ---- */

static int code_of(CURLcode rc, const struct exchange *x)
{
    bool answering = x->headers.len || x->body.len;
    if (x->forbidden)
        return ERR_FORBIDDEN;
    switch (rc) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_GOT_NOTHING:
        return ERR_UNAVAILABLE;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return answering ? ERR_PROTOCOL : ERR_UNAVAILABLE;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return ERR_TOO_LARGE;
    case CURLE_WRITE_ERROR:
        return x->too_large ? ERR_TOO_LARGE : ERR_NOMEM;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: /* user name in the URL */
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_UNKNOWN_OPTION:
        return ERR_INVALID;
    default:
        return ERR_PROTOCOL;
    }
}

/* Queries may carry secrets: messages name the place only. */
static int fail(CURLcode rc, const struct exchange *x, const struct http_call *call, struct err *e)
{
    int code = code_of(rc, x);
    const char *why = x->text[0] ? x->text : curl_easy_strerror(rc);
    if (rc == CURLE_PEER_FAILED_VERIFICATION && x->refused[0])
        why = x->refused;
    if (code == ERR_TOO_LARGE)
        why = "the answer is larger than allowed";
    if (code == ERR_FORBIDDEN)
        why = "the address is not one that may be asked";
    const char *at = strchr(call->url, '@');
    if (at)
        return err_set(e, code, "%s: %s", call->method, why);
    return err_set(e, code, "%s %.*s: %s", call->method, (int)strcspn(call->url, "?#"), call->url,
                   why);
}

int exchange_begin(struct exchange *x, const struct http_call *call, struct err *e)
{
    int rc = check_call(call, e);
    x->call = call;
    x->max_body = call->max_body ? call->max_body : BODY_DEFAULT;
    if (rc == 0)
        rc = add_headers(x, call, e);
    if (rc == 0)
        rc = begin_span(x, call, e);
    if (rc != 0)
        return rc;
    CURLcode cc = set_options(x, call);
    return cc == CURLE_OK ? 0 : fail(cc, x, call, e);
}

int exchange_end(struct exchange *x, CURLcode cc, struct http_answer *ret, struct err *e)
{
    long status = 0;
    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    end_span(x, cc == CURLE_OK ? 0 : code_of(cc, x), (int)status);
    if (cc != CURLE_OK)
        return fail(cc, x, x->call, e);
    size_t len = x->body.len;
    _cleanup_free_ char *body = str_take(&x->body);
    _cleanup_free_ char *headers = str_take(&x->headers);
    if (!body || !headers)
        return err_nomem(e);
    *ret = (struct http_answer){
        .status = (int)status, .body = TAKE_PTR(body), .len = len, .headers = TAKE_PTR(headers)};
    return 0;
}

void exchange_done(struct exchange *x)
{
    trace_span_drop(&x->span); /* it was never begun, or has ended */
    curl_slist_free_all(x->lines);
    str_free(&x->body);
    str_free(&x->headers);
}

/* OpenSSL writes without MSG_NOSIGNAL: a SIGPIPE of this thread made here is eaten here. */
void quiet_begin(struct quiet *q)
{
    sigset_t pending;
    sigemptyset(&q->pipe_set);
    sigaddset(&q->pipe_set, SIGPIPE);
    sigpending(&pending);
    q->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &q->pipe_set, &q->old);
}

void quiet_end(const struct quiet *q)
{
    if (!q->was_pending) {
        struct timespec now = {0, 0};
        (void)sigtimedwait(&q->pipe_set, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &q->old, NULL);
}

int http_client_do(struct http_client *c, const struct http_call *call, struct http_answer *ret,
                   struct err *e)
{
    struct exchange x = {.curl = take_handle(c)};
    struct quiet q;
    if (!x.curl)
        return err_nomem(e);
    int rc = exchange_begin(&x, call, e);
    if (rc == 0) {
        quiet_begin(&q);
        CURLcode cc = curl_easy_perform(x.curl);
        quiet_end(&q);
        rc = exchange_end(&x, cc, ret, e);
    }
    give_handle(c, x.curl);
    exchange_done(&x);
    return rc;
}
