/* SPDX-License-Identifier: Apache-2.0
 *
 * See top_draw.h.
 */
#include "cli/top_draw.h"

#include <string.h>

struct pen {
    GString *to;
    bool colour, live, narrow;
    unsigned bar; /* characters inside the brackets */
};

/* Columns: of a bar, and of what stands beside the bar of a slice's compute share. */
enum { BAR_MIN = 8, BAR_MAX = 40, WORDS = 66 };

/* Below this many columns a card is called by the beginning of its UUID, as in the lines of slices. */
enum { WIDE = 100 };

enum { BOLD = 1, DIM = 2, RED = 31, GREEN = 32, YELLOW = 33 };

static void paint(struct pen *p, int code, const char *text)
{
    if (p->colour)
        g_string_append_printf(p->to, "\033[%dm%s\033[0m", code, text);
    else
        g_string_append(p->to, text);
}

static void end_line(struct pen *p)
{
    g_string_append(p->to, p->live ? "\033[K\n" : "\n");
}

static unsigned cells(uint64_t part, uint64_t whole, unsigned width)
{
    if (!whole || !part)
        return 0;
    if (part >= whole)
        return width;
    unsigned n = (unsigned)((part >> 10) * width / MAX(whole >> 10, 1));
    return MIN(n, width);
}

/* [#####++++----]: used, granted and not used, free. */
static void bar(struct pen *p, uint64_t used, uint64_t granted, uint64_t whole)
{
    unsigned u = cells(used, whole, p->bar), g = MAX(cells(granted, whole, p->bar), u);
    g_autofree char *full = g_strnfill(u, '#');
    g_autofree char *mid = g_strnfill(g - u, '+');
    g_autofree char *rest = g_strnfill(p->bar - g, '.');
    g_string_append_c(p->to, '[');
    paint(p, u >= p->bar ? RED : u * 4 >= p->bar * 3 ? YELLOW : GREEN, full);
    paint(p, DIM, mid);
    paint(p, DIM, rest);
    g_string_append_c(p->to, ']');
}

static void draw_card(struct pen *p, const struct view_card *c)
{
    char used[QUANTITY_TEXT], granted[QUANTITY_TEXT], all[QUANTITY_TEXT];
    g_autofree char *title = g_strdup_printf(
        "card %u  %s  %.*s%s%s", c->card.card.index, c->card.card.name, p->narrow ? 12 : 96,
        c->card.card.uuid, c->card.card.healthy ? "" : "  UNHEALTHY", c->cordoned ? "  CORDONED" : "");
    paint(p, BOLD, title);
    if (c->card.machine[0])
        g_string_append_printf(p->to, "  (simulated: %s)", c->card.machine);
    if (!c->slices)
        g_string_append_printf(p->to, "  %s, no slice", quantity_format_bytes(c->grantable_bytes, all));
    end_line(p);
    if (!c->slices)
        return;
    g_string_append(p->to, "  memory  ");
    bar(p, c->used_bytes, c->granted_bytes, c->grantable_bytes);
    g_string_append_printf(p->to, " %s used, %s granted of %s", quantity_format_bytes(c->used_bytes, used),
                           quantity_format_bytes(c->granted_bytes, granted),
                           quantity_format_bytes(c->grantable_bytes, all));
    if (c->grantable_bytes != c->card.card.mem_bytes) /* memory_scale */
        g_string_append_printf(p->to, " (has %s)", quantity_format_bytes(c->card.card.mem_bytes, all));
    end_line(p);
    g_string_append(p->to, "  compute ");
    bar(p, (uint64_t)c->busy_permille << 10, (uint64_t)c->granted_cores * 10 << 10,
        (uint64_t)c->grantable_cores * 10 << 10);
    g_string_append_printf(p->to, " %u.%u %% used, %u %% granted, %u slice%s", c->busy_permille / 10,
                           c->busy_permille % 10, c->granted_cores, c->slices, c->slices == 1 ? "" : "s");
    end_line(p);
}

static void draw_share(struct pen *p, const struct view_slice *before, const struct view_slice *v, uint32_t i)
{
    char used_text[QUANTITY_TEXT], limit_text[QUANTITY_TEXT];
    const struct ledger_share *s = &v->slice.shares[i];
    struct view_rate rate = view_rate(before, v, i);
    uint64_t limit = s->pending_bytes ? s->pending_bytes : s->mem_bytes, used = 0, refused = 0;
    for (uint32_t d = 0; v->region && d < v->region->n_devices; d++)
        if (strcmp(v->region->uuids[d], s->uuid) == 0) {
            used = v->region->used[d];
            refused = v->region->oom_count[d];
        }
    uint32_t cores = s->cores_pct ? s->cores_pct : 100;
    g_string_append_printf(p->to, "  %.12s  mem ", s->uuid);
    bar(p, used, used, limit);
    g_string_append_printf(p->to, " %s/%s%s", quantity_format_bytes(used, used_text),
                           quantity_format_bytes(limit, limit_text), s->pending_bytes ? "*" : "");
    end_line(p);
    g_string_append(p->to, "                cpt ");
    bar(p, (uint64_t)rate.busy_permille << 10, (uint64_t)rate.busy_permille << 10,
        (uint64_t)cores * 10 << 10);
    g_string_append_printf(p->to, " %u.%u/%u%%  throttled %u.%u%%  %" G_GUINT64_FORMAT " launches/s",
                           rate.busy_permille / 10, rate.busy_permille % 10, cores,
                           rate.throttled_permille / 10, rate.throttled_permille % 10, rate.launches_per_s);
    if (refused) {
        g_autofree char *text = g_strdup_printf("  %" G_GUINT64_FORMAT " refused", refused);
        paint(p, YELLOW, text);
    }
    end_line(p);
}

static void draw_slice(struct pen *p, const struct view_slice *before, const struct view_slice *v)
{
    const struct ledger_slice *s = &v->slice;
    g_autofree char *title = g_strdup_printf("%s  %s", s->id, s->name[0] ? s->name : "-");
    g_autofree char *command = g_utf8_substring(s->command, 0, MIN(60, g_utf8_strlen(s->command, -1)));
    paint(p, BOLD, title);
    g_string_append_printf(p->to, "  %s%s  %u process%s  %s",
                           s->suspended ? "suspended" : ledger_state_name(s->state),
                           s->exclusive ? ", exclusive" : "", v->region ? v->region->n_processes : 0,
                           v->region && v->region->n_processes == 1 ? "" : "es", command);
    end_line(p);
    for (uint32_t i = 0; i < s->n_shares; i++)
        draw_share(p, before, v, i);
}

void top_draw(GString *ret, GArray *cards, GPtrArray *before, GPtrArray *now, unsigned width, bool colour,
              bool live)
{
    struct pen p = {.to = ret,
                    .colour = colour,
                    .live = live,
                    .narrow = width < WIDE,
                    .bar = CLAMP(width, BAR_MIN + WORDS, BAR_MAX + WORDS) - WORDS};
    for (guint i = 0; i < cards->len; i++)
        draw_card(&p, &g_array_index(cards, struct view_card, i));
    if (cards->len == 0) {
        g_string_append(
            ret, "no card is in sight: `hami doctor` says why; --sim PROFILE shows a simulated machine's");
        end_line(&p);
    }
    end_line(&p);
    for (guint i = 0; i < now->len; i++) {
        const struct view_slice *v = g_ptr_array_index(now, i);
        draw_slice(&p, view_find(before, v->slice.id), v);
    }
    if (now->len == 0) {
        g_string_append(ret, "no slice runs");
        end_line(&p);
    }
    if (live)
        g_string_append(ret, "\033[J");
}
