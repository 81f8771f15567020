/* SPDX-License-Identifier: Apache-2.0 */
#include "vendor/manifest.h"

#include <string.h>

#include "base/status.h"
#include "base/words.h"
#include "model/annotation.h"
#include "model/quantity.h"
#include "vendor/admit.h"
#include "vendor/families.h"

const struct family *manifest_vendor(const struct family_set *set, const char *word)
{
    if (!word || !*word)
        word = WORD_NVIDIA;
    for (uint32_t i = 0; i < set->n; i++)
        if (g_ascii_strcasecmp(set->rows[i]->word, word) == 0)
            return set->rows[i];
    /* "cambricon", "amd": the head of the resource's name. */
    for (uint32_t i = 0; i < set->n; i++) {
        const char *count = set->rows[i]->resource[FAMILY_COUNT];
        size_t n = strlen(word);
        if (count && g_ascii_strncasecmp(count, word, n) == 0 && (count[n] == '.' || count[n] == '-'))
            return set->rows[i];
    }
    return NULL;
}

static bool fail(GError **error, const char *flag, const char *value, const char *what)
{
    g_set_error(error, STATUS_ERROR, STATUS_USAGE, "--%s %s: %s", flag, value, what);
    return false;
}

static bool set_number(json_t *limits, const struct family *f, enum family_resource r, const char *flag,
                       const char *value, uint64_t min, uint64_t max, GError **error)
{
    guint64 n;
    if (!value)
        return true;
    if (!f->resource[r] || !*f->resource[r]) {
        g_autofree char *why = g_strdup_printf("%s cards have no such resource; leave it out", f->title);
        return fail(error, flag, value, why);
    }
    if (!g_ascii_string_to_unsigned(value, 10, min, max, &n, NULL)) {
        g_autofree char *why =
            g_strdup_printf("is not a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, min, max);
        return fail(error, flag, value, why);
    }
    json_object_set_new(limits, f->resource[r], json_integer((json_int_t)n));
    return true;
}

/* "3000" is MiB, "8G" what it says, "30%" a part of the card. */
static bool set_mem(json_t *limits, const struct family *f, const char *value, GError **error)
{
    struct quantity_mem mem = {0};
    guint64 mib;
    if (!value)
        return true;
    if (g_ascii_string_to_unsigned(value, 10, 1, CARD_MIB_MAX, &mib, NULL)) {
        mem.bytes = mib * QUANTITY_MIB;
    } else {
        const char *why = quantity_parse_mem(value, &mem);
        if (why)
            return fail(error, "mem", value, why);
    }
    const char *amount = f->resource[FAMILY_MEM], *part = f->resource[FAMILY_MEM_PERCENT];
    if ((!amount || !*amount) && (!mem.percent || !part || !*part)) {
        g_autofree char *why = g_strdup_printf("%s cards are not divided by memory; leave it out", f->title);
        return fail(error, "mem", value, why);
    }
    if (mem.percent) {
        if (!part || !*part) {
            g_autofree char *why =
                g_strdup_printf("%s cards take an amount, not a percentage; for example --mem 8G", f->title);
            return fail(error, "mem", value, why);
        }
        json_object_set_new(limits, f->resource[FAMILY_MEM_PERCENT], json_integer((json_int_t)mem.percent));
        return true;
    }
    if (f->mem_syntax == FAMILY_MEM_GIB_OR_SUFFIX) {
        json_object_set_new(
            limits, f->resource[FAMILY_MEM],
            json_sprintf("%" G_GUINT64_FORMAT "Mi", (mem.bytes + QUANTITY_MIB - 1) / QUANTITY_MIB));
        return true;
    }
    uint64_t unit = f->mem_unit_bytes ? f->mem_unit_bytes : QUANTITY_MIB;
    if (f->mem_syntax == FAMILY_MEM_GB_OR_MIB && mem.bytes > FAMILY_GB_AT_MOST * QUANTITY_MIB &&
        (mem.bytes % unit || mem.bytes / unit > FAMILY_GB_AT_MOST))
        unit = QUANTITY_MIB;
    json_object_set_new(limits, f->resource[FAMILY_MEM],
                        json_integer((json_int_t)((mem.bytes + unit - 1) / unit)));
    return true;
}

static bool set_annotation(json_t *annotations, const struct family *f, const char *key, const char *flag,
                           const char *value, GError **error)
{
    if (!value)
        return true;
    if (!key) {
        g_autofree char *why = g_strdup_printf("%s cards cannot be selected that way", f->title);
        return fail(error, flag, value, why);
    }
    json_object_set_new(annotations, key, json_string(value));
    return true;
}

/* NVIDIA's modes, or the one that divides compute (Ascend). */
static bool set_mode(json_t *annotations, const struct family *f, const struct manifest_options *o,
                     GError **error)
{
    const bool nvidia = strcmp(f->word, WORD_NVIDIA) == 0;
    if (f->soft_key && o->cores && !o->mode) {
        g_autofree char *why =
            g_strdup_printf("%s cards divide compute only in soft slicing; add --mode %s, or leave it out",
                            f->title, f->soft_value);
        return fail(error, "cores", o->cores, why);
    }
    return set_annotation(annotations, f, nvidia ? annotation_vgpu_mode : f->soft_key, "mode", o->mode,
                          error);
}

static bool set_annotations(json_t *annotations, const struct family *f, const struct manifest_options *o,
                            GError **error)
{
    const bool nvidia = strcmp(f->word, WORD_NVIDIA) == 0, metax = f->inventory == FAMILY_INV_METAX;
    return set_annotation(annotations, f, annotation_node_policy, "node-policy", o->node_policy, error) &&
           set_annotation(annotations, f, annotation_card_policy, "gpu-policy", o->card_policy, error) &&
           set_annotation(annotations, f, annotation_scoring_weights, "weights", o->weights, error) &&
           set_annotation(annotations, f, f->use_type_key, "type", o->use_type, error) &&
           set_annotation(annotations, f, f->not_type_key, "not-type", o->not_type, error) &&
           set_annotation(annotations, f, f->use_uuid_key[0], "uuid", o->use_uuid, error) &&
           set_annotation(annotations, f, f->not_uuid_key[0], "not-uuid", o->not_uuid, error) &&
           set_mode(annotations, f, o, error) &&
           set_annotation(annotations, f, metax ? annotation_metax_qos : NULL, "qos", o->qos, error) &&
           set_annotation(annotations, f, metax ? annotation_metax_class : NULL, "app-class", o->app_class,
                          error) &&
           set_annotation(annotations, f, metax ? annotation_metax_topology : NULL, "topology", o->topology,
                          error) &&
           set_annotation(annotations, f, nvidia ? annotation_numa_bind : NULL, "numa",
                          o->numa ? "true" : NULL, error);
}

/* A slice is cut from one card, by its size or by its parts. */
static bool set_slice(json_t *limits, const struct family *f, const struct manifest_options *o,
                      GError **error)
{
    if (o->gpus && strcmp(o->gpus, "1") != 0)
        return fail(error, "gpus", o->gpus,
                    "a container gets one slice of one card; say how large it is by --size, --mem or "
                    "--cores, and write a container for each slice");
    if (o->size && (o->mem || o->cores))
        return fail(error, "size", o->size,
                    "--mem and --cores say as well how large the slice is; leave one side out");
    return o->mem || o->cores ||
           set_number(limits, f, FAMILY_COUNT, "size", o->size ? o->size : "1", 1, 128, error);
}

static bool set_count(json_t *limits, const struct family *f, const struct manifest_options *o,
                      GError **error)
{
    if (f->count_rule == FAMILY_COUNT_IS_SIZE)
        return set_slice(limits, f, o, error);
    if (o->size) {
        g_autofree char *why =
            g_strdup_printf("%s cards are not cut by size; use --gpus, --mem or --cores", f->title);
        return fail(error, "size", o->size, why);
    }
    if (!f->parts_alone || !o->cores)
        return set_number(limits, f, FAMILY_COUNT, "gpus", o->gpus ? o->gpus : "1", 1, 128, error);
    return !o->gpus || fail(error, "gpus", o->gpus,
                            "it counts whole devices, and --cores cores of them; leave one of the two out");
}

/* Percent of one card end at 100; sixteenths, and what is shared out among the cards, do not. */
static uint64_t cores_max(const struct family *f)
{
    return f->cores_unit == 100 && !f->cores_div_by_count ? 100 : (uint64_t)MAX(f->cores_unit, 100) * 16;
}

static bool set_flags(json_t *limits, const struct family *f, const struct manifest_options *o,
                      GError **error)
{
    return set_count(limits, f, o, error) && set_mem(limits, f, o->mem, error) &&
           set_number(limits, f, FAMILY_CORES, "cores", o->cores, 1, cores_max(f), error) &&
           set_number(limits, f, FAMILY_PRIORITY, "priority", o->priority, 0, 1, error);
}

/* Takes the limits. */
static json_t *container(json_t *limits, const struct manifest_options *o)
{
    json_t *c = json_pack("{s:s,s:s,s:{s:o}}", "name", o->name, "image", o->image ? o->image : "busybox",
                          "resources", "limits", limits);
    /* busybox by itself ends at once, and what is to go on would be started again and again. */
    static const char *const sleep[] = {"sleep", "infinity", NULL};
    bool idle = !o->image && strcmp(o->kind, "job") != 0;
    const char *const *words = o->command && o->command[0] ? o->command : idle ? sleep : NULL;
    if (words) {
        json_t *command = json_array();
        for (const char *const *w = words; *w; w++)
            json_array_append_new(command, json_string(*w));
        json_object_set_new(c, "command", command);
    }
    return c;
}

static json_t *metadata(const struct manifest_options *o, json_t *annotations, bool labelled)
{
    json_t *m = json_object();
    if (!labelled)
        json_object_set_new(m, "name", json_string(o->name));
    if (!labelled && o->namespace_)
        json_object_set_new(m, "namespace", json_string(o->namespace_));
    if (labelled)
        json_object_set_new(m, "labels", json_pack("{s:s}", "app", o->name));
    if (json_object_size(annotations))
        json_object_set(m, "annotations", annotations);
    return m;
}

static json_t *wrap(const struct manifest_options *o, json_t *spec, json_t *annotations)
{
    json_t *none = json_object(), *object;
    if (strcmp(o->kind, "deployment") == 0) {
        object = json_pack("{s:s,s:s,s:o,s:{s:i,s:{s:{s:s}},s:{s:o,s:O}}}", "apiVersion", "apps/v1", "kind",
                           "Deployment", "metadata", metadata(o, none, false), "spec", "replicas",
                           (int)MAX(o->replicas, 1u), "selector", "matchLabels", "app", o->name, "template",
                           "metadata", metadata(o, annotations, true), "spec", spec);
    } else if (strcmp(o->kind, "job") == 0) {
        json_object_set_new(spec, "restartPolicy", json_string("Never"));
        object = json_pack("{s:s,s:s,s:o,s:{s:i,s:i,s:{s:o,s:O}}}", "apiVersion", "batch/v1", "kind", "Job",
                           "metadata", metadata(o, none, false), "spec", "parallelism",
                           (int)MAX(o->replicas, 1u), "completions", (int)MAX(o->replicas, 1u), "template",
                           "metadata", metadata(o, annotations, true), "spec", spec);
    } else {
        object = json_pack("{s:s,s:s,s:o,s:O}", "apiVersion", "v1", "kind", "Pod", "metadata",
                           metadata(o, annotations, false), "spec", spec);
    }
    json_decref(none);
    return object;
}

/* Admission's word on the pod, so that nothing is written that it would refuse. */
static bool is_admitted(const struct family_set *set, const struct manifest_options *o, json_t *spec,
                        json_t *annotations, GError **error)
{
    struct admit_policy policy = {.scheduler_name = o->scheduler_name ? o->scheduler_name : "",
                                  .force_overwrite = true,
                                  .defaults = {"binpack", "spread"}};
    struct admit_result result = {0};
    json_t *pod = json_pack("{s:s,s:s,s:{s:O},s:O}", "apiVersion", "v1", "kind", "Pod", "metadata",
                            "annotations", annotations, "spec", spec);
    char *text = json_dumps(pod, JSON_COMPACT);
    vendor_admit_text(set, NULL, &policy, text ? text : "", text ? strlen(text) : 0, o->namespace_, &result);
    free(text);
    bool allowed = result.allowed;
    if (!allowed)
        g_set_error(error, STATUS_ERROR, STATUS_USAGE, "admission would refuse it: %s", result.message);
    admit_result_clear(&result);
    json_decref(pod);
    return allowed;
}

static void no_family(const struct family_set *set, const char *word, GError **error)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (uint32_t i = 0; i < set->n; i++)
        g_ptr_array_add(words, (gpointer)(uintptr_t)set->rows[i]->word);
    g_ptr_array_add(words, NULL);
    g_autofree char *all = words_join((const char *const *)words->pdata);
    g_autofree char *why = g_strdup_printf("no such family; there are %s", all);
    fail(error, "vendor", word, why);
}

