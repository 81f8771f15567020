/* SPDX-License-Identifier: Apache-2.0
 *
 * A small HTTP server for what faces the control plane: a table of routes,
 * bodies within a bound, answers that may come later, and clients that can
 * neither hold it up nor fill it.
 *
 * 1. Every request gets exactly one answer; a responder that is dropped
 *    answers 500.
 * 2. A client has `request_ms` to send a whole request (TLS handshake
 *    included), `idle_ms` until the next one's first line is there, `request_ms`
 *    to take an answer or the next piece of it; then its connection ends.
 * 3. When there are `connections_max` connections, the client that keeps us waiting
 *    longest makes room for the next.
 * 4. Bodies that are under way hold `bodies_max` bytes together; what goes beyond is answered by 503.
 * 5. A new certificate serves the connections that begin after it was set;
 *    the listener stays. One handshake begins per turn of the main loop: many
 *    of them slow nothing down by more than one.
 * 6. A head (request line and headers) has at most 32 KiB.
 * One thread: the one whose default context was current at http_server_new().
 */
#ifndef HAMI_NET_HTTP_SERVER_H
#define HAMI_NET_HTTP_SERVER_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/tls.h"

typedef struct http_server HttpServer;
struct http_responder;

/* Borrowed, valid during the handler's call. */
struct http_request {
    const char *method;       /* upper case */
    const char *path;         /* percent-decoded */
    const char *query;        /* undecoded, NULL without one */
    const char *content_type; /* NULL without one */
    const char *body;         /* ends with a NUL beyond body_len */
    size_t body_len;
    const char *peer; /* common name of the verified client certificate, else NULL */
    bool local;       /* the client is on this machine (loopback) */
};

/* Answers now or later, by http_respond() or http_drop(). */
typedef void (*http_handler)(const struct http_request *request, struct http_responder *responder,
                             void *data);

struct http_route {
    const char *method; /* "GET" also answers HEAD */
    const char *path;   /* whole path, or a prefix where it ends with "/" and a "*" */
    size_t body_max;    /* bytes; more is answered by 413 */
    http_handler handler;
    bool guarded; /* only from this machine or with a client certificate, else 403; bodies of others are not
                     kept */
};

struct http_server_options {
    uint32_t request_ms;      /* 0 = 10 s */
    uint32_t idle_ms;         /* 0 = 2 min */
    uint32_t answer_ms;       /* then 503; 0 = 30 s */
    uint32_t connections_max; /* 0 = 256 */
    size_t bodies_max;        /* 0 = 128 MiB */
    bool plain_anywhere;      /* without TLS also beyond loopback */
};

struct http_server_counters {
    uint64_t requests, refused_routes, refused_bodies, refused_connections, refused_handshakes;
    uint64_t slow_clients, slow_answers;
    uint32_t connections; /* now */
};

/* Routes are borrowed and must outlive the server. `data` goes to handlers. */
HttpServer *http_server_new(const struct http_route *routes, size_t n_routes,
                            const struct http_server_options *options, void *data);

/* Closes everything. Responders that are still out may be answered; nothing
 * comes of it. */
void http_server_free(HttpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpServer, http_server_free)

/* TLS for connections from now on: our certificate with its key and what it was
 * signed by; with `client_ca_pem` a client must show a certificate for client
 * use that one of those signed. Texts are copied. Before the first listener;
 * later only to replace: what was before stays on an error. */
bool http_server_set_tls(HttpServer *server, const struct tls_pem *pem, const char *client_ca_pem,
                         GError **error);

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":443" (every address). May be
 * called again for more addresses. Without TLS only loopback, see options. */
bool http_server_listen(HttpServer *server, const char *address, GError **error);

/* Of the first listener; 0 before one listens. */
uint16_t http_server_port(const HttpServer *server);

struct http_server_counters http_server_counters(const HttpServer *server);

/* Consumes the responder; copies the body. content_type NULL = text/plain. */
void http_respond(struct http_responder *responder, unsigned status, const char *content_type,
                  const void *body, size_t body_len);
/* The same without a copy: takes a reference of the bytes. */
void http_respond_bytes(struct http_responder *responder, unsigned status, const char *content_type,
                        GBytes *body);
/* Consumes the responder: answers 500. */
void http_drop(struct http_responder *responder);
/* Whether nobody would read an answer: the client has left, or was answered
 * that it took too long. */
bool http_is_gone(const struct http_responder *responder);
/* An answer in pieces, for what is too large to hold: `more` appends the next
 * piece, and is asked for it once the one before has gone out; false when that
 * was the last. `gone` is called once, at the end or when the client leaves. */
struct http_pieces {
    bool (*more)(GString *piece, void *data);
    void (*gone)(void *data);
    void *data;
    bool may_pack; /* with gzip, for who asks for it; each piece is packed as it goes out */
};
void http_respond_pieces(struct http_responder *responder, unsigned status, const char *content_type,
                         const struct http_pieces *pieces);
/* Before http_respond(): one more header. */
void http_header(struct http_responder *responder, const char *name, const char *value);

#endif
