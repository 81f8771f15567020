/* SPDX-License-Identifier: Apache-2.0
 *
 * A cluster made from a seed: nodes with cards that are registered as the
 * field's NVIDIA device plugin does it, and pods already bound to them with
 * the annotations its scheduler writes. A card holds one pod with the whole
 * card, two with half or four with a quarter; with two pods per card on average
 * 20 % of the pods are whole, 30 % half and 50 % quarter, and 5 % of the cards
 * are free: half of those on nodes that are entirely free.
 *
 * Only who is where is kept (12 bytes a pod); JSON is written when read.
 */
#ifndef HAMI_FAKE_CLUSTER_H
#define HAMI_FAKE_CLUSTER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CARD_MEM_MIB 143771u
#define CARD_SLOTS 10u
#define CARD_CORES 100u

struct cluster_pod {
    uint32_t node;
    uint8_t card, share_pct;
    uint16_t on_card; /* which of the card's pods */
};

struct cluster {
    uint64_t seed;
    uint32_t nodes, cards;
    struct cluster_pod *pods;
    uint32_t n_pods;
};

/* pods_per_card: 0 to 2. */
void cluster_init(struct cluster *cluster, uint64_t seed, uint32_t nodes, uint32_t cards,
                  double pods_per_card);
void cluster_clear(struct cluster *cluster);

/* Each name has its own buffer size. */
void cluster_node_name(const struct cluster *cluster, uint32_t node, char name[static 40]);
void cluster_card_uuid(const struct cluster *cluster, uint32_t node, uint32_t card, char uuid[static 48]);
/* "namespace/name" */
void cluster_pod_key(const struct cluster *cluster, uint32_t pod, char key[static 64]);

/* The object without kind and apiVersion. */
void cluster_node_json(const struct cluster *cluster, uint32_t node, uint64_t rv, GString *out);
void cluster_pod_json(const struct cluster *cluster, uint32_t pod, uint64_t rv, GString *out);

#endif
