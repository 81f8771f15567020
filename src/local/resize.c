/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing a slice while it runs.
 *
 * Three steps, each harmless when it is the last one that happens:
 *   1. the ledger takes the larger of old and new
 *   2. grant, region and the driver's wall get the new limits
 *   3. the ledger takes the new ones
 * A lock lets one resize happen at a time. It lies in the state folder, where
 * nobody else can take it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/status.h"
#include "local/broker.h"
#include "local/files.h"
#include "local/place.h"

/* What each share is to become. */
struct plan {
    uint64_t mem_bytes[REQUEST_DEVICES_MAX];
    uint32_t cores_pct[REQUEST_DEVICES_MAX];
};

static bool machine_cards(struct broker *b, const char *machine, struct driver_inventory *ret, GError **error)
{
    g_autoptr(GArray) cards = ledger_cards(b->ledger, error);
    ret->n = 0;
    for (guint i = 0; cards && i < cards->len; i++) {
        struct ledger_card *c = &g_array_index(cards, struct ledger_card, i);
        if (strcmp(c->machine, machine) == 0 && ret->n < DRIVER_CARDS)
            ret->cards[ret->n++] = c->card;
    }
    return cards != NULL;
}

static void grant_of(const struct machine *m, const struct ledger_slice *s, struct request_grant *ret)
{
    *ret = (struct request_grant){.n = s->n_shares, .exclusive = s->exclusive};
    for (uint32_t i = 0; i < s->n_shares; i++) {
        int d = machine_find(m, s->shares[i].uuid);
        ret->shares[i].device = d < 0 ? MACHINE_CARDS : (uint32_t)d;
        ret->shares[i].mem_bytes = s->shares[i].mem_bytes;
        ret->shares[i].cores_pct = s->shares[i].cores_pct;
    }
}

static bool no_room(const struct machine *m, const struct request_grant *g, const struct plan *plan,
                    GError **error)
{
    char want[QUANTITY_TEXT], room[QUANTITY_TEXT];
    for (uint32_t i = 0; i < g->n; i++) {
        const struct card *d = &m->cards[g->shares[i].device];
        const struct card_use *use = &m->use[g->shares[i].device];
        uint64_t left = d->mem_bytes > use->mem_bytes ? d->mem_bytes - use->mem_bytes : 0;
        uint32_t cores_left = d->cores > use->cores ? d->cores - use->cores : 0;
        if (plan->mem_bytes[i] > left)
            g_set_error(error, STATUS_ERROR, STATUS_NO_FIT,
                        "--mem %s: card %u (%s) has %s for this slice; ask for at most that",
                        quantity_format_flag(plan->mem_bytes[i], want), d->index, d->uuid,
                        quantity_format_bytes(left, room));
        else if (plan->cores_pct[i] > cores_left)
            g_set_error(error, STATUS_ERROR, STATUS_NO_FIT,
                        "--cores %u: card %u (%s) has %u %% for this slice; ask for at most that",
                        plan->cores_pct[i], d->index, d->uuid, cores_left);
        else
            continue;
        return false;
    }
    g_set_error(error, STATUS_ERROR, STATUS_NO_FIT, "the cards do not take the new size");
    return false;
}

/* Checks the plan against what the others hold. */
static bool check_room(struct broker *b, const struct ledger_slice *s, const struct broker_resize *change,
                       struct plan *plan, GError **error)
{
    g_autofree struct driver_inventory *cards = g_new0(struct driver_inventory, 1);
    g_autofree struct machine *m = g_new0(struct machine, 1);
    struct request_grant g;
    if (!machine_cards(b, s->machine, cards, error) || !broker_cards(b, s->machine, cards, m, error))
        return false;
    grant_of(m, s, &g);
    for (uint32_t i = 0; i < g.n; i++)
        if (g.shares[i].device >= m->n) {
            g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER, "card %s is gone", s->shares[i].uuid);
            return false;
        }
    place_remove(m, &g);
    for (uint32_t i = 0; i < g.n; i++) {
        uint64_t card_bytes = m->cards[g.shares[i].device].mem_bytes;
        plan->mem_bytes[i] =
            change->has_mem ? request_mem_of(&change->mem, card_bytes) : s->shares[i].mem_bytes;
        plan->cores_pct[i] = change->has_cores ? change->cores_pct : s->shares[i].cores_pct;
        g.shares[i].mem_bytes = MAX(plan->mem_bytes[i], 1);
        g.shares[i].cores_pct = plan->cores_pct[i];
    }
    return place_add(m, &g) || (no_room(m, &g, plan, error), false);
}

