/* SPDX-License-Identifier: Apache-2.0
 *
 * When reservations end: a heap. Entries are not looked for when a pod is bound
 * or released; they are void then, and swept once they are the most.
 */
#include "sched/cluster_internal.h"

static struct deadline *heap(Cluster *c)
{
    return (struct deadline *)(void *)c->deadlines->data;
}

static void sift_up(Cluster *c, uint32_t i)
{
    struct deadline *h = heap(c), moving = h[i];
    for (; i && h[(i - 1) / 2].at > moving.at; i = (i - 1) / 2)
        h[i] = h[(i - 1) / 2];
    h[i] = moving;
}

static void sift_down(Cluster *c, uint32_t i)
{
    struct deadline *h = heap(c), moving = h[i];
    uint32_t n = c->deadlines->len;
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && h[child + 1].at < h[child].at)
            child++;
        if (h[child].at >= moving.at)
            break;
        h[i] = h[child];
    }
    h[i] = moving;
}

static bool is_void(const Cluster *c, const struct deadline *d)
{
    const struct pod_record *p = pod_store_at(c->pods, d->pod);
    return p->state != POD_RESERVED || pod_record_deadline(p) != d->at;
}

static void sweep_void(Cluster *c)
{
    uint32_t kept = 0;
    if (c->deadlines->len < 2 * c->n_reserved + 256)
        return;
    for (uint32_t i = 0; i < c->deadlines->len; i++)
        if (!is_void(c, &heap(c)[i]))
            heap(c)[kept++] = heap(c)[i];
    g_array_set_size(c->deadlines, kept);
    for (uint32_t i = kept / 2; i-- > 0;)
        sift_down(c, i);
}

void deadline_push(Cluster *c, int64_t at, uint32_t pod)
{
    struct deadline d = {.at = at, .pod = pod};
    sweep_void(c);
    g_array_append_val(c->deadlines, d);
    sift_up(c, c->deadlines->len - 1);
}

static void pop(Cluster *c)
{
    heap(c)[0] = heap(c)[c->deadlines->len - 1];
    g_array_set_size(c->deadlines, c->deadlines->len - 1);
    if (c->deadlines->len)
        sift_down(c, 0);
}

int64_t cluster_expire(Cluster *c, int64_t now_ms)
{
    while (c->deadlines->len) {
        struct deadline first = heap(c)[0];
        bool is_over = is_void(c, &first);
        if (!is_over && first.at > now_ms)
            return first.at;
        pop(c);
        if (is_over)
            continue;
        pod_drop(c, first.pod, false);
        c->freed++;
    }
    return INT64_MAX;
}
