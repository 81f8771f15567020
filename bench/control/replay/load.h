/* SPDX-License-Identifier: Apache-2.0
 *
 * The work that is replayed: pods as users make them, and calls as
 * kube-scheduler makes them.
 *
 * Every pod is one of the shapes below, chosen by seed and number. Bodies are
 * what Go's encoder makes of kube-scheduler's types: capitalised keys, "Nodes"
 * null, the pod with its defaults and without managedFields (about 2 KB).
 */
#ifndef HAMI_REPLAY_LOAD_H
#define HAMI_REPLAY_LOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/control/http.h"

/* Requests per device; 0: not said. */
struct shape {
    unsigned share_pct, gpus, mem_mib, mem_pct, cores_pct;
    const char *name;
};

enum mix { MIX_ONE, MIX_ARRIVALS };

struct arrival {
    unsigned number;
    const struct shape *shape;
    char name[40], uid[48], rv[24], node[64];
    double created_ns, bound_ns, due_ns;
    unsigned tries, ended_as;
    bool failed_bind;
};

void load_arrival(struct arrival *arrival, uint64_t seed, unsigned number, enum mix mix);
/* Asks the API server to make it; fills uid and rv. False when it was not made. */
bool load_create(struct http *api, struct arrival *arrival);
bool load_delete(struct http *api, const struct arrival *arrival);
/* What the API server knows: 1 bound (node filled), 0 waiting, -1 gone, -2 no answer. */
int load_look(struct http *api, struct arrival *arrival);

struct names {
    GPtrArray *nodes; /* char * */
    size_t start;     /* where kube-scheduler goes on looking */
};

/* All nodes, read in pages. False when the server does not answer. */
bool load_names(struct http *api, struct names *names);
void load_names_clear(struct names *names);
/* kube-scheduler's default: how many feasible nodes are enough among n. */
size_t load_sample_size(size_t n);

/* The request for /filter with `count` candidates from names->start on (which moves). */
GString *load_filter_request(const struct http *extender, const struct arrival *arrival, struct names *names,
                             size_t count);
enum verdict { VERDICT_NODE, VERDICT_NO_FIT, VERDICT_ERROR };
enum verdict load_filter_verdict(const GString *body, char *node, size_t size);
GString *load_bind_request(const struct http *extender, const struct arrival *arrival);
/* True when the reply says that it is done. */
bool load_bind_done(const GString *body);

/* An AdmissionReview of a pod with so many containers, each with a slice and without a count: all are
 * patched. */
GString *load_review(unsigned containers);

#endif
