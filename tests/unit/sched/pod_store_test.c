/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/pod_store.h"

#include <string.h>

#include "../seed.h"

enum { PODS = 3000, STEPS = 40000, NAME_MAX_LEN = 400 };

/* A pod as it was put in. */
struct model {
    uint32_t pod; /* 0 = not there */
    char uid[POD_UID_TEXT], name[NAME_MAX_LEN + 1];
    uint8_t slots[POD_SLOTS_MAX];
    struct card_grant grants[POD_GRANTS_MAX];
    struct pod_facts facts;
};

static uint32_t below(GRand *r, uint32_t n)
{
    return (uint32_t)g_rand_int_range(r, 0, (gint32)n);
}

/* Half of the UIDs are UUIDs; those that are not, differ in letters a UUID may not have. */
static void name_uid(char ret[POD_UID_TEXT], uint32_t number)
{
    unsigned high = number * 2654435761u, low = number & 0xffff;
    if (number % 5 == 0)
        g_snprintf(ret, POD_UID_TEXT, "static-pod-%x-%x", high, low);
    else if (number % 2)
        g_snprintf(ret, POD_UID_TEXT, "%08x-0000-4000-8000-00000000%04x", high, low);
    else
        g_snprintf(ret, POD_UID_TEXT, "%08X-A000-4000-8000-00000000%04X", high, low);
}

static void choose(struct model *m, GRand *r, uint32_t number)
{
    bool wide = below(r, 4) == 0;
    memset(m, 0, sizeof *m);
    name_uid(m->uid, number);
    memset(m->name, 'a' + (int)(number % 26), below(r, 20) ? below(r, 40) : NAME_MAX_LEN);
    m->facts = (struct pod_facts){.uid = m->uid,
                                  .name = m->name,
                                  .slot_kind = m->slots,
                                  .n_slots = (uint8_t)below(r, below(r, 10) ? 4 : POD_SLOTS_MAX + 1),
                                  .n_grants = (uint16_t)below(r, below(r, 50) ? 9 : POD_GRANTS_MAX + 1),
                                  .grants = m->grants,
                                  .timed = below(r, 2),
                                  .priority = below(r, 2) ? 0 : (int32_t)g_rand_int(r)};
    m->facts.deadline = m->facts.timed ? (int64_t)g_rand_int(r) << 20 : 0;
    for (unsigned i = 0; i < m->facts.n_slots; i++)
        m->slots[i] = below(r, 4) ? SLOT_APP : (uint8_t)below(r, 3);
    for (unsigned i = 0; i < m->facts.n_grants; i++)
        m->grants[i] = (struct card_grant){.mem_bytes = wide ? g_rand_int(r) : (uint64_t)g_rand_int(r) << 20,
                                           .cores = below(r, 101),
                                           .card = (uint16_t)(below(r, 128) | (below(r, 8) ? 0 : 0x8000)),
                                           .slices = 1,
                                           .slot = (uint8_t)below(r, POD_SLOTS_MAX),
                                           .shape = CARD_NO_SHAPE};
}

static void check(const struct pod_store *s, const struct model *m)
{
    static struct card_grant grants[POD_GRANTS_MAX];
    const struct pod_record *p = pod_store_at(s, m->pod);
    char uid[POD_UID_TEXT];
    pod_record_uid(p, uid);
    g_assert_cmpstr(uid, ==, m->uid);
    g_assert_cmpstr(pod_record_name(p), ==, m->name);
    g_assert_cmpuint(p->n_slots, ==, m->facts.n_slots);
    g_assert_true(memcmp(pod_record_slots(p), m->slots, p->n_slots) == 0);
    g_assert_cmpint(pod_record_priority(p), ==, m->facts.priority);
    if (m->facts.timed)
        g_assert_cmpint(pod_record_deadline(p), ==, m->facts.deadline);
    g_assert_cmpuint(p->n_grants, ==, m->facts.n_grants);
    pod_record_grants(p, grants);
    for (unsigned i = 0; i < p->n_grants; i++) {
        g_assert_cmpuint(grants[i].mem_bytes, ==, m->grants[i].mem_bytes);
        g_assert_cmpuint(grants[i].cores, ==, m->grants[i].cores);
        g_assert_cmpuint(grants[i].card, ==, m->grants[i].card);
        g_assert_cmpuint(grants[i].slot, ==, m->grants[i].slot);
    }
}

static void change(struct pod_store *s, struct model *m, GRand *r, uint32_t number)
{
    char uid[POD_UID_TEXT];
    name_uid(uid, number);
    g_assert_cmpuint(pod_store_find(s, uid), ==, m->pod);
    if (m->pod) {
        check(s, m);
        pod_store_remove(s, m->pod);
        m->pod = 0;
        g_assert_cmpuint(pod_store_find(s, uid), ==, 0);
        return;
    }
    choose(m, r, number);
    m->pod = pod_store_insert(s, &m->facts);
    g_assert_cmpuint(m->pod, !=, 0);
    if (m->facts.timed && below(r, 2))
        pod_record_set_deadline(pod_store_at(s, m->pod), m->facts.deadline = g_rand_int(r));
    check(s, m);
}

static void what_goes_in_comes_out_as_it_was(void)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(test_seed());
    struct model *models = g_new0(struct model, PODS);
    struct pod_store *s = pod_store_new();
    uint32_t at = 0, there = 0, counted = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        uint32_t number = below(r, PODS);
        change(s, &models[number], r, number);
    }
    for (uint32_t i = 0; i < PODS; i++)
        if (models[i].pod) {
            check(s, &models[i]);
            g_assert_cmpuint(pod_store_find(s, models[i].uid), ==, models[i].pod);
            there++;
        }
    while (pod_store_next(s, &at))
        counted++;
    g_assert_cmpuint(counted, ==, there);
    g_assert_cmpuint(pod_store_count(s), ==, there);
    pod_store_free(s);
    g_free(models);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pod_store/what_goes_in_comes_out_as_it_was", what_goes_in_comes_out_as_it_was);
    return g_test_run();
}
