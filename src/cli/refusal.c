/* SPDX-License-Identifier: Apache-2.0
 *
 * See refusal.h.
 */
#include "cli/refusal.h"

#include <stdio.h>

static void append_list(GString *s, const char *flag, const char *list)
{
    if (list)
        g_string_append_printf(s, "%s %s ", flag, list);
}

/* "the same without --type H100 and --uuid GPU-1": those that were given. */
static char *without_lists(const struct request *r)
{
    g_autoptr(GString) s = g_string_new("the same without");
    const char *lists[] = {r->use_types, r->not_types, r->use_uuids, r->not_uuids};
    static const char *const flags[] = {"--type", "--not-type", "--uuid", "--not-uuid"};
    for (gsize i = 0, n = 0; i < G_N_ELEMENTS(lists); i++)
        if (lists[i])
            g_string_append_printf(s, "%s %s %s", n++ ? " and" : "", flags[i], lists[i]);
    return g_strdup(s->str);
}

static char *asked_for(const struct request *r)
{
    char text[QUANTITY_TEXT];
    GString *s = g_string_new(NULL);
    if (r->n_devices != 1)
        g_string_append_printf(s, "--gpus %u ", r->n_devices);
    if (r->mem.bytes)
        g_string_append_printf(s, "--mem %s ", quantity_format_flag(r->mem.bytes, text));
    else
        g_string_append_printf(s, "--mem %u%% ", r->mem.percent ? r->mem.percent : 100);
    if (r->cores_pct)
        g_string_append_printf(s, "--cores %u ", r->cores_pct);
    if (r->exclusive)
        g_string_append(s, "--exclusive ");
    append_list(s, "--type", r->use_types);
    append_list(s, "--not-type", r->not_types);
    append_list(s, "--uuid", r->use_uuids);
    append_list(s, "--not-uuid", r->not_uuids);
    g_string_truncate(s, s->len - 1);
    return g_string_free(s, FALSE);
}

/* What would fit, as the flag to give. NULL when nothing would. */
static char *proposal(const struct request *r, const struct why *why)
{
    char text[QUANTITY_TEXT];
    switch (why->kind) {
    case WHY_CHANGE_MEM:
        return g_strdup_printf("--mem %s", quantity_format_flag(why->mem_bytes, text));
    case WHY_CHANGE_CORES:
        return g_strdup_printf("--cores %u", why->cores_pct);
    case WHY_CHANGE_MEM_AND_CORES:
        return g_strdup_printf("--mem %s --cores %u", quantity_format_flag(why->mem_bytes, text),
                               why->cores_pct);
    case WHY_CHANGE_COUNT:
        return g_strdup_printf("--gpus %u", why->n_devices);
    case WHY_CHANGE_POLICY:
        return g_strdup("--policy binpack");
    case WHY_CHANGE_SHARED:
        return g_strdup("the same without --exclusive");
    case WHY_CHANGE_LISTS:
        return without_lists(r);
    default:
        return NULL;
    }
}

static void print_card(const struct card *d, const struct why_card *c)
{
    char has[QUANTITY_TEXT], left[QUANTITY_TEXT];
    fprintf(stderr, "  card %u  %s  %s  %s, %s free", d->index, d->type, d->uuid,
            quantity_format_bytes(d->mem_bytes, has), quantity_format_bytes(c->free_bytes, left));
    fprintf(stderr, ", cores %u %% free: %s\n", c->free_cores_pct, sched_reason_words(c->reason)->text);
}

/* Several instances (MIG) of one physical card? */
static bool has_instances(const struct machine *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (m->cards[i].group == m->cards[j].group)
                return true;
    return false;
}

void refusal_print(const struct verb *v, const struct request *r, const struct launch_refusal *refusal,
                   bool waited)
{
    const struct why *why = &refusal->why;
    const struct sched_reason_words *words = sched_reason_words(why->reason);
    g_autofree char *asked = asked_for(r);
    g_autofree char *fits = proposal(r, why);
    fprintf(stderr, "hami %s: %s: %s (%s)\n", v->name, asked, words->text, words->code);
    for (uint32_t i = 0; i < refusal->machine.n; i++)
        print_card(&refusal->machine.cards[i], &why->cards[i]);
    if (why->reason == SCHED_NO_CARDS && has_instances(&refusal->machine))
        fprintf(stderr, "  instances of one card count as one: --gpus asks for different cards\n");
    for (uint32_t i = 0; i < refusal->machine.n_silent; i++)
        fprintf(stderr, "  card %u  is counted by the driver and does not answer: see `hami doctor`\n",
                refusal->machine.silent[i]);
    if (refusal->never)
        fprintf(stderr, "  an empty host would not take it either\n");
    if (fits)
        fprintf(stderr, "  would fit now: %s\n", fits);
    else
        fprintf(stderr, "  nothing fits now: %s%s\n", words->remedy,
                refusal->never || waited ? "" : ", or add --wait");
}

json_t *refusal_json(const struct request *r, const struct launch_refusal *refusal)
{
    const struct why *why = &refusal->why;
    const struct sched_reason_words *words = sched_reason_words(why->reason);
    g_autofree char *asked = asked_for(r);
    g_autofree char *fits = proposal(r, why);
    json_t *cards = json_array(), *silent = json_array();
    for (uint32_t i = 0; i < refusal->machine.n_silent; i++)
        json_array_append_new(silent, json_integer(refusal->machine.silent[i]));
    for (uint32_t i = 0; i < refusal->machine.n; i++) {
        const struct card *d = &refusal->machine.cards[i];
        const struct why_card *c = &why->cards[i];
        json_array_append_new(
            cards,
            json_pack("{s:i, s:s, s:s, s:I, s:I, s:i, s:s}", "card", (int)d->index, "uuid", d->uuid, "type",
                      d->type, "mem_bytes", (json_int_t)d->mem_bytes, "free_bytes", (json_int_t)c->free_bytes,
                      "free_cores", (int)c->free_cores_pct, "reason", sched_reason_words(c->reason)->code));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:b, s:o, s:o}", "asked", asked, "reason", words->code,
                     "text", words->text, "remedy", words->remedy, "would_fit", fits, "fits_empty_host",
                     !refusal->never, "cards", cards, "silent_cards", silent);
}
