/* SPDX-License-Identifier: Apache-2.0 */
#include "crowd.h"

#include "bench/measure.h"
#include "samples.h"

struct place {
    struct crowd_member member;
    void (*call)(struct crowd_member *);
    GThread *thread;
};

static void *enter(void *data)
{
    struct place *p = data;
    p->call(&p->member);
    return NULL;
}

struct crowd crowd_run(const struct options *o, int n, void (*call)(struct crowd_member *),
                       const void *shared)
{
    g_autofree struct place *places = g_new0(struct place, (size_t)n);
    struct crowd ret = {0};
    double begun = now_ns(), cpu = o->pid ? process_cpu_s(o->pid) : 0;
    for (int i = 0; i < n; i++) {
        places[i].member = (struct crowd_member){o, shared, (unsigned)i, begun + o->seconds * 1e9, 0, 0};
        places[i].call = call;
        places[i].thread = g_thread_new("caller", enter, &places[i]);
    }
    for (int i = 0; i < n; i++) {
        g_thread_join(places[i].thread);
        ret.done += places[i].member.done;
        ret.errors += places[i].member.errors;
    }
    ret.span_s = (now_ns() - begun) / 1e9;
    ret.cpu_s = o->pid ? process_cpu_s(o->pid) - cpu : 0;
    return ret;
}

double crowd_per_core(const struct crowd *c)
{
    return c->cpu_s > 0 ? c->done / c->cpu_s : 0.0;
}
