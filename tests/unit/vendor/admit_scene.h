/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests of admission share: a policy, pods by ' for ", and the pod that a
 * patch makes.
 */
#ifndef HAMI_TESTS_VENDOR_ADMIT_SCENE_H
#define HAMI_TESTS_VENDOR_ADMIT_SCENE_H

#include "pods.h"
#include "vendor/admit.h"

/* ---- asking ---- */

static inline struct admit_policy policy(void)
{
    return (struct admit_policy){.scheduler_name = "hami-scheduler",
                                 .force_overwrite = true,
                                 .defaults = {.node_policy = "binpack", .card_policy = "spread"}};
}

static inline json_t *load(const char *quoted)
{
    g_autofree char *text = pods_text(quoted);
    json_error_t error;
    json_t *pod = json_loads(text, 0, &error);
    if (!pod)
        g_error("%s at %d: %s", error.text, error.position, text);
    return pod;
}

static inline char *dump(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    char *copy = g_strdelimit(g_strdup(text ? text : ""), "\"", '\'');
    free(text);
    return copy;
}

static inline void admit(const struct family_set *set, const struct admit_policy *p, const json_t *pod,
                         struct admit_result *ret)
{
    char *text = json_dumps(pod, JSON_COMPACT);
    vendor_admit_text(set, NULL, p, text, strlen(text), "ns", ret);
    free(text);
}

/* Admits a pod that must pass; the pod afterwards, quoted by '. Caller frees. */
static inline char *admitted(const struct family_set *set, const struct admit_policy *p, const char *quoted,
                             bool *ret_ours)
{
    json_t *pod = load(quoted);
    struct admit_result r;
    admit(set, p, pod, &r);
    if (!r.allowed)
        g_error("refused: %s", r.message);
    pods_apply(pod, r.patch);
    char *after = dump(pod);
    *ret_ours = r.ours;
    admit_result_clear(&r);
    json_decref(pod);
    return after;
}

/* ---- containers ---- */

/* A pod around one container's members and a pod's annotations; the container is named c. */
static inline char *around(const char *container, const char *spec, const char *metadata)
{
    return g_strdup_printf("{'metadata':{%s},'spec':{%s%s'containers':[{'name':'c'%s%s}]}}", metadata, spec,
                           *spec ? "," : "", *container ? "," : "", container);
}

#define LIMITS(text) "'resources':{'limits':{" text "}}"
#define REQUESTS(text) "'resources':{'requests':{" text "}}"
#define BOTH(limits, requests) "'resources':{'limits':{" limits "},'requests':{" requests "}}"
#define EQUAL(text) BOTH(text, text)
#define OURS "'schedulerName':'hami-scheduler'"

#endif