/* Which shares use more than the plan gives them. */
static bool check_use(struct broker *b, const struct ledger_slice *s, const struct plan *plan, bool pending,
                      bool above[REQUEST_DEVICES_MAX], GError **error)
{
    char used_text[QUANTITY_TEXT], want[QUANTITY_TEXT];
    for (uint32_t i = 0; i < s->n_shares; i++) {
        uint64_t used = 0;
        bool known = broker_used(b, s, i, &used);
        above[i] = plan->mem_bytes[i] < s->shares[i].mem_bytes && (!known || used > plan->mem_bytes[i]);
        if (!above[i] || pending)
            continue;
        if (!known) {
            g_set_error(
                error, STATUS_ERROR, STATUS_IN_USE,
                "--mem %s: what %s uses cannot be known, its region is damaged (see `hami doctor %s`); "
                "stop it, or add --pending to have the limit hold for what is allocated from now on",
                quantity_format_flag(plan->mem_bytes[i], want), s->id, s->id);
            return false;
        }
        g_set_error(error, STATUS_ERROR, STATUS_IN_USE,
                    "--mem %s: %s uses %s (%" G_GUINT64_FORMAT
                    " bytes) of card %s now; free memory first, or add --pending to have the limit hold "
                    "from now on and the rest given back once it is free",
                    quantity_format_flag(plan->mem_bytes[i], want), s->id,
                    quantity_format_bytes(used, used_text), used, s->shares[i].uuid);
        return false;
    }
    return true;
}

static bool commit(struct broker *b, const struct ledger_slice *s, const char *kind, GError **error)
{
    char text[QUANTITY_TEXT], share[QUANTITY_TEXT];
    bool done =
        ledger_update(b->ledger, s, error) &&
        (!kind || ledger_event(b->ledger, s->id, kind, error, "%s%s of each card%s",
                               quantity_format_bytes(s->shares[0].pending_bytes ? s->shares[0].pending_bytes
                                                                                : s->shares[0].mem_bytes,
                                                     text),
                               quantity_format_share(s->shares[0].cores_pct, share),
                               s->shares[0].pending_bytes ? ", memory once it is free" : "")) &&
        ledger_commit(b->ledger, error);
    if (!done)
        ledger_rollback(b->ledger);
    return done;
}

/* Step 1: the larger of both, in one transaction with the check. */
static bool take_larger(struct broker *b, struct ledger_slice *s, const struct broker_resize *change,
                        struct plan *plan, bool above[REQUEST_DEVICES_MAX], GError **error)
{
    if (!ledger_begin(b->ledger, error))
        return false;
    struct ledger_slice larger;
    if (!ledger_find(b->ledger, s->id, &larger, error) || !check_room(b, &larger, change, plan, error) ||
        !check_use(b, &larger, plan, change->pending, above, error)) {
        ledger_rollback(b->ledger);
        return false;
    }
    for (uint32_t i = 0; i < larger.n_shares; i++) {
        larger.shares[i].mem_bytes = MAX(larger.shares[i].mem_bytes, plan->mem_bytes[i]);
        larger.shares[i].cores_pct = MAX(larger.shares[i].cores_pct, plan->cores_pct[i]);
    }
    larger.epoch = larger.epoch % 99999999 + 1;
    *s = larger;
    return commit(b, s, NULL, error);
}

static bool resize_locked(struct broker *b, struct ledger_slice *s, const struct broker_resize *change,
                          GError **error)
{
    struct plan plan = {0};
    bool above[REQUEST_DEVICES_MAX] = {false};
    struct ledger_slice before = *s;
    if (!take_larger(b, s, change, &plan, above, error))
        return false;
    for (uint32_t i = 0; i < s->n_shares; i++) {
        s->shares[i].cores_pct = plan.cores_pct[i];
        s->shares[i].pending_bytes = above[i] ? plan.mem_bytes[i] : 0;
        if (!above[i])
            s->shares[i].mem_bytes = plan.mem_bytes[i];
    }
    if (!files_write_limits(b->paths, s, error) || !broker_wall(b, s, false, error))
        return false;
    /* Somebody may have taken memory between the look and the new limit. */
    if (!change->pending && !check_use(b, &before, &plan, false, above, error)) {
        before.epoch = s->epoch % 99999999 + 1;
        if (files_write_limits(b->paths, &before, NULL) && broker_wall(b, &before, false, NULL))
            broker_update(b, &before, NULL, NULL, NULL);
        return false;
    }
    return ledger_begin(b->ledger, error) && commit(b, s, "resized", error);
}

bool broker_resize(struct broker *b, struct ledger_slice *s, const struct broker_resize *change,
                   GError **error)
{
    g_autoptr(Files) f = files_of(b->paths, s->id);
    g_autofree char *lock = g_build_filename(b->paths->state, "resize.lock", NULL);
    if (s->state == LEDGER_ENDED) {
        g_set_error(error, STATUS_ERROR, STATUS_NO_SLICE, "slice %s has ended", s->id);
        return false;
    }
    if (!g_file_test(f->folder, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, STATUS_ERROR, STATUS_FAILED,
                    "slice %s: %s is gone; its limits stay as they are: stop it and start it again", s->id,
                    f->folder);
        return false;
    }
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_set_error(error, STATUS_ERROR, errno == EACCES ? STATUS_DENIED : STATUS_FAILED, "%s: %s", lock,
                    g_strerror(errno));
        return false;
    }
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    bool done = resize_locked(b, s, change, error);
    close(fd);
    if (done)
        files_ring(b->paths);
    return done;
}
