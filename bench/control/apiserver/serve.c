/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX (64u << 10)
#define BODY_MAX (8u << 20)
#define WAITING_MAX (256u << 10) /* a stream's source is not asked beyond */
#define KEEP_BUFFER (1u << 20)

struct connection {
    Server *server;
    int fd;
    GString *in, *out;
    GString *ahead; /* what came while a request was in work: its strings point into in */
    size_t sent;    /* of out */
    size_t request; /* bytes of in that the request in work takes; 0: none */
    uint64_t bytes_out;
    bool answered, closing, broken, close_after, dirty, want_write;
    void *timer;
    struct request in_work;
    ServePull pull;
    void *stream;
    ServeStreamFree stream_free;
    bool stream_idle;
};

struct timer {
    uint64_t due_ns;
    ServeTimer run;
    void *user;
};

struct server {
    int epoll, listener, timer_fd, quit_fd;
    unsigned port;
    bool quitting, listening;
    ServeHandler handler;
    ServeDelay delay;
    void *user;
    GHashTable *connections;
    GPtrArray *dirty;
    GQueue timers; /* by due time */
    uint64_t armed_ns;
};

uint64_t serve_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- timers */

static void arm(Server *s)
{
    struct timer *first = g_queue_peek_head(&s->timers);
    uint64_t due = first ? first->due_ns : 0;
    if (due == s->armed_ns)
        return;
    struct itimerspec when = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    s->armed_ns = due;
}

void *serve_after(Server *s, uint64_t delay_ns, ServeTimer run, void *user)
{
    struct timer *t = g_new(struct timer, 1);
    *t = (struct timer){serve_now_ns() + delay_ns, run, user};
    GList *after = s->timers.tail;
    while (after && ((struct timer *)after->data)->due_ns > t->due_ns)
        after = after->prev;
    if (after)
        g_queue_insert_after(&s->timers, after, t);
    else
        g_queue_push_head(&s->timers, t);
    return t;
}

void serve_cancel(Server *s, void *timer)
{
    if (timer && g_queue_remove(&s->timers, timer))
        g_free(timer);
}

static void run_timers(Server *s)
{
    uint64_t now = serve_now_ns(), expirations;
    while (read(s->timer_fd, &expirations, sizeof expirations) > 0)
        s->armed_ns = 0;
    for (struct timer *t; (t = g_queue_peek_head(&s->timers)) && t->due_ns <= now;) {
        g_queue_pop_head(&s->timers);
        t->run(t->user);
        g_free(t);
    }
}

/* ---- connections */

static void mark_dirty(Connection *c)
{
    if (!c->dirty) {
        c->dirty = true;
        g_ptr_array_add(c->server->dirty, c);
    }
}

