/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods, through the scanner and through admission: no text may crash either;
 * a patch applies to the pod that it was made for, and a pod that admission
 * has changed is one that it finds nothing more to change in.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/vendor/pods.h"
#include "vendor/admit.h"

#include <stdlib.h>

static struct family_set *set;
static struct pod_reader *reader;
static const struct pod_defaults defaults = {.node_policy = "binpack", .card_policy = "spread"};

static void read_pod(const char *text, size_t len)
{
    struct pod_object pod;
    struct pod_request request;
    const char *fault;
    char *why = NULL;
    if (!pod_object_parse(reader, text, len, &pod, &fault))
        return;
    if (vendor_request_parse(set, &pod, &defaults, &request, NULL, &why))
        pod_request_clear(&request);
    else if (!why || !g_utf8_validate(why, -1, NULL))
        abort();
    g_free(why);
    pod_object_clear(&pod);
}

static void admit_again(const struct admit_policy *policy, json_t *pod, const struct admit_result *first)
{
    struct admit_result second;
    pods_apply(pod, first->patch);
    char *text = json_dumps(pod, JSON_COMPACT);
    vendor_admit_text(set, reader, policy, text, strlen(text), "ns", &second);
    if (!second.allowed || second.patch || second.ours != first->ours)
        abort();
    admit_result_clear(&second);
    free(text);
}

static void admit_pod(const char *text, size_t len)
{
    struct admit_policy policy = {
        .scheduler_name = "hami-scheduler", .force_overwrite = true, .defaults = defaults};
    struct admit_result result;
    vendor_admit_text(set, reader, &policy, text, len, "ns", &result);
    if (!result.allowed && (!result.message || !g_utf8_validate(result.message, -1, NULL)))
        abort();
    json_t *pod = result.allowed ? json_loadb(text, len, 0, NULL) : NULL;
    if (pod)
        admit_again(&policy, pod, &result);
    json_decref(pod);
    admit_result_clear(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!set) {
        set = pods_families();
        reader = pod_reader_new(set);
        for (uint32_t i = 0; i < set->n; i++)
            set->rows[i]->overwrite_env = true;
    }
    read_pod((const char *)data, size);
    admit_pod((const char *)data, size);
    return 0;
}
