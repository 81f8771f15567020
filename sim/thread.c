/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver keeps per thread: the stack of current contexts, the
 * thread's default streams and its capture mode.
 */
#include <stdlib.h>

#include "objects.h"

static __thread struct sim_thread *self __attribute__((tls_model("initial-exec")));
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void thread_ends(void *arg)
{
    struct sim_thread *t = arg;
    pthread_mutex_lock(&sim_driver_lock);
    for (unsigned i = 0; i < t->n_own; i++)
        if (sim_object_is(t->own[i], SIM_TAG_STREAM) && t->own[i]->per_thread)
            sim_stream_free(t->own[i]);
    pthread_mutex_unlock(&sim_driver_lock);
    self = NULL;
    free(t);
}

static void make_key(void)
{
    pthread_key_create(&key, thread_ends);
}

struct sim_thread *sim_thread_self(void)
{
    if (self != NULL)
        return self;
    pthread_once(&key_once, make_key);
    self = calloc(1, sizeof(*self));
    if (self != NULL)
        pthread_setspecific(key, self);
    return self;
}

struct sim_context *sim_context_current(void)
{
    return self != NULL && self->depth > 0 ? self->stack[self->depth - 1] : NULL;
}
