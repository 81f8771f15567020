/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults of the pod as a whole that the reference lets pass, but for
 * privileged containers (contract/admission.def; scheduler.md B30, S2).
 */
#include "vendor/admission.h"
#include "vendor/families.h"

/* ---- forged assignments ---- */

static void refuse_keys(struct admission *a, const struct pod_key *key, const char *what)
{
    for (; key; key = key->next)
        vendor_fault_add(a->faults, ADMIT_FORGED,
                         "%s %.200s: only the scheduler writes it; remove it from the pod and from what the "
                         "pod is made of",
                         what, key->text);
}

void admit_check_forged(struct admission *a)
{
    if (a->policy->trusted)
        return;
    refuse_keys(a, a->pod->assigned_annotations, "annotation");
    refuse_keys(a, a->pod->assigned_labels, "label");
}

/* ---- isolation ---- */

static void check_visible(struct admission *a, const struct pod_container *c)
{
    switch ((enum pod_visible)c->visible) {
    case POD_VISIBLE_NOTHING:
        break;
    case POD_VISIBLE_ALL:
        vendor_fault_add(
            a->faults, ADMIT_VISIBLE_ALL,
            "container " FAULT_NAME ": env NVIDIA_VISIBLE_DEVICES is \"all\", which shows it every "
            "card of the node; remove the variable, the cards that are asked for appear by themselves",
            c->name);
        break;
    case POD_VISIBLE_NAMED:
        vendor_fault_add(
            a->faults, ADMIT_VISIBLE_CARDS,
            "container " FAULT_NAME ": env NVIDIA_VISIBLE_DEVICES is \"" FAULT_VALUE
            "\", which shows it other cards than it is given; remove the variable, the cards that are "
            "asked for appear by themselves (annotation nvidia.com/use-gpuuuid asks for certain ones)",
            c->name, c->visible_named);
        break;
    case POD_VISIBLE_ELSEWHERE:
        vendor_fault_add(
            a->faults, ADMIT_VISIBLE_CARDS,
            "container " FAULT_NAME
            ": env NVIDIA_VISIBLE_DEVICES is taken from elsewhere (valueFrom), which may show it "
            "other cards than it is given; remove the variable, the cards that are asked for "
            "appear by themselves",
            c->name);
        break;
    }
}

static void check_container(struct admission *a, const struct pod_container *c)
{
    if (c->privileged)
        vendor_fault_add(a->faults, ADMIT_PRIVILEGED,
                         "container " FAULT_NAME
                         " is privileged: it would see every device of the node; remove "
                         "securityContext.privileged, or run it in a pod that asks for no cards",
                         c->name);
    if (a->nvidia)
        check_visible(a, c);
}

void admit_check_isolation(struct admission *a)
{
    for (uint32_t i = 0; i < a->pod->n_containers; i++)
        check_container(a, &a->pod->containers[i]);
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