static void watch_writes(Connection *c, bool on)
{
    if (c->want_write == on)
        return;
    c->want_write = on;
    struct epoll_event e = {.events = EPOLLIN | (on ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void end_stream(Connection *c)
{
    if (c->stream_free)
        c->stream_free(c->stream);
    c->pull = NULL;
    c->stream = NULL;
    c->stream_free = NULL;
}

static void connection_free(void *data)
{
    Connection *c = data;
    serve_cancel(c->server, c->timer);
    end_stream(c);
    close(c->fd);
    g_string_free(c->in, TRUE);
    g_string_free(c->ahead, TRUE);
    g_string_free(c->out, TRUE);
    g_free(c);
}

/* What was answered is done: the next request may be looked at. */
static void request_done(Connection *c)
{
    g_string_erase(c->in, 0, (gssize)c->request);
    g_string_append_len(c->in, c->ahead->str, (gssize)c->ahead->len);
    g_string_truncate(c->ahead, 0);
    if (c->in->len == 0 && c->in->allocated_len > KEEP_BUFFER) {
        g_string_free(c->in, TRUE);
        c->in = g_string_new(NULL);
    }
    c->request = 0;
    c->answered = false;
    if (c->close_after)
        c->closing = true;
}

static void chunk(Connection *c, const GString *frames)
{
    if (frames->len == 0)
        return;
    g_string_append_printf(c->out, "%zx\r\n", frames->len);
    g_string_append_len(c->out, frames->str, (gssize)frames->len);
    g_string_append(c->out, "\r\n");
}

static void pump(Connection *c)
{
    while (c->pull && !c->stream_idle && c->out->len - c->sent < WAITING_MAX) {
        g_autoptr(GString) frames = g_string_sized_new(8192);
        enum pull result = c->pull(c->stream, frames);
        chunk(c, frames);
        if (result == PULL_IDLE)
            c->stream_idle = true;
        if (result == PULL_END)
            g_string_append(c->out, "0\r\n\r\n");
        if (result == PULL_BREAK)
            c->closing = true;
        if (result == PULL_END || result == PULL_BREAK) {
            end_stream(c);
            request_done(c);
        }
    }
}

static void flush(Connection *c)
{
    while (c->sent < c->out->len) {
        ssize_t n = send(c->fd, c->out->str + c->sent, c->out->len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            c->broken = true;
        if (n < 0)
            break;
        c->sent += (size_t)n;
        c->bytes_out += (uint64_t)n;
    }
    if (c->sent == c->out->len) {
        g_string_truncate(c->out, 0);
        c->sent = 0;
        if (c->out->allocated_len > KEEP_BUFFER) {
            g_string_free(c->out, TRUE);
            c->out = g_string_new(NULL);
        }
    }
}

/* ---- requests */

static void handle(void *data)
{
    Connection *c = data;
    c->timer = NULL;
    c->server->handler(c->server->user, &c->in_work);
    mark_dirty(c);
}

static void bad_request(Connection *c, int code)
{
    c->close_after = true;
    c->request = c->in->len;
    c->in_work.connection = c;
    reply(&c->in_work, code, "text/plain", "", 0);
}

/* Reads the header lines after the first; false when the message cannot be served. */
static bool read_headers(struct request *r, char *lines, bool *ret_close, size_t *ret_body)
{
    *ret_body = 0;
    for (char *line = lines, *next; line && *line; line = next) {
        next = strstr(line, "\r\n");
        if (next) {
            *next = 0;
            next += 2;
        }
        char *value = strchr(line, ':');
        if (!value)
            return false;
        *value++ = 0;
        value = g_strstrip(value);
        if (strcasecmp(line, "Content-Length") == 0) {
            guint64 size;
            if (!g_ascii_string_to_unsigned(value, 10, 0, BODY_MAX, &size, NULL))
                return false;
            *ret_body = size;
        } else if (strcasecmp(line, "Connection") == 0) {
            *ret_close = strcasecmp(value, "close") == 0;
        } else if (strcasecmp(line, "Transfer-Encoding") == 0) {
            return false;
        } else if (strcasecmp(line, "Accept-Encoding") == 0) {
            r->takes_gzip = strstr(value, "gzip") != NULL;
        } else if (strcasecmp(line, "User-Agent") == 0) {
            g_strlcpy(r->agent, value, sizeof r->agent);
        } else if (strcasecmp(line, "Content-Type") == 0) {
            g_strlcpy(r->content_type, value, sizeof r->content_type);
        } else if (strcasecmp(line, "Authorization") == 0) {
            g_strlcpy(r->authorization, value, sizeof r->authorization);
        }
    }
    return true;
}

/* What the head says about the body, looked up before the head is cut into strings: a request is taken up
 * only when all of it is there. */
static size_t announced_body(const char *head, const char *end)
{
    static const char word[] = "\r\nContent-Length:";
    for (const char *line = strstr(head, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line, word, sizeof word - 1) == 0)
            return strtoul(line + sizeof word - 1, NULL, 10);
    return 0;
}

static void next_request(Connection *c)
{
    if (c->request || c->closing || c->pull || c->in->len == 0)
        return;
    char *end = strstr(c->in->str, "\r\n\r\n");
    if (!end) {
        if (c->in->len > HEAD_MAX || memchr(c->in->str, 0, c->in->len))
            bad_request(c, 431);
        return;
    }
    size_t head = (size_t)(end - c->in->str) + 4, body = announced_body(c->in->str, end);
    if (body > BODY_MAX) {
        bad_request(c, 413);
        return;
    }
    if (c->in->len < head + body)
        return;
    c->request = head + body;
    c->in_work = (struct request){.connection = c, .head_size = head, .query = ""};
    struct request *r = &c->in_work;
    *end = 0;
    char *first = c->in->str, *lines = strstr(first, "\r\n");
    if (lines) {
        *lines = 0;
        lines += 2;
    }
    char *path = strchr(first, ' '), *version = path ? strchr(path + 1, ' ') : NULL;
    bool close = version && strcmp(version + 1, "HTTP/1.0") == 0;
    if (!version || !g_str_has_prefix(version + 1, "HTTP/1.") || !read_headers(r, lines, &close, &body)) {
        bad_request(c, 400);
        return;
    }
    *path++ = 0;
    *version = 0;
    r->method = first;
    r->path = path;
    char *query = strchr(path, '?');
    if (query) {
        *query++ = 0;
        r->query = query;
    }
    r->body = c->in->str + head;
    r->body_size = body;
    c->close_after = close;
    uint64_t delay = c->server->delay ? c->server->delay(c->server->user, r) : 0;
    if (delay)
        c->timer = serve_after(c->server, delay, handle, c);
    else
        handle(c);
}

static const char *phrase(int code)
{
    static const struct {
        int code;
        const char *text;
    } phrases[] = {{200, "OK"},
                   {201, "Created"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {410, "Gone"},
                   {413, "Request Entity Too Large"},
                   {415, "Unsupported Media Type"},
                   {422, "Unprocessable Entity"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"}};
    for (size_t i = 0; i < G_N_ELEMENTS(phrases); i++)
        if (phrases[i].code == code)
            return phrases[i].text;
    return "Status";
}

void reply_with(struct request *r, int code, const char *headers, const char *content_type, const char *body,
                size_t size)
{
    Connection *c = r->connection;
    g_string_append_printf(c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s\r\n",
                           code, phrase(code), content_type, size, headers ? headers : "",
                           c->close_after ? "Connection: close\r\n" : "");
    g_string_append_len(c->out, body, (gssize)size);
    c->answered = true;
    mark_dirty(c);
}

void reply(struct request *r, int code, const char *content_type, const char *body, size_t size)
{
    reply_with(r, code, NULL, content_type, body, size);
}

void reply_stream(struct request *r, ServePull pull, void *stream, ServeStreamFree done)
{
    Connection *c = r->connection;
    g_string_append(c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n");
    c->pull = pull;
    c->stream = stream;
    c->stream_free = done;
    c->stream_idle = false;
    mark_dirty(c);
}

void reply_cut(struct request *r)
{
    r->connection->broken = true;
    mark_dirty(r->connection);
}

void serve_wake(Connection *c)
{
    c->stream_idle = false;
    mark_dirty(c);
}

void serve_cut_all(Server *s, const struct request *except)
{
    GHashTableIter i;
    void *c;
    for (g_hash_table_iter_init(&i, s->connections); g_hash_table_iter_next(&i, &c, NULL);)
        if (!except || c != except->connection) {
            ((Connection *)c)->broken = true;
            mark_dirty(c);
        }
}

uint64_t serve_bytes_out(const Connection *c)
{
    return c->bytes_out + (c->out->len - c->sent);
}

/* ---- the loop */

static void readable(Connection *c)
{
    GString *into = c->request ? c->ahead : c->in;
    for (;;) {
        char buffer[64 << 10];
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n > 0)
            g_string_append_len(into, buffer, n);
        if (n > 0 && (size_t)n == sizeof buffer && into->len < HEAD_MAX + BODY_MAX)
            continue;
        if (n == 0 || into->len >= HEAD_MAX + BODY_MAX || (n < 0 && errno != EAGAIN && errno != EINTR))
            c->broken = true;
        break;
    }
    mark_dirty(c);
}

static void settle(Connection *c)
{
    for (bool again = true; again && !c->broken;) {
        next_request(c);
        again = c->answered;
        if (c->answered)
            request_done(c);
        pump(c);
        flush(c);
        again = again || (c->pull && !c->stream_idle && c->out->len == 0);
    }
    c->dirty = false;
    if (c->broken || (c->closing && c->out->len == 0))
        g_hash_table_remove(c->server->connections, c);
    else
        watch_writes(c, c->out->len > 0);
}

static void settle_all(Server *s)
{
    for (guint i = 0; i < s->dirty->len; i++) /* handling one may dirty others behind it */
        settle(s->dirty->pdata[i]);
    g_ptr_array_set_size(s->dirty, 0);
}

static void accept_all(Server *s)
{
    for (;;) {
        int on = 1, fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Connection *c = g_new0(Connection, 1);
        c->server = s;
        c->fd = fd;
        c->in = g_string_new(NULL);
        c->ahead = g_string_new(NULL);
        c->out = g_string_new(NULL);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (!s->listening || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
            connection_free(c);
        else
            g_hash_table_add(s->connections, c);
    }
}

void serve_run(Server *s)
{
    struct epoll_event events[128];
    while (!s->quitting) {
        settle_all(s);
        arm(s);
        int n = epoll_wait(s->epoll, events, G_N_ELEMENTS(events), -1);
        for (int i = 0; i < n; i++) {
            void *source = events[i].data.ptr;
            if (source == &s->listener)
                accept_all(s);
            else if (source == &s->timer_fd)
                run_timers(s);
            else if (source == &s->quit_fd)
                s->quitting = true;
            else if (events[i].events & ~(unsigned)EPOLLOUT)
                readable(source);
            else
                mark_dirty(source);
        }
    }
}

void serve_quit(Server *s)
{
    uint64_t one = 1;
    if (write(s->quit_fd, &one, sizeof one) < 0)
        _exit(1);
}

void serve_listen(Server *s, bool on)
{
    s->listening = on;
}

static bool listen_on(Server *s, const char *address)
{
    g_auto(GStrv) parts = g_strsplit(address, ":", 2);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof a;
    int on = 1;
    guint64 port;
    if (!parts[0] || !parts[1] || inet_pton(AF_INET, parts[0], &a.sin_addr) != 1 ||
        !g_ascii_string_to_unsigned(parts[1], 10, 0, 65535, &port, NULL)) {
        errno = EINVAL;
        return false;
    }
    a.sin_port = htons((uint16_t)port);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(s->listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(s->listener, 1024) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &size) < 0)
        return false;
    s->port = ntohs(a.sin_port);
    return true;
}

static bool add_source(Server *s, int *fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};
    return *fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, *fd, &e) == 0;
}

Server *serve_new(const char *address, ServeHandler handler, ServeDelay delay, void *user)
{
    Server *s = g_new0(Server, 1);
    s->listener = s->timer_fd = s->quit_fd = -1;
    s->handler = handler;
    s->delay = delay;
    s->user = user;
    s->listening = true;
    s->connections = g_hash_table_new_full(NULL, NULL, connection_free, NULL);
    s->dirty = g_ptr_array_new();
    g_queue_init(&s->timers);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    s->quit_fd = eventfd(0, EFD_CLOEXEC);
    if (!listen_on(s, address) || !add_source(s, &s->listener) || !add_source(s, &s->timer_fd) ||
        !add_source(s, &s->quit_fd)) {
        int saved = errno;
        serve_free(s);
        errno = saved;
        return NULL;
    }
    return s;
}

void serve_free(Server *s)
{
    g_hash_table_unref(s->connections);
    g_ptr_array_unref(s->dirty);
    g_queue_clear_full(&s->timers, g_free);
    int fds[] = {s->listener, s->timer_fd, s->quit_fd, s->epoll};
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    g_free(s);
}

unsigned serve_port(const Server *s)
{
    return s->port;
}
