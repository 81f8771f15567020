/* SPDX-License-Identifier: Apache-2.0
 *
 * A blocking HTTP/1.1 client over one connection that is kept: plain, or TLS
 * without verification (the server measured made its certificate itself).
 * One thread per connection. A reply has a length or comes in chunks.
 */
#ifndef HAMI_BENCH_HTTP_H
#define HAMI_BENCH_HTTP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct http {
    char host[64];
    unsigned port;
    char agent[32];
    bool tls;
    int timeout_ms; /* of one wait; 0: none */
    int fd;         /* -1: not connected */
    void *session;
    GString *in;             /* received, not yet used */
    GString *body;           /* of the last reply, NUL-terminated */
    int code;                /* of the last reply */
    bool chunked, over;      /* a stream that is being read; it came to its end */
    size_t chunk_left, line; /* line: bytes of body that the last http_line() gave */
};

/* url: http[s]://HOST:PORT, HOST a numeric address; what follows is ignored. */
bool http_init(struct http *http, const char *url, const char *agent);
void http_clear(struct http *http);
void http_close(struct http *http);
/* Connects when it is not; false with errno set. */
bool http_connect(struct http *http);

/* The whole reply is in http->body. Its status, or -1 when the connection was cut (it is closed then). */
int http_call(struct http *http, const char *method, const char *path, const char *content_type,
              const char *body, size_t size);
/* The same for a request that was made before, head and body. */
int http_exchange(struct http *http, const char *request, size_t size);
/* "POST /filter HTTP/1.1..." as Go's client writes it, body included. */
GString *http_request(const struct http *http, const char *method, const char *path, const char *content_type,
                      const char *body, size_t size);

/* Begins a stream: sends, reads the head only. */
int http_stream(struct http *http, const char *path);
/* The next line of a stream without its end, in http->body; false when it ended, was cut (not http->over) or
 * the timeout passed. */
bool http_line(struct http *http);

#endif
