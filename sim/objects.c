/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of the driver's objects: never returned to malloc, reused only for
 * the same size class and only after a while, so that a handle of a destroyed
 * object keeps pointing at something that says it is dead. Any thread.
 */
#include "objects.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_STEP 64u
#define CLASSES 64u    /* objects up to 4 KiB */
#define QUARANTINE 64u /* destroyed objects of a class that rest before reuse */

pthread_mutex_t sim_driver_lock = PTHREAD_MUTEX_INITIALIZER;

struct header {
    struct header *next;
    size_t class;
};

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool {
    struct header *first, *last;
    unsigned resting;
} pools[CLASSES];

static struct header *reuse(struct pool *p)
{
    if (p->resting <= QUARANTINE)
        return NULL;
    struct header *h = p->first;
    p->first = h->next;
    if (p->first == NULL)
        p->last = NULL;
    p->resting--;
    return h;
}

void *sim_object_new(enum sim_tag tag, size_t size)
{
    size_t class = (size + CLASS_STEP - 1) / CLASS_STEP;
    if (class >= CLASSES)
        return NULL;
    pthread_mutex_lock(&pool_lock);
    struct header *h = reuse(&pools[class]);
    pthread_mutex_unlock(&pool_lock);
    if (h == NULL)
        h = malloc(sizeof(*h) + class * CLASS_STEP);
    if (h == NULL)
        return NULL;
    h->next = NULL;
    h->class = class;
    memset(h + 1, 0, class * CLASS_STEP);
    *(uint32_t *)(h + 1) = (uint32_t)tag;
    return h + 1;
}

void sim_object_free(void *object)
{
    if (object == NULL)
        return;
    struct header *h = (struct header *)object - 1;
    *(uint32_t *)object = 0;
    pthread_mutex_lock(&pool_lock);
    struct pool *p = &pools[h->class];
    h->next = NULL;
    if (p->last != NULL)
        p->last->next = h;
    else
        p->first = h;
    p->last = h;
    p->resting++;
    pthread_mutex_unlock(&pool_lock);
}
