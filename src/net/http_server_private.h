/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's inside, for its four files: http_server.c (the object and its
 * clock), http_listen.c (listeners and connections), http_route.c (requests and
 * answers), http_tls.c (who we are, and whom we believe). For src/net only.
 *
 * HTTP itself is libmicrohttpd's, driven by a source of our main loop. It is
 * given connections, and told to end one by shutting its socket down: whoever
 * reads or writes there sees the end and cleans up.
 */
#ifndef HAMI_NET_HTTP_SERVER_PRIVATE_H
#define HAMI_NET_HTTP_SERVER_PRIVATE_H

#include <gnutls/abstract.h>
#include <microhttpd.h>

#include "net/http_server.h"

struct http_identity;

struct http_server {
    unsigned references; /* owner, responders */
    bool freed;
    const struct http_route *routes;
    size_t n_routes;
    struct http_server_options options; /* defaults filled in */
    void *data;
    GMainContext *context;
    struct MHD_Daemon *engine; /* from the first listener on, with TLS or without */
    GSource *turns;            /* turn the engine */
    bool turning;
    bool resumed; /* it has something to do that it does not tell of */
    int leaving;  /* epoll of the clients that wait for an answer: a source for each would cost more than its
                     answer, for the main loop looks at all sources at every turn */
    GSource *left;
    struct http_identity *identity;
    GPtrArray *listeners;           /* struct http_listener */
    GQueue connections;             /* all of them */
    GQueue waiting;                 /* those whose client is due to send, the longest first */
    GQueue hellos;                  /* those whose handshake can begin */
    GSource *begin;                 /* begins them */
    struct http_connection *adding; /* handed to the engine just now */
    GSource *clock;                 /* looks for who is late, */
    int64_t clock_us;               /* at that moment; INT64_MAX = never */
    uint16_t port;
    size_t bodies; /* bytes of bodies that are under way */
    struct http_server_counters counters;
};

HttpServer *http_server_ref(HttpServer *server);
void http_server_unref(HttpServer *server);

/* Begins to serve, once. */
bool http_server_open(HttpServer *server, GError **error);

/* A source of the server's context that calls back after a while. Caller destroys and unrefs. */
GSource *http_server_timer(HttpServer *server, uint32_t ms, GSourceFunc callback, void *data);

void http_listener_free(void *listener);

enum http_due { HTTP_NOBODY, HTTP_CLIENT_SENDS, HTTP_CLIENT_TAKES, HTTP_WE_ANSWER };

/* A client's connection. */
struct http_connection {
    HttpServer *server;
    int fd;                     /* the engine closes it once it has it */
    struct MHD_Connection *mhd; /* NULL: its handshake has not begun */
    GSource *hello;             /* looks at what the client says first, */
    int wanted;                 /* bytes of it */
    GList link, waits, begins;  /* in the server's queues of that order */
    bool in_waiting, in_hellos;
    enum http_due due;
    int64_t due_us;
    struct http_responder *request; /* under way */
    struct http_identity *identity; /* that it met */
    GString *target;                /* of the request */
    char *peer;                     /* common name of the client's certificate */
    bool local, shaken;             /* hands */
    bool keeps_next;                /* what is sent next waits for what follows it, */
    GByteArray *kept;               /* here; NULL without TLS */
};

/* Who is due, and has so long; a client that is late is cut. */
void http_connection_due(struct http_connection *c, enum http_due due, uint32_t ms);
/* May free it. */
void http_connection_cut(struct http_connection *c);
/* The engine's callbacks; data is the HttpServer. */
void http_connection_notify(void *data, struct MHD_Connection *mhd, void **context,
                            enum MHD_ConnectionNotificationCode what);

void *http_request_target(void *data, const char *target, struct MHD_Connection *mhd);
enum MHD_Result http_request_step(void *data, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *chunk, size_t *len, void **context);
void http_request_over(void *data, struct MHD_Connection *mhd, void **context,
                       enum MHD_RequestTerminationCode how);
/* Clients whose answers are not there yet have left; fd is `leaving`. */
gboolean http_requests_left(int fd, GIOCondition condition, void *data);
/* It took too long: 503. */
void http_request_late(struct http_responder *r);
/* Nobody reads an answer any more. */
void http_request_abandon(struct http_responder *r);

struct http_connection *http_connection_of(struct MHD_Connection *mhd);

/* Caller unrefs. client_ca_pem may be NULL. */
struct http_identity *http_identity_new(const struct tls_pem *pem, const char *client_ca_pem, GError **error);
struct http_identity *http_identity_ref(struct http_identity *identity);
void http_identity_unref(struct http_identity *identity);
/* Prepares the handshake of a connection, which has an identity. */
void http_identity_apply(struct http_connection *c, gnutls_session_t session);
/* An answer's head and body are sent one after the other; the client wakes up
 * for both together. Without effect where there is no TLS. */
void http_identity_keep_next(struct http_connection *c);
/* Nothing follows. */
void http_identity_flush(struct http_connection *c);
/* GnuTLS' question for the certificate of a session. */
int http_identity_retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                           const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                           gnutls_pcert_st **ret_chain, unsigned *ret_n, gnutls_privkey_t *ret_key);

#endif