/* ---- by the names of Kubernetes ---- */

static const struct family *family_with(const struct family_set *set, const char *resource)
{
    for (uint32_t i = 0; i < set->n; i++)
        for (int r = 0; r < FAMILY_RESOURCES; r++)
            if (*resource && g_strcmp0(set->rows[i]->resource[r], resource) == 0)
                return set->rows[i];
    return NULL;
}

static bool no_resource(const struct family_set *set, const char *text, const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (uint32_t i = 0; i < set->n; i++)
        for (int r = 0; r < FAMILY_RESOURCES; r++)
            if (set->rows[i]->resource[r] && *set->rows[i]->resource[r])
                g_ptr_array_add(names, (gpointer)(uintptr_t)set->rows[i]->resource[r]);
    g_ptr_array_add(names, NULL);
    const char *near = words_nearest(name, (const char *const *)names->pdata);
    g_autofree char *why = g_strdup_printf("\"%s\" is no resource of any family%s%s%s", name,
                                           near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return fail(error, "request", text, why);
}

/* Limits by their names, and the family of the first. NULL when one is unknown or comes twice. */
static const struct family *set_request(json_t *limits, const struct family_set *set,
                                        const struct manifest_options *o, GError **error)
{
    const struct family *first = NULL;
    if (o->vendor || o->gpus || o->size || o->mem || o->cores || o->priority) {
        fail(error, "request", o->request[0],
             "says all that --vendor, --gpus, --size, --mem, --cores and --priority say; leave one side out");
        return NULL;
    }
    for (const char *const *text = o->request; *text; text++) {
        g_auto(GStrv) parts = g_strsplit(*text, ",", -1);
        for (char **p = parts; *p; p++) {
            char *equals = strchr(*p, '=');
            if (!equals || !equals[1]) {
                fail(error, "request", *text, "needs the form RESOURCE=N,..., such as nvidia.com/gpu=1");
                return NULL;
            }
            *equals = '\0';
            const struct family *f = family_with(set, g_strstrip(*p));
            if (!f) {
                no_resource(set, *text, *p, error);
                return NULL;
            }
            if (json_object_get(limits, *p)) {
                fail(error, "request", *text, "names a resource twice");
                return NULL;
            }
            json_object_set_new(limits, *p, json_string(g_strstrip(equals + 1)));
            first = first ? first : f;
        }
    }
    if (!first)
        fail(error, "request", o->request[0], "names no resource");
    return first;
}

/* ------------------------------------------------------------------------ */

json_t *manifest_build(const struct family_set *set, const struct manifest_options *o, GError **error)
{
    json_t *limits = json_object(), *annotations = json_object(), *object = NULL;
    const struct family *f =
        o->request ? set_request(limits, set, o, error) : manifest_vendor(set, o->vendor);
    if (!f && !o->request)
        no_family(set, o->vendor, error);
    if (f && set_annotations(annotations, f, o, error) && (o->request || set_flags(limits, f, o, error))) {
        json_t *spec = json_pack("{s:[o]}", "containers", container(json_incref(limits), o));
        if (o->scheduler_name && *o->scheduler_name)
            json_object_set_new(spec, "schedulerName", json_string(o->scheduler_name));
        if (f->runtime_class && *f->runtime_class)
            json_object_set_new(spec, "runtimeClassName", json_string(f->runtime_class));
        if (is_admitted(set, o, spec, annotations, error))
            object = wrap(o, spec, annotations);
        json_decref(spec);
    }
    json_decref(annotations);
    json_decref(limits);
    return object;
}
