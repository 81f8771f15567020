/* SPDX-License-Identifier: Apache-2.0
 *
 * See http_gzip.h.
 */
#include "net/http_gzip.h"

#include <gio/gio.h>
#include <string.h>

#define LEVEL                                                                                                \
    1 /* a page of metrics shrinks to a fortieth; another level halves that, at four times the work */
#define ROOM (16u << 10)
#define UNNAMED (-1)

/* ---- what is asked for ------------------------------------------------------ */

static const char *blanks(const char *at)
{
    return at + strspn(at, " \t");
}

static bool is_word(const char *at, size_t len, const char *word)
{
    return len == strlen(word) && g_ascii_strncasecmp(at, word, len) == 0;
}

/* "q=0.5" in thousandths; what cannot be read is not wanted. */
static int weight(const char *at, size_t len)
{
    int value = 0;
    if (len < 3 || len > 7 || g_ascii_tolower(at[0]) != 'q' || at[1] != '=' ||
        (at[2] != '0' && at[2] != '1') || (len > 3 && at[3] != '.'))
        return 0;
    for (size_t i = 4; i < 7; i++) {
        if (i < len && !g_ascii_isdigit(at[i]))
            return 0;
        value = 10 * value + (i < len ? at[i] - '0' : 0);
    }
    return at[2] == '1' ? 1000 : value;
}

bool http_asks_for_gzip(const char *accept)
{
    int gzip = UNNAMED, plain = UNNAMED, any = UNNAMED;
    for (const char *at = accept; at && *at; at += *at == ',') {
        at = blanks(at);
        size_t len = strcspn(at, ",; \t"), rest;
        const char *name = at;
        at = blanks(at + len);
        int q = 1000;
        if (*at == ';') {
            at = blanks(at + 1);
            rest = strcspn(at, ", \t");
            q = weight(at, rest);
        }
        at += strcspn(at, ",");
        if (is_word(name, len, "gzip") || is_word(name, len, "x-gzip"))
            gzip = q;
        else if (is_word(name, len, "identity"))
            plain = q;
        else if (is_word(name, len, "*"))
            any = q;
    }
    gzip = gzip == UNNAMED ? any : gzip;
    return gzip > 0 && gzip >= plain;
}

/* ---- packing ----------------------------------------------------------------- */

struct http_gzip {
    GConverter *zlib;
    GString *packed;
};

struct http_gzip *http_gzip_new(void)
{
    struct http_gzip *g = g_new0(struct http_gzip, 1);
    g->zlib = G_CONVERTER(g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP, LEVEL));
    g->packed = g_string_sized_new(ROOM);
    return g;
}

void http_gzip_free(struct http_gzip *g)
{
    if (!g)
        return;
    g_object_unref(g->zlib);
    g_string_free(g->packed, TRUE);
    g_free(g);
}

bool http_gzip_pack(struct http_gzip *g, GString *text, bool is_last)
{
    GConverterFlags flags = is_last ? G_CONVERTER_INPUT_AT_END : G_CONVERTER_FLUSH;
    GConverterResult result;
    gsize done = 0, used = 0, read, written;
    do {
        g_string_set_size(g->packed, used + ROOM);
        result = g_converter_convert(g->zlib, text->str + done, text->len - done, g->packed->str + used, ROOM,
                                     flags, &read, &written, NULL);
        done += read;
        used += written;
    } while (result == G_CONVERTER_CONVERTED);
    g_string_truncate(text, 0);
    g_string_append_len(text, g->packed->str, (gssize)used);
    return result != G_CONVERTER_ERROR;
}
