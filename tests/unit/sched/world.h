/* SPDX-License-Identifier: Apache-2.0
 *
 * A random cluster of all families, loaded with random pods: for properties
 * that must hold whatever is asked for.
 */
#ifndef HAMI_TESTS_SCHED_WORLD_H
#define HAMI_TESTS_SCHED_WORLD_H

#include "sched/cluster.h"
#include "vendor/config.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define WORLD_NODES 64

struct world {
    FamilySet *families;
    Cluster *cluster;
    GRand *rand;
    uint32_t n_nodes, n_pods;
    uint32_t kinds[2]; /* the families of this world, so that requests meet cards */
    ClusterNode nodes[WORLD_NODES];
    struct node_spec specs[WORLD_NODES];
    char names[WORLD_NODES][16];
};

void world_init(struct world *w, uint32_t seed);
void world_clear(struct world *w);
uint32_t world_pick(struct world *w, uint32_t n); /* 0 .. n - 1 */
const struct family *world_family(const struct world *w, const char *word);

/* A node with n cards of a family, as its agent would register them. */
struct node_spec *world_add_node(struct world *w, const char *word, uint32_t n);
/* The node again, after its spec was changed. */
void world_set_node(struct world *w, uint32_t i);
/* Puts an NVIDIA node's cards into MIG mode: an A100's profiles. */
void world_cut(struct node_spec *spec);
void world_add_random_nodes(struct world *w, uint32_t n);

/* One app container that asks for n cards; the rest is the caller's to set. */
void world_request(struct world *w, struct pod_request *r, const char *word, uint32_t n);
void world_random_request(struct world *w, struct pod_request *r);
/* Places and binds it; false when it fits nowhere. */
bool world_run(struct world *w, struct pod_request *r);
/* On how many nodes it fits. */
uint32_t world_count(struct world *w, const struct pod_request *r);

#endif
