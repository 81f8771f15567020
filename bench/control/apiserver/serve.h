/* SPDX-License-Identifier: Apache-2.0
 *
 * A small HTTP/1.1 server: one thread, epoll, keep-alive, chunked streams.
 *
 * Invariants:
 *   1. One request of a connection is in work at a time; what a client sends
 *      ahead waits in the connection's buffer.
 *   2. A stream is pulled: its source is asked for more only while less than
 *      a few hundred KiB wait for the client, so a slow reader costs no memory.
 *   3. Nothing is written before the events of one turn are all handled: what
 *      they produced for one client leaves in one packet.
 * Not served: TLS, HTTP/2, request bodies in chunks, Expect: 100-continue.
 */
#ifndef HAMI_FAKE_SERVE_H
#define HAMI_FAKE_SERVE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct server Server;
typedef struct connection Connection;

struct request {
    Connection *connection;
    const char *method, *path, *query; /* query "" when there is none */
    char agent[64], content_type[96], authorization[256];
    bool takes_gzip;
    const char *body;
    size_t body_size;
    size_t head_size;
};

enum pull { PULL_MORE, PULL_IDLE, PULL_END, PULL_BREAK };

/* A source appends whole frames to out. IDLE: nothing now, serve_wake() when there is. BREAK: the connection
 * is cut without an end. */
typedef enum pull (*ServePull)(void *stream, GString *out);
typedef void (*ServeStreamFree)(void *stream);

/* Answers one request: exactly one reply_* call, at once. */
typedef void (*ServeHandler)(void *user, struct request *request);
/* How long a request waits before it is handled, in ns. */
typedef uint64_t (*ServeDelay)(void *user, const struct request *request);

typedef void (*ServeTimer)(void *user);

/* address: IPV4:PORT, port 0 for any. NULL with errno set on failure. */
Server *serve_new(const char *address, ServeHandler handler, ServeDelay delay, void *user);
void serve_free(Server *server);
unsigned serve_port(const Server *server);
/* Until serve_quit(). */
void serve_run(Server *server);
/* May be called from a signal handler. */
void serve_quit(Server *server);

void reply(struct request *request, int code, const char *content_type, const char *body, size_t size);
/* Further header lines, each with its end; NULL for none. */
void reply_with(struct request *request, int code, const char *headers, const char *content_type,
                const char *body, size_t size);
/* Takes stream. */
void reply_stream(struct request *request, ServePull pull, void *stream, ServeStreamFree done);
/* No reply: the connection is cut. */
void reply_cut(struct request *request);
void serve_wake(Connection *connection);
/* Cuts every connection but the one of `except` (may be NULL). */
void serve_cut_all(Server *server, const struct request *except);
/* Refuses new connections until serve_listen(server, true). */
void serve_listen(Server *server, bool on);

uint64_t serve_now_ns(void);
/* One call of run in delay_ns; the handle is good until it ran or was cancelled. */
void *serve_after(Server *server, uint64_t delay_ns, ServeTimer run, void *user);
void serve_cancel(Server *server, void *timer);
uint64_t serve_bytes_out(const Connection *connection);

#endif
