/* SPDX-License-Identifier: Apache-2.0
 *
 * The service without a network, for fuzz targets of what it is told: the files of src/scheduler that read,
 * decide and write, over a cluster of a few nodes. HTTP, the API server, events and the clock are replaced:
 * what would be sent is kept, and answered when the target says so. Time stands still.
 */
#ifndef HAMI_TESTS_FUZZ_EXTENDER_WORLD_H
#define HAMI_TESTS_FUZZ_EXTENDER_WORLD_H

#include <jansson.h>
#include <stdlib.h>

#include "scheduler/service.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            g_printerr("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* Made once; nodes gpu-a and gpu-b (four cards of 16000 MiB), metax (MetaX, two), empty. Leads, is synced. */
struct scheduler *world(void);
/* No pod holds or waits, nothing was decided, no request is under way; the ledger is sound. */
void world_reset(void);
void world_check(void);

/* One call of a handler. The answer's body once it is there, else NULL; an answer too many aborts. Caller
 * frees. */
char *world_call(http_handler handler, const void *body, size_t len);
char *world_answer(void);
unsigned world_status(void); /* of the last answer */

/* The oldest request to the API server that is under way; NULL = none. Borrowed until it is answered. */
struct world_request {
    char *method, *path, *body;
    GAsyncReadyCallback callback;
    void *data;
};
const struct world_request *world_request(void);
/* status 0: the connection broke and nobody knows. body NULL = "{}". */
void world_reply(unsigned status, const char *body);

/* A watch's vtable by the path's last word, as the service gave it; "nodes", "pods", "resourcequotas". */
void world_event(const char *kind, enum kube_event event, const char *json, size_t len);
void world_list_begins(const char *kind);
void world_list_ends(const char *kind);

/* Holds a number that jansson writes otherwise, or a name twice but for its case. */
bool world_is_ambiguous(json_t *value, const char *text, size_t len);
/* The member in any case. NULL = absent or null. */
json_t *world_member(const json_t *object, const char *name);

#endif
