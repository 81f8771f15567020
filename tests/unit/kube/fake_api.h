/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for an API server inside the test's process, for the faults that a
 * real one cannot be made to have at will. It knows no objects: a test's
 * handler answers each request. What it leaves out: everything else.
 */
#ifndef HAMI_TESTS_FAKE_API_H
#define HAMI_TESTS_FAKE_API_H

#include <libsoup/soup.h>
#include <stdbool.h>

#include "kube/client.h"

struct fake_request {
    SoupServerMessage *message;
    const char *method, *path, *query; /* query "" without one */
    const char *body;
    const char *authorization; /* "" without one */
    unsigned number;           /* 1, 2, ... */
};

struct fake_api {
    SoupServer *server;
    void (*handle)(struct fake_api *api, const struct fake_request *r);
    void *data;
    unsigned requests;
    GHashTable *sockets; /* of requests: how many connections there were */
    GPtrArray *streams;  /* SoupServerMessage, open answers */
};

void fake_api_open(struct fake_api *api, void (*handle)(struct fake_api *, const struct fake_request *),
                   void *data);
void fake_api_close(struct fake_api *api);

/* A configuration and a client for it. options may be NULL. */
KubeConfig *fake_api_config(const struct fake_api *api);
KubeClient *fake_api_client(const struct fake_api *api, const struct kube_client_options *options);

void fake_answer(const struct fake_request *r, unsigned status, const char *json);
/* {"kind":"Status",...}; retry_after may be NULL. */
void fake_status(const struct fake_request *r, unsigned status, const char *reason, const char *retry_after);
/* Ends the connection by RST without an answer. */
void fake_reset(const struct fake_request *r);
/* The server's end of a connection, by RST. */
void fake_reset_socket(GSocket *socket);

/* An answer of 200 that stays open; further text goes to the newest one. */
void fake_stream(struct fake_api *api, const struct fake_request *r, const char *text);
void fake_send(struct fake_api *api, const char *text);
void fake_send_bytes(struct fake_api *api, const void *bytes, size_t len);
void fake_send_all(struct fake_api *api, const char *text);
void fake_end(struct fake_api *api);
void fake_break(struct fake_api *api); /* RST */

/* Turns the main loop until *flag, at most ten seconds. */
void wait_for(const bool *flag);
/* Turns it for so long, for what must not happen. How many turns it took: few
 * when nothing happens. */
unsigned wait_ms(unsigned ms);
/* ... until *count is at least n. */
void wait_count(const unsigned *count, unsigned n);

/* No jitter: back-off waits are half of their bound. */
uint32_t no_jitter(uint32_t below, void *data);

#endif
