/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults of the pod as a whole that the reference lets pass, but for
 * privileged containers (contract/admission.def; scheduler.md B30, S2).
 */
#include "vendor/admission.h"
#include "vendor/families.h"

/* ---- forged assignments ---- */

/* Annotations of pods that neither users nor the webhook write. */
static bool is_written_by_us(const char *key)
{
    static const struct {
        const char *key, *where, *writers;
    } rows[] = {
#define ANNOTATION(symbol, key, where, writers, readers, content) {key, where, writers},
#include "annotations.def"
#undef ANNOTATION
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(key, rows[i].key) == 0)
            return g_str_has_prefix(rows[i].where, "pod") && !strstr(rows[i].writers, "users") &&
                   !strstr(rows[i].writers, "webhook");
    return g_str_has_prefix(key, "hami.io/vgpu-");
}

static bool is_assignment(const struct family_set *set, const char *key)
{
    if (is_written_by_us(key))
        return true;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct family *f = set->rows[i];
        if (g_strcmp0(key, f->to_allocate_key) == 0 || g_strcmp0(key, f->allocated_key) == 0)
            return true;
        for (const struct family_write *w = f->writes; w < f->writes + FAMILY_WRITES_MAX && w->key; w++)
            if (strcmp(key, w->key) == 0)
                return true;
    }
    return false;
}

static void check_keys(struct admission *a, json_t *map, const char *what)
{
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        if (is_assignment(a->set, key))
            vendor_fault_add(
                a->faults, ADMIT_FORGED,
                "%s %.200s: only the scheduler writes it; remove it from the pod and from what the "
                "pod is made of",
                what, key);
    }
}

void admit_check_forged(struct admission *a, const json_t *original)
{
    json_t *metadata = json_object_get(original, "metadata");
    if (a->policy->trusted)
        return;
    check_keys(a, json_object_get(metadata, "annotations"), "annotation");
    check_keys(a, json_object_get(metadata, "labels"), "label");
}

/* ---- isolation ---- */

static bool is_privileged(const json_t *container)
{
    return json_is_true(json_object_get(json_object_get(container, "securityContext"), "privileged"));
}

/* Of several variables of the name the last counts. */
static bool sees_all(const json_t *container)
{
    json_t *variable;
    size_t i;
    bool all = false;
    json_array_foreach(json_object_get(container, "env"), i, variable)
    {
        const char *name = json_string_value(json_object_get(variable, "name"));
        const char *value = json_string_value(json_object_get(variable, "value"));
        if (name && strcmp(name, "NVIDIA_VISIBLE_DEVICES") == 0)
            all = value && strcmp(value, "all") == 0;
    }
    return all;
}

static void check_container(struct admission *a, const json_t *container)
{
    const char *name = json_string_value(json_object_get(container, "name"));
    name = name ? name : "";
    if (is_privileged(container))
        vendor_fault_add(a->faults, ADMIT_PRIVILEGED,
                         "container " FAULT_NAME
                         " is privileged: it would see every device of the node; remove "
                         "securityContext.privileged, or run it in a pod that asks for no cards",
                         name);
    if (a->nvidia && sees_all(container))
        vendor_fault_add(
            a->faults, ADMIT_VISIBLE_ALL,
            "container " FAULT_NAME ": env NVIDIA_VISIBLE_DEVICES is \"all\", which shows it every "
            "card of the node; remove the variable, the cards that are asked for appear by themselves",
            name);
}

void admit_check_isolation(struct admission *a)
{
    static const char *const lists[] = {"initContainers", "containers"};
    json_t *spec = json_object_get(a->patch.document, "spec"), *container;
    for (size_t l = 0; l < G_N_ELEMENTS(lists); l++) {
        size_t i;
        json_array_foreach(json_object_get(spec, lists[l]), i, container)
        {
            check_container(a, container);
        }
    }
}

/* ---- contradictions ---- */

/* The trimmed, non-empty members of a comma list. */
static GStrv members(const char *list)
{
    g_auto(GStrv) parts = g_strsplit(list ? list : "", ",", -1);
    g_autoptr(GStrvBuilder) kept = g_strv_builder_new();
    for (char **p = parts; *p; p++)
        if (*g_strstrip(*p))
            g_strv_builder_add(kept, *p);
    return g_strv_builder_end(kept);
}

static void check_uuids(struct admission *a, const struct family *f, const struct pod_selection *s, int pair)
{
    g_auto(GStrv) use = members(s->use_uuids[pair]);
    for (char **u = use; *u; u++)
        for (int other = 0; other < 2; other++) {
            g_auto(GStrv) not = members(s->not_uuids[other]);
            if (g_strv_contains((const char *const *)not, *u))
                vendor_fault_add(a->faults, ADMIT_CONTRADICTION,
                                 "annotations %s and %s: \"" FAULT_VALUE
                                 "\" is both wanted and unwanted; remove it from one of them",
                                 f->use_uuid_key[pair], f->not_uuid_key[other], *u);
        }
}

static bool holds(const char *type, const char *part)
{
    g_autofree char *t = g_ascii_strdown(type, -1), *p = g_ascii_strdown(part, -1);
    return strstr(t, p) != NULL;
}

/* A type is out when an unwanted one is a part of its name; at least one must be left. */
static void check_types(struct admission *a, const struct family *f, const struct pod_selection *s)
{
    g_auto(GStrv) use = members(s->use_types), not = members(s->not_types);
    for (char **u = use; *u; u++) {
        bool out = false;
        for (char **n = not ; *n && !out; n++)
            out = holds(*u, *n);
        if (!out)
            return;
    }
    if (*use)
        vendor_fault_add(a->faults, ADMIT_CONTRADICTION,
                         "annotations %s and %s: every wanted type (\"" FAULT_VALUE
                         "\") is unwanted as well; remove one of the annotations",
                         f->use_type_key, f->not_type_key, s->use_types);
}

/* Several cards of one container are different ones, but for MIG instances. */
static void check_enough(struct admission *a, const struct family *f, const struct pod_request *r,
                         const struct pod_selection *s, int pair)
{
    bool mig = strcmp(f->word, WORD_NVIDIA) == 0 && (r->modes == 0 || r->modes & 1u << CARD_MIG);
    g_auto(GStrv) use = members(s->use_uuids[pair]);
    for (unsigned i = 0; i < r->n_requests && *use && !mig; i++) {
        const struct card_request *q = &r->requests[i];
        if (q->family == s->family && q->n_cards > g_strv_length(use))
            vendor_fault_add(
                a->faults, ADMIT_CONTRADICTION,
                "container " FAULT_NAME
                ": it asks for %u cards, but annotation %s names only %u; name more, or ask for fewer",
                r->slot_name[q->slot], q->n_cards, f->use_uuid_key[pair], g_strv_length(use));
    }
}

void admit_check_contradictions(struct admission *a, const struct pod_request *r)
{
    for (unsigned i = 0; i < r->n_selections; i++) {
        const struct pod_selection *s = &r->selections[i];
        const struct family *f = a->set->rows[s->family];
        check_types(a, f, s);
        for (int pair = 0; pair < 2; pair++) {
            check_uuids(a, f, s, pair);
            check_enough(a, f, r, s, pair);
        }
    }
}
