/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's inside, for its three files: http_server.c (the object),
 * http_listen.c (listeners and connections), http_route.c (requests and
 * answers). For src/net only.
 */
#ifndef HAMI_NET_HTTP_SERVER_PRIVATE_H
#define HAMI_NET_HTTP_SERVER_PRIVATE_H

#include <libsoup/soup.h>

#include "net/http_server.h"

struct http_server {
    unsigned references; /* owner, connections, responders */
    bool freed;
    const struct http_route *routes;
    size_t n_routes;
    struct http_server_options options; /* defaults filled in */
    void *data;
    GMainContext *context;
    SoupServer *soup;
    int keep_fd; /* see http_server_new() */
    GTlsCertificate *certificate;
    GTlsDatabase *anchors;
    GPtrArray *listeners; /* struct http_listener */
    GQueue waiting;       /* connections whose client is due, the longest first */
    GQueue handshakes;    /* struct handshake, the oldest first, */
    GQueue hellos;        /* and struct hello that wait for theirs */
    GSource *stalled;
    uint16_t port;
    size_t bodies; /* bytes of bodies that are under way */
    struct http_server_counters counters;
};

HttpServer *http_server_ref(HttpServer *server);
void http_server_unref(HttpServer *server);

void http_listener_free(void *listener);

/* A client's connection; lives until its stream is gone. */
struct http_connection {
    HttpServer *server;
    GSocket *socket;
    GSocketAddress *remote; /* leads from a message to us; NULL before SoupServer has it */
    GIOStream *stream;      /* what SoupServer has; weak */
    GSource *deadline;
    GList link; /* in `waiting` */
    bool waiting, used;
    void *hello; /* struct hello that waits for its handshake */
    char *peer;  /* common name of the client's certificate */
    bool local;
};

/* The connection that a message came on; NULL when it is gone. */
struct http_connection *http_connection_of(SoupServerMessage *message);

/* The client has so long to send; then, or when room is needed, the connection ends. */
void http_connection_wait(struct http_connection *c, uint32_t ms);
/* Whether no request is under way. */
void http_connection_idle(struct http_connection *c, bool idle);
/* The client has so long to take what we send. */
void http_connection_drain(struct http_connection *c, uint32_t ms);
/* It is our turn: no deadline. */
void http_connection_ours(struct http_connection *c);
void http_connection_cut(struct http_connection *c);

/* Connects the routes to server->soup. */
void http_route_setup(HttpServer *server);

/* A source of the server's context that calls back once. Caller destroys and unrefs. */
GSource *http_server_timer(HttpServer *server, uint32_t ms, GSourceFunc callback, void *data);

#endif
