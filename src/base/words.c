/* SPDX-License-Identifier: Apache-2.0
 *
 * See words.h. Pure; any thread.
 */
#include "base/words.h"

#include <stdbool.h>
#include <string.h>

enum { WORD_MAX = 64 };

/* Edits (insert, delete, replace, swap of neighbours counted as two) that make
 * one word of the other. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(replace, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[nb];
}

/* Two neighbours that changed places. */
static bool is_swap(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a && a[1] && a[0] == b[1] && a[1] == b[0] && strcmp(a + 2, b + 2) == 0;
}

/* As distance(), but a beginning of the other is near ("mem", "memory"): the
 * long for the short only where nothing is nearer. */
static size_t how_far(const char *word, const char *known, size_t limit)
{
    size_t d = distance(word, known);
    if (*word && g_str_has_prefix(known, word))
        return 1;
    return strlen(known) >= 3 && g_str_has_prefix(word, known) ? MIN(d, limit) : d;
}

const char *words_nearest(const char *word, const char *const *list)
{
    const char *best = NULL;
    size_t limit = MAX(strlen(word) / 3, 2), best_distance = limit + 1;
    for (; *list; list++) {
        size_t d = how_far(word, *list, limit);
        if (d == 2 && strlen(word) <= 3 && !is_swap(word, *list)) /* two of three letters are no slip */
            continue;
        if (d < best_distance) {
            best = *list;
            best_distance = d;
        }
    }
    return best;
}

char *words_join(const char *const *list)
{
    GString *s = g_string_new(NULL);
    for (size_t i = 0; list[i]; i++)
        g_string_append_printf(s, "%s%s", i == 0 ? "" : list[i + 1] ? ", " : " and ", list[i]);
    return g_string_free(s, FALSE);
}

void words_make_printable(char *text, const char *kept)
{
    char *to = text;
    for (char *at = text, *next; *at; at = next) {
        gunichar c = g_utf8_get_char_validated(at, -1);
        bool valid = c != (gunichar)-1 && c != (gunichar)-2;
        next = valid ? g_utf8_next_char(at) : at + 1;
        if (valid && (g_unichar_isprint(c) || (c < 0x80 && strchr(kept, (int)c)))) {
            memmove(to, at, (size_t)(next - at));
            to += next - at;
        } else {
            *to++ = '?';
        }
    }
    *to = '\0';
}
