/* SPDX-License-Identifier: Apache-2.0
 *
 * `hami yaml --check` of any file: documents, the pods in them, lint and
 * admission. Nothing is changed by looking, and every finding is a sentence for people.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml_json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/vendor/pods.h"
#include "vendor/admit.h"
#include "vendor/manifest.h"
#include "vendor/manifest_lint.h"

static struct family_set *set;

static void check_sentence(const char *message)
{
    if (!message || !*message || !g_utf8_validate(message, -1, NULL))
        abort();
}

static void say(enum lint_level level, const char *message, void *data)
{
    (void)data;
    if (level > LINT_NOTE)
        abort();
    check_sentence(message);
}

static void check_pod(json_t *pod, const char *where, const char *in_namespace, void *data)
{
    static const struct admit_policy policy = {
        .scheduler_name = "hami-scheduler", .force_overwrite = true, .defaults = {"binpack", "spread"}};
    struct admit_result result = {0};
    json_t *before = json_deep_copy(pod);
    char *text = json_dumps(pod, JSON_COMPACT);
    (void)data;
    check_sentence(where);
    vendor_admit_text(set, NULL, &policy, text ? text : "", text ? strlen(text) : 0, in_namespace, &result);
    if (!result.allowed)
        check_sentence(result.message);
    for (guint i = 0; result.warnings && i < result.warnings->len; i++)
        check_sentence(result.warnings->pdata[i]);
    manifest_lint(set, pod, say, NULL);
    if (!json_equal(before, pod))
        abort();
    admit_result_clear(&result);
    json_decref(before);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    json_t *document;
    size_t i;
    if (!set)
        set = pods_families();
    json_t *documents = yaml_json_parse((const char *)data, size, &error);
    if ((documents == NULL) != (error != NULL))
        abort();
    json_array_foreach(documents, i, document) manifest_pods(document, check_pod, NULL);
    json_decref(documents);
    return 0;
}
