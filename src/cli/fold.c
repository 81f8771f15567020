/* SPDX-License-Identifier: Apache-2.0
 *
 * See fold.h.
 */
#include "cli/fold.h"

#include <stdbool.h>
#include <string.h>

/* Prose stands at the margin and has no columns. */
static bool is_prose(const char *line)
{
    return *line && *line != ' ' && !strstr(line, "  ");
}

/* Where a line goes on: below its last column, that is behind its last gap of two blanks or more, when that
 * leaves half of the line; else two further in than it began. */
static size_t hanging(const char *line, unsigned width)
{
    size_t margin = strspn(line, " "), column = 0;
    for (const char *gap = line + margin; (gap = strstr(gap, "  ")); gap += strspn(gap, " "))
        column = (size_t)(gap - line) + strspn(gap, " ");
    if (column == 0 && margin > 4) /* the meaning alone, its flag being on the line above */
        column = margin;
    return column && column < width / 2 ? column : is_prose(line) ? 0 : margin + 2;
}

static void fold_line(GString *ret, const char *line, unsigned width)
{
    size_t indent = hanging(line, width), start = 0;
    while (start + strlen(line) > width) {
        size_t at = width - start, first = strspn(line, " ");
        while (at > first && line[at] != ' ')
            at--;
        if (at <= first) /* a word that is too long */
            at = first + strcspn(line + first, " ");
        while (at > first + 1 && line[at - 1] == ' ')
            at--;
        if (!line[at])
            break;
        g_string_append_len(ret, line, (gssize)at);
        g_string_append_printf(ret, "\n%*s", (int)indent, "");
        line += at + strspn(line + at, " ");
        start = indent;
    }
    g_string_append_printf(ret, "%s\n", line);
}

char *fold_text(const char *text, unsigned width)
{
    GString *ret = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_autoptr(GString) whole = g_string_new(*line);
        while (is_prose(*line) && line[1] && is_prose(line[1]))
            g_string_append_printf(whole, " %s", *++line);
        if (line[1] || whole->len) /* the text ends with the last newline */
            fold_line(ret, whole->str, width);
    }
    return g_string_free(ret, FALSE);
}
