/* SPDX-License-Identifier: Apache-2.0
 *
 * The pointer table against a plain model, and under threads.
 */
#include <glib.h>
#include <stdlib.h>

#include "preload/mem_table.h"

static struct mem_table table;

static struct mem_entry entry(uint64_t key)
{
    return (struct mem_entry){.key = key, .bytes = key * 3, .device = 1, .kind = 2};
}

static void put_get_take_round_trip(void)
{
    struct mem_entry e = entry(0x7f0000000200), got;

    g_assert_true(mem_table_put(&table, &e, &got));
    g_assert_cmpuint(got.key, ==, 0);
    g_assert_true(mem_table_get(&table, e.key, &got));
    g_assert_cmpuint(got.bytes, ==, e.bytes);
    g_assert_true(mem_table_take(&table, e.key, &got));
    g_assert_false(mem_table_get(&table, e.key, &got));
    g_assert_false(mem_table_take(&table, e.key, &got));
    g_assert_cmpuint(mem_table_count(&table), ==, 0);
}

static void absent_and_zero_keys_are_never_found(void)
{
    struct mem_table empty = {0};
    struct mem_entry got;

    g_assert_false(mem_table_take(&empty, 0, &got));
    g_assert_false(mem_table_get(&empty, 0x1000, &got));
    g_assert_false(mem_table_take(&table, 0, &got));
}

static void a_second_put_replaces_and_hands_out_the_first(void)
{
    struct mem_entry e = entry(512), old;

    g_assert_true(mem_table_put(&table, &e, NULL));
    e.bytes = 7;
    g_assert_true(mem_table_put(&table, &e, &old));
    g_assert_cmpuint(old.bytes, ==, 512 * 3);
    g_assert_cmpuint(mem_table_count(&table), ==, 1);
    g_assert_true(mem_table_take(&table, 512, &old));
    g_assert_cmpuint(old.bytes, ==, 7);
}

static guint32 seed(void)
{
    const char *text = g_getenv("HAMI_TEST_SEED");
    guint32 value = text ? (guint32)strtoul(text, NULL, 0) : g_random_int();

    g_test_message("HAMI_TEST_SEED=%u", value);
    return value;
}

/* Random puts and takes over few keys, compared with a hash table of GLib's. */
static void random_sequences_agree_with_a_model(void)
{
    GRand *rand = g_rand_new_with_seed(seed());
    GHashTable *model = g_hash_table_new(NULL, NULL);

    for (unsigned i = 0; i < 300000; i++) {
        uint64_t key = ((uint64_t)g_rand_int_range(rand, 1, i % 3 ? 64 : 20000)) << 9;
        struct mem_entry e = entry(key), got;
        gboolean known = g_hash_table_contains(model, GSIZE_TO_POINTER(key));

        if (g_rand_boolean(rand)) {
            g_assert_true(mem_table_put(&table, &e, &got));
            g_assert_cmpint(got.key == key, ==, known);
            g_hash_table_add(model, GSIZE_TO_POINTER(key));
        } else {
            g_assert_cmpint(mem_table_take(&table, key, &got), ==, known);
            g_assert_true(!known || got.bytes == key * 3);
            g_hash_table_remove(model, GSIZE_TO_POINTER(key));
        }
    }
    g_assert_cmpuint(mem_table_count(&table), ==, g_hash_table_size(model));
    GHashTableIter iter;
    gpointer key;
    struct mem_entry got;
    g_hash_table_iter_init(&iter, model);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_assert_true(mem_table_take(&table, GPOINTER_TO_SIZE(key), &got));
    g_assert_cmpuint(mem_table_count(&table), ==, 0);
    g_hash_table_unref(model);
    g_rand_free(rand);
}

static void grows_to_a_million_and_shrinks_back(void)
{
    enum { N = 1000000 };
    struct mem_entry got;

    for (uint64_t i = 1; i <= N; i++) {
        struct mem_entry e = entry(i << 21);
        g_assert_true(mem_table_put(&table, &e, NULL));
    }
    g_assert_cmpuint(mem_table_count(&table), ==, N);
    for (uint64_t i = 1; i <= N; i += 997)
        g_assert_true(mem_table_get(&table, i << 21, &got) && got.bytes == (i << 21) * 3);
    for (uint64_t i = N; i >= 1; i--)
        g_assert_true(mem_table_take(&table, i << 21, &got));
    for (unsigned s = 0; s < MEM_TABLE_SHARDS; s++)
        g_assert_cmpuint(table.shards[s].bits, <=, 10);
}

static bool is_odd(struct mem_entry *e, void *sum)
{
    if (!(e->key & 512))
        return false;
    *(uint64_t *)sum += 1;
    return true;
}

static void a_sweep_removes_exactly_what_matches(void)
{
    struct mem_entry got;
    uint64_t matched = 0;

    for (uint64_t i = 1; i <= 5000; i++) {
        struct mem_entry e = entry(i * 512);
        mem_table_put(&table, &e, NULL);
    }
    mem_table_sweep(&table, is_odd, &matched);
    g_assert_cmpuint(matched, ==, 2500);
    g_assert_cmpuint(mem_table_count(&table), ==, 2500);
    for (uint64_t i = 1; i <= 5000; i++)
        g_assert_cmpint(mem_table_take(&table, i * 512, &got), ==, i % 2 == 0);
}

static gpointer hammer(gpointer base)
{
    for (unsigned round = 0; round < 20; round++) {
        struct mem_entry got;
        for (uint64_t i = 1; i <= 1000; i++) {
            struct mem_entry e = entry(GPOINTER_TO_SIZE(base) + (i << 9));
            g_assert_true(mem_table_put(&table, &e, NULL));
        }
        for (uint64_t i = 1; i <= 1000; i++)
            g_assert_true(mem_table_take(&table, GPOINTER_TO_SIZE(base) + (i << 9), &got));
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void)
{
    GThread *threads[4];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("hammer", hammer, GSIZE_TO_POINTER((i + 1) << 40));
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(mem_table_count(&table), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory_table/put_get_take_round_trip", put_get_take_round_trip);
    g_test_add_func("/memory_table/absent_and_zero_keys_are_never_found",
                    absent_and_zero_keys_are_never_found);
    g_test_add_func("/memory_table/a_second_put_replaces_and_hands_out_the_first",
                    a_second_put_replaces_and_hands_out_the_first);
    g_test_add_func("/memory_table/random_sequences_agree_with_a_model", random_sequences_agree_with_a_model);
    g_test_add_func("/memory_table/grows_to_a_million_and_shrinks_back", grows_to_a_million_and_shrinks_back);
    g_test_add_func("/memory_table/a_sweep_removes_exactly_what_matches",
                    a_sweep_removes_exactly_what_matches);
    g_test_add_func("/memory_table/threads_do_not_disturb_each_other", threads_do_not_disturb_each_other);
    return g_test_run();
}
