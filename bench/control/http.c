/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

bool http_init(struct http *h, const char *url, const char *agent)
{
    *h = (struct http){.fd = -1};
    bool tls = g_str_has_prefix(url, "https://");
    if (!tls && !g_str_has_prefix(url, "http://"))
        return false;
    const char *from = url + (tls ? 8 : 7), *colon = strchr(from, ':');
    if (!colon || (size_t)(colon - from) >= sizeof h->host)
        return false;
    memcpy(h->host, from, (size_t)(colon - from));
    h->port = (unsigned)strtoul(colon + 1, NULL, 10);
    h->tls = tls;
    g_strlcpy(h->agent, agent, sizeof h->agent);
    h->in = g_string_new(NULL);
    h->body = g_string_new(NULL);
    return h->port > 0 && h->port < 65536;
}

void http_close(struct http *h)
{
    if (h->session)
        gnutls_deinit(h->session);
    h->session = NULL;
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
    h->chunked = false;
    if (h->in)
        g_string_truncate(h->in, 0);
}

void http_clear(struct http *h)
{
    http_close(h);
    if (h->in)
        g_string_free(h->in, TRUE);
    if (h->body)
        g_string_free(h->body, TRUE);
    *h = (struct http){.fd = -1};
}

static gnutls_certificate_credentials_t credentials(void)
{
    static gsize once;
    static gnutls_certificate_credentials_t made;
    if (g_once_init_enter(&once)) {
        gnutls_certificate_allocate_credentials(&made);
        g_once_init_leave(&once, 1);
    }
    return made;
}

static bool begin_tls(struct http *h)
{
    gnutls_session_t session;
    int e;
    if (gnutls_init(&session, GNUTLS_CLIENT) < 0)
        return false;
    h->session = session;
    gnutls_set_default_priority(session);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials());
    gnutls_transport_set_int(session, h->fd);
    do
        e = gnutls_handshake(session);
    while (e < 0 && !gnutls_error_is_fatal(e));
    return e == 0;
}

bool http_connect(struct http *h)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port)};
    int on = 1;
    if (h->fd >= 0)
        return true;
    if (inet_pton(AF_INET, h->host, &a.sin_addr) != 1) {
        errno = EINVAL;
        return false;
    }
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->fd >= 0 && connect(h->fd, (struct sockaddr *)&a, sizeof a) == 0) {
        setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!h->tls || begin_tls(h))
            return true;
        errno = EPROTO;
    }
    int saved = errno;
    http_close(h);
    errno = saved;
    return false;
}

static bool send_all(struct http *h, const char *bytes, size_t size)
{
    while (size) {
        ssize_t n =
            h->session ? gnutls_record_send(h->session, bytes, size) : send(h->fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && (h->session ? !gnutls_error_is_fatal((int)n) : errno == EINTR))
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/* At least one byte more in h->in. */
static bool receive(struct http *h)
{
    char buffer[64 << 10];
    for (;;) {
        struct pollfd p = {.fd = h->fd, .events = POLLIN};
        bool waiting = h->session && gnutls_record_check_pending(h->session);
        if (h->timeout_ms && !waiting && poll(&p, 1, h->timeout_ms) <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
        ssize_t n = h->session ? gnutls_record_recv(h->session, buffer, sizeof buffer)
                               : recv(h->fd, buffer, sizeof buffer, 0);
        if (n < 0 && (h->session ? !gnutls_error_is_fatal((int)n) : errno == EINTR))
            continue;
        if (n <= 0)
            return false;
        g_string_append_len(h->in, buffer, n);
        return true;
    }
}

/* Reads the head; *ret_length is SIZE_MAX when the body comes in chunks. */
static bool read_head(struct http *h, size_t *ret_length)
{
    char *end;
    while (!(end = strstr(h->in->str, "\r\n\r\n")))
        if (!receive(h))
            return false;
    *ret_length = 0;
    h->code = g_str_has_prefix(h->in->str, "HTTP/1.") ? atoi(h->in->str + 9) : -1;
    for (char *line = strstr(h->in->str, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
            *ret_length = strtoul(line + 17, NULL, 10);
        if (strncasecmp(line + 2, "Transfer-Encoding: chunked", 26) == 0)
            *ret_length = SIZE_MAX;
    }
    g_string_erase(h->in, 0, end + 4 - h->in->str);
    g_string_truncate(h->body, 0);
    h->line = 0;
    h->over = false;
    h->chunk_left = 0;
    return h->code > 0;
}

/* Appends one chunk to the body; false at the end or when cut. */
static bool read_chunk(struct http *h)
{
    char *end;
    if (h->chunk_left == 0) {
        while (!(end = strstr(h->in->str, "\r\n")))
            if (!receive(h))
                return false;
        h->chunk_left = strtoul(h->in->str, NULL, 16);
        g_string_erase(h->in, 0, end + 2 - h->in->str);
        if (h->chunk_left == 0) {
            while (h->in->len < 2)
                if (!receive(h))
                    return false;
            g_string_erase(h->in, 0, 2);
            h->over = true;
            return false;
        }
    }
    while (h->in->len < h->chunk_left + 2)
        if (!receive(h))
            return false;
    g_string_append_len(h->body, h->in->str, (gssize)h->chunk_left);
    g_string_erase(h->in, 0, (gssize)h->chunk_left + 2);
    h->chunk_left = 0;
    return true;
}

static bool read_body(struct http *h, size_t length)
{
    if (length == SIZE_MAX) {
        while (read_chunk(h))
            ;
        return h->over;
    }
    while (h->in->len < length)
        if (!receive(h))
            return false;
    g_string_append_len(h->body, h->in->str, (gssize)length);
    g_string_erase(h->in, 0, (gssize)length);
    return true;
}

int http_exchange(struct http *h, const char *request, size_t size)
{
    size_t length;
    if (http_connect(h) && send_all(h, request, size) && read_head(h, &length) && read_body(h, length))
        return h->code;
    http_close(h);
    return -1;
}

GString *http_request(const struct http *h, const char *method, const char *path, const char *content_type,
                      const char *body, size_t size)
{
    GString *r = g_string_sized_new(size + 256);
    g_string_printf(r, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: %s\r\n", method, path, h->host, h->port,
                    h->agent);
    if (size || strcmp(method, "POST") == 0)
        g_string_append_printf(r, "Content-Length: %zu\r\nContent-Type: %s\r\n", size, content_type);
    g_string_append(r, "\r\n");
    g_string_append_len(r, body, (gssize)size);
    return r;
}

int http_call(struct http *h, const char *method, const char *path, const char *content_type,
              const char *body, size_t size)
{
    g_autoptr(GString) request = http_request(h, method, path, content_type, body, size);
    return http_exchange(h, request->str, request->len);
}

int http_stream(struct http *h, const char *path)
{
    size_t length;
    g_autoptr(GString) request = http_request(h, "GET", path, "", "", 0);
    if (!http_connect(h) || !send_all(h, request->str, request->len) || !read_head(h, &length)) {
        http_close(h);
        return -1;
    }
    h->chunked = length == SIZE_MAX;
    if (!h->chunked)
        read_body(h, length);
    return h->code;
}

bool http_line(struct http *h)
{
    char *end;
    g_string_erase(h->body, 0, (gssize)h->line);
    h->line = 0;
    while (!(end = memchr(h->body->str, '\n', h->body->len)))
        if (!h->chunked || !read_chunk(h))
            return false;
    *end = 0;
    h->line = (size_t)(end + 1 - h->body->str);
    return true;
}
