/* SPDX-License-Identifier: Apache-2.0
 *
 * Reviews, through the scanner and admission, beside jansson's reading of the
 * same text: both see the same request; the answer is that for the document as
 * jansson writes it anew, and for it with every character escaped; a patch
 * changes nothing but what admission is for; and what must never pass does not.
 */
#include "scheduler/review_body.h"
#include "tests/fuzz/escaped.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/vendor/pods.h"
#include "vendor/admit.h"

#include <stdlib.h>

static struct family_set *set;
static struct pod_reader *reader;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

/* ---- the answer, as one text ---- */

static char *answer(const char *text, size_t len, struct admit_result *ret)
{
    struct admit_policy policy = {.scheduler_name = "hami-scheduler",
                                  .force_overwrite = true,
                                  .defaults = {.node_policy = "binpack", .card_policy = "spread"}};
    struct review_body r;
    const char *fault = review_body_read(reader, text, len, &r);
    *ret = (struct admit_result){0};
    char *all = NULL;
    if (!fault && r.object == JSON_IS_OBJECT && !r.large) {
        vendor_admit(set, &policy, &r.pod, r.namespace_ ? r.namespace_ : "", ret);
        CHECK(ret->allowed || (ret->message && g_utf8_validate(ret->message, -1, NULL)));
        all = g_strdup_printf("%s|%s|%s|%d|%d|%s|%s", r.uid ? r.uid : "", r.namespace_ ? r.namespace_ : "",
                              r.user ? r.user : "", ret->allowed, ret->ours, ret->message ? ret->message : "",
                              ret->patch ? ret->patch : "");
    }
    review_body_clear(&r);
    return all;
}

static void expect(const char *text, const char *wanted)
{
    struct admit_result result;
    g_autofree char *got = answer(text, strlen(text), &result);
    CHECK(g_strcmp0(got, wanted) == 0);
    admit_result_clear(&result);
}

/* ---- what may differ ---- */

static bool is_ours(const char *resource)
{
    for (uint32_t i = 0; i < set->n; i++)
        for (int k = 0; k < FAMILY_RESOURCES; k++)
            if (g_strcmp0(set->rows[i]->resource[k], resource) == 0)
                return true;
    return false;
}

static bool is_word(const char *word, const char *const *list)
{
    return g_strv_contains(list, word);
}

static json_t *get(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

/* Takes out of both what admission may write; objects that are empty then may have been made. */
static void drop(json_t *before, json_t *after, bool (*may)(const char *key))
{
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(after, next, key, value)
    {
        if (!may(key))
            continue;
        json_object_del(before, key);
        json_object_del(after, key);
    }
}

static void drop_empty(json_t *before, json_t *after, const char *key)
{
    json_t *was = json_object_get(before, key), *is = json_object_get(after, key);
    if (json_object_size(is) + json_array_size(is) == 0 &&
        (!was || json_is_null(was) || json_equal(was, is))) {
        json_object_del(before, key);
        json_object_del(after, key);
    }
}

static void drop_variables(json_t *before, json_t *after)
{
    static const char *const names[] = {"CUDA_TASK_PRIORITY",     "GPU_CORE_UTILIZATION_POLICY",
                                        "SOL_CONTINER_NAME",      "NVIDIA_VISIBLE_DEVICES",
                                        "ASCEND_VISIBLE_DEVICES", NULL};
    CHECK(json_array_size(before) <= json_array_size(after));
    for (size_t i = json_array_size(after); i-- > 0;) {
        json_t *was = json_array_get(before, i), *is = json_array_get(after, i);
        if (was && json_equal(was, is))
            continue;
        const char *name = json_string_value(json_object_get(is, "name"));
        CHECK(name && is_word(name, names));
        CHECK(!was || g_strcmp0(json_string_value(json_object_get(was, "name")), name) == 0);
        json_array_remove(before, i);
        json_array_remove(after, i);
    }
}

static void drop_container(json_t *before, json_t *after)
{
    json_t *was = json_object_get(before, "resources"), *is = json_object_get(after, "resources");
    const char *const sections[] = {"limits", "requests"};
    for (int i = 0; i < 2 && is; i++) {
        drop(json_object_get(was, sections[i]), json_object_get(is, sections[i]), is_ours);
        drop_empty(was, is, sections[i]);
    }
    drop_empty(before, after, "resources");
    if (json_is_array(json_object_get(after, "env")))
        drop_variables(json_object_get(before, "env"), json_object_get(after, "env"));
    drop_empty(before, after, "env");
}

static bool is_written_annotation(const char *key)
{
    return strcmp(key, "metax-tech.com/sgpu-qos-policy") == 0 ||
           strcmp(key, "mthreads.com/request-gpu-num") == 0;
}

static bool is_written_text(const char *key)
{
    return strcmp(key, "schedulerName") == 0 || strcmp(key, "runtimeClassName") == 0;
}

static const char *const lists[] = {"initContainers", "containers"};

static void check_patch(const json_t *pod, const char *patch)
{
    json_t *before = json_deep_copy(pod), *after = json_deep_copy(pod);
    pods_apply(after, patch);
    drop(json_object_get(json_object_get(before, "metadata"), "annotations"),
         json_object_get(json_object_get(after, "metadata"), "annotations"), is_written_annotation);
    drop_empty(json_object_get(before, "metadata"), json_object_get(after, "metadata"), "annotations");
    drop_empty(before, after, "metadata");
    json_t *was = json_object_get(before, "spec"), *is = json_object_get(after, "spec");
    drop(was, is, is_written_text);
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < json_array_size(json_object_get(is, lists[l])); i++)
            drop_container(json_array_get(json_object_get(was, lists[l]), i),
                           json_array_get(json_object_get(is, lists[l]), i));
    CHECK(json_equal(before, after));
    json_decref(before);
    json_decref(after);
}

