/* The terminal of magnum top. See top.h. Escape codes that every terminal of the last decades
 * knows: the alternate screen, a hidden cursor, home, erase. Signals that end or stop the process
 * give the terminal back first, in their handlers: only functions that may be called there are
 * used. */
#include "cmd/cli/top.h"

#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

static const char enter_codes[] = "\x1b[?1049h\x1b[?25l", leave_codes[] = "\x1b[?25h\x1b[?1049l";
static const int ending[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT, SIGPIPE,
                             SIGABRT, SIGSEGV, SIGBUS, SIGFPE};

static struct termios before, raw;
static volatile sig_atomic_t taken, keys;
static int wake[2] = {-1, -1}; /* from handlers to the wait */

static void put(const char *text, size_t n)
{
    (void)!write(STDOUT_FILENO, text, n); /* a terminal that is gone needs nothing back */
}

static void take(void)
{
    put(enter_codes, sizeof enter_codes - 1);
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    taken = 1;
}

static void give_back(void)
{
    if (!taken)
        return;
    taken = 0;
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    put(leave_codes, sizeof leave_codes - 1);
}

static void on_end(int number)
{
    give_back();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void on_change(int number)
{
    int saved = errno;
    const char c = number == SIGWINCH ? 'w' : 'c';
    (void)!write(wake[1], &c, 1);
    errno = saved;
}

/* Ctrl-Z: the shell gets its terminal, and we take it again when we go on. */
static void on_stop(int number)
{
    int saved = errno;
    (void)number;
    give_back();
    (void)raise(SIGSTOP);
    take();
    on_change(SIGWINCH);
    errno = saved;
}

static void handle(int number, void (*fn)(int))
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = fn;
    sigemptyset(&a.sa_mask);
    (void)sigaction(number, &a, NULL);
}

int top_term_open(struct err *e)
{
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_errno(e, errno, "cannot make a pipe");
    keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C stays a signal */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(ending); i++)
        handle(ending[i], on_end);
    handle(SIGWINCH, on_change);
    handle(SIGTSTP, on_stop);
    take();
    return 0;
}

void top_term_close(void)
{
    if (wake[0] < 0)
        return;
    give_back();
    for (size_t i = 0; i < ARRAY_LEN(ending); i++)
        handle(ending[i], SIG_DFL);
    handle(SIGWINCH, SIG_DFL);
    handle(SIGTSTP, SIG_DFL);
    for (size_t i = 0; i < 2; i++) {
        (void)close(wake[i]);
        wake[i] = -1;
    }
}

void top_term_size(int *rows, int *columns)
{
    struct winsize w;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col;
    *rows = known ? w.ws_row : 24;
    *columns = known ? w.ws_col : 80;
}

bool top_term_draw(const struct str *frame)
{
    _cleanup_str_ struct str out = STR_INIT;
    int rows, columns, drawn = 0;
    top_term_size(&rows, &columns);
    str_append(&out, "\x1b[H");
    for (const char *p = str_text(frame); *p && drawn < rows; drawn++) {
        size_t n = strcspn(p, "\n");
        /* erased before it is written: behind a line as long as the terminal the last character
         * would go with the rest, and behind the last line the terminal would scroll */
        str_append(&out, drawn ? "\r\n\x1b[2K" : "\x1b[2K");
        str_append_n(&out, p, n);
        p += n + (p[n] == '\n');
    }
    if (drawn < rows)
        str_append(&out, "\r\n\x1b[J");
    return !out.oom && io_write_all(STDOUT_FILENO, out.s, out.len, NULL) == 0;
}

static int read_keys(struct pollfd *p)
{
    char buf[64];
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
    int seen = 0;
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        p->fd = -1, keys = 0; /* nobody is there any more: it goes on as a picture */
    for (ssize_t i = 0; i < n; i++)
        seen |= buf[i] == 'q' || buf[i] == 'Q'   ? TOP_QUIT
                : buf[i] == ' ' || buf[i] == 'r' ? TOP_NOW
                                                 : 0;
    return seen;
}

static bool drain(int fd)
{
    char buf[64];
    bool any = false;
    while (read(fd, buf, sizeof buf) > 0)
        any = true;
    return any;
}

int top_term_wait(int64_t ms, int news_fd)
{
    int64_t until = clock_mono_ms() + ms;
    struct pollfd p[] = {{.fd = keys ? STDIN_FILENO : -1, .events = POLLIN},
                         {.fd = wake[0], .events = POLLIN},
                         {.fd = news_fd, .events = POLLIN}};
    for (;;) {
        int64_t left = until - clock_mono_ms();
        int n = poll(p, ARRAY_LEN(p), left > 0 ? (int)left : 0), seen = 0;
        if (n > 0 && p[0].fd >= 0 && p[0].revents)
            seen |= read_keys(&p[0]);
        if (n > 0 && p[1].revents && drain(wake[0]))
            seen |= TOP_RESIZED;
        if (n > 0 && p[2].revents && drain(news_fd))
            seen |= TOP_NEWS;
        if (seen || left <= 0)
            return seen;
    }
}
