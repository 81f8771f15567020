/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks for a packed answer, and that it can be unpacked as it comes.
 */
#include "net/http_gzip.h"

#include <gio/gio.h>
#include <string.h>

/* RFC 9110, 12.5.3; weights, 12.4.2. */
static const struct {
    const char *name, *accept;
    bool asks;
} rows[] = {
    {"no_header", NULL, false},
    {"empty", "", false},
    {"gzip", "gzip", true},
    {"old_name", "x-gzip", true},
    {"any_case", "GZip", true},
    {"among_others", "deflate, gzip, br", true},
    {"blanks", " \t deflate ,\tgzip ; q=0.8 ", true},
    {"empty_members", ",,gzip,,", true},
    {"others", "deflate, br", false},
    {"part_of_a_name", "gzipped, xgzip", false},
    {"weight", "gzip;q=0.001", true},
    {"weight_of_one", "gzip;q=1.000", true},
    {"refused", "gzip;q=0", false},
    {"refused_exactly", "gzip;q=0.000, *", false},
    {"anything", "*", true},
    {"anything_but", "*;q=0", false},
    {"named_before_anything", "*;q=0, gzip", true},
    {"rather_plain", "identity, gzip;q=0.5", false},
    {"rather_packed", "identity;q=0.5, gzip;q=0.6", true},
    {"either", "identity, gzip", true},
    {"plain_refused", "identity;q=0, gzip", true},
    {"weight_of_two", "gzip;q=2", false},
    {"weight_too_long", "gzip;q=0.1234", false},
    {"weight_of_letters", "gzip;q=0.a", false},
    {"no_weight", "gzip;q=", false},
    {"another_parameter", "gzip;level=9", false},
    {"only_a_semicolon", ";", false},
};

static void test_asks(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    g_assert_cmpint(http_asks_for_gzip(rows[i].accept), ==, rows[i].asks);
}

static GString *unpacked(GConverter *zlib, const GString *packed, bool *ret_end)
{
    GString *text = g_string_new(NULL);
    char room[4096];
    gsize done = 0, read, written;
    GConverterResult result = G_CONVERTER_CONVERTED;
    while (done < packed->len && result == G_CONVERTER_CONVERTED) {
        g_autoptr(GError) error = NULL;
        result = g_converter_convert(zlib, packed->str + done, packed->len - done, room, sizeof room,
                                     G_CONVERTER_NO_FLAGS, &read, &written, &error);
        g_assert_no_error(error);
        done += read;
        g_string_append_len(text, room, (gssize)written);
    }
    *ret_end = result == G_CONVERTER_FINISHED;
    return text;
}

/* Sizes around those of the buffers, and texts that do not shrink. */
static void test_each_piece_can_be_read_when_it_comes(void)
{
    static const struct {
        size_t len;
        bool random;
    } pieces[] = {{1, false},       {0, false},     {16384, true}, {16385, true}, {200000, true},
                  {1000000, false}, {65536, false}, {3, true},     {0, false}};
    struct http_gzip *g = http_gzip_new();
    g_autoptr(GConverter) zlib = G_CONVERTER(g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP));
    for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
        bool is_last = i + 1 == G_N_ELEMENTS(pieces), end;
        g_autoptr(GString) piece = g_string_sized_new(pieces[i].len + 1);
        for (size_t k = 0; k < pieces[i].len; k++)
            g_string_append_c(piece, pieces[i].random ? (char)g_test_rand_int_range(0, 256) : 'x');
        g_autoptr(GString) packed = g_string_new_len(piece->str, (gssize)piece->len);
        g_assert_true(http_gzip_pack(g, packed, is_last));
        g_autoptr(GString) text = unpacked(zlib, packed, &end);
        g_assert_true(g_string_equal(text, piece));
        g_assert_cmpint(end, ==, is_last);
        if (!pieces[i].random)
            g_assert_cmpuint(packed->len, <, pieces[i].len / 100 + 64);
    }
    http_gzip_free(g);
    http_gzip_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/net/http_gzip/asks/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_asks);
    }
    g_test_add_func("/net/http_gzip/each_piece_can_be_read_when_it_comes",
                    test_each_piece_can_be_read_when_it_comes);
    return g_test_run();
}