/* ---- what must not pass ---- */

static bool asks(const json_t *container)
{
    return get(get(get(container, "resources"), "limits"), "nvidia.com/gpu") != NULL;
}

static bool is_others(const json_t *spec)
{
    const char *name = json_string_value(json_object_get(spec, "schedulerName"));
    return name && *name && strcmp(name, "default-scheduler") != 0 && strcmp(name, "hami-scheduler") != 0;
}

static void check_passed(const json_t *pod, const struct admit_result *result)
{
    const json_t *spec = json_object_get(pod, "spec"), *metadata = json_object_get(pod, "metadata");
    const char *key, *node = json_string_value(json_object_get(spec, "nodeName"));
    json_t *value;
    bool ours = false, privileged = false;
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < json_array_size(json_object_get(spec, lists[l])); i++) {
            const json_t *c = json_array_get(json_object_get(spec, lists[l]), i);
            ours |= asks(c);
            privileged |= json_is_true(get(get(c, "securityContext"), "privileged"));
        }
    json_object_foreach(json_object_get(metadata, "annotations"), key, value)
        CHECK(!g_str_has_prefix(key, "hami.io/vgpu-"));
    json_object_foreach(json_object_get(metadata, "labels"), key, value)
        CHECK(!g_str_has_prefix(key, "hami.io/vgpu-"));
    if (is_others(spec)) {
        CHECK(!result->patch);
        return;
    }
    CHECK(!ours || result->ours);
    CHECK(!result->ours || (!privileged && (!node || !*node)));
}

static bool has_reals(const json_t *value)
{
    const char *key;
    json_t *child;
    size_t i;
    bool found = json_is_real(value);
    json_object_foreach((json_t *)(uintptr_t)value, key, child) found |= has_reals(child);
    json_array_foreach((json_t *)(uintptr_t)value, i, child) found |= has_reals(child);
    return found;
}

static void compare(const char *text, size_t len, json_t *review, const char *ours,
                    const struct admit_result *result)
{
    json_t *pod = json_object_get(json_object_get(review, "request"), "object");
    if (result->allowed) {
        check_patch(pod, result->patch);
        check_passed(pod, result);
    }
    if (has_reals(review) ||
        g_strstr_len(text, (gssize)len, "-0")) /* numbers that jansson writes otherwise */
        return;
    char *plain = json_dumps(review, 0);
    g_autofree char *escaped = escaped_dump(review);
    expect(plain, ours);
    expect(escaped, ours);
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct admit_result result;
    if (!set) {
        set = pods_families();
        reader = pod_reader_new(set);
        for (uint32_t i = 0; i < set->n; i++)
            set->rows[i]->overwrite_env = true;
    }
    g_autofree char *ours = answer(text, size, &result);
    json_t *review = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (review && ours)
        compare(text, size, review, ours, &result);
    json_decref(review);
    admit_result_clear(&result);
    return 0;
}
