/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <glib.h>

static void pieces_are_zeroed_aligned_and_apart(void)
{
    static const size_t sizes[] = {1, 7, 64, 3000, 2, 2032, 1999, 1, 0, 16};
    void *arena = NULL;
    char *pieces[G_N_ELEMENTS(sizes)];
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        pieces[i] = arena_take(&arena, sizes[i]);
        g_assert_cmpuint((guintptr)pieces[i] % _Alignof(max_align_t), ==, 0);
        for (size_t b = 0; b < sizes[i]; b++)
            g_assert_cmpint(pieces[i][b], ==, 0);
        memset(pieces[i], (int)i + 1, sizes[i]);
        arena_text(&arena, "odd", 3); /* the next piece is aligned again */
    }
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        for (size_t b = 0; b < sizes[i]; b++)
            g_assert_cmpint(pieces[i][b], ==, (int)i + 1);
    arena_free(arena);
    arena_free(NULL);
}

static void texts_are_copied_with_an_end(void)
{
    static const struct {
        const char *json, *expected; /* NULL = refused */
    } rows[] = {
        {"plain", "plain"}, {"", ""}, {"a\\u00e9\\n", "a\u00e9\n"}, {"\\ud800", NULL}, {"bad\xff", NULL},
    };
    void *arena = NULL;
    g_assert_cmpstr(arena_text(&arena, "abcdef", 3), ==, "abc");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct json_text t = {
            .at = rows[i].json, .len = strlen(rows[i].json), .escaped = strchr(rows[i].json, '\\') != NULL};
        g_test_message("row %zu", i);
        g_assert_cmpstr(arena_json(&arena, t), ==, rows[i].expected);
    }
    arena_free(arena);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/arena/pieces_are_zeroed_aligned_and_apart", pieces_are_zeroed_aligned_and_apart);
    g_test_add_func("/arena/texts_are_copied_with_an_end", texts_are_copied_with_an_end);
    return g_test_run();
}
