/* SPDX-License-Identifier: Apache-2.0
 *
 * Kubernetes' Quantity as text to the integer that its AsInt64 gives: the
 * figures of a container's limits and of a node's capacity. An integer is a
 * number whose written scale is not below one ("4k", "16Gi", "1e3", "1.5k");
 * "16.0Gi", "4.0" and "1000m" are not, though the API server rewrites them to
 * "16Gi", "4" and "1" before anybody else sees them. No floating point.
 *
 * Source: apimachinery's resource.ParseQuantity and Quantity.AsInt64.
 */
#ifndef HAMI_MODEL_KUBE_QUANTITY_H
#define HAMI_MODEL_KUBE_QUANTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kube_quantity {
    KUBE_QUANTITY_INTEGER,
    KUBE_QUANTITY_MALFORMED, /* no quantity at all */
    KUBE_QUANTITY_FRACTION,  /* written with a fraction or a unit below one */
    KUBE_QUANTITY_LARGE      /* beyond 64 bits or Kubernetes' own precision */
};

/* *ret is written for an integer only. Blanks around the text are ignored. */
enum kube_quantity kube_quantity_parse(const char *text, size_t len, int64_t *ret);

/* Whether the text carries a suffix with a letter once Kubernetes has rewritten
 * it: "4Gi", "4k", and "4000", which becomes "4k". */
bool kube_quantity_has_suffix(const char *text, size_t len);

#endif
