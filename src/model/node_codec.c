/* SPDX-License-Identifier: Apache-2.0 */
#include "model/node_codec.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "model/node_formats.h"

struct card_list *node_codec_parse(const struct family *f, const char *node_name, const char *text,
                                   size_t len, char **ret_why)
{
    switch (f->inventory) {
    case FAMILY_INV_JSON:
        return node_json_parse(f, text, len, ret_why);
    case FAMILY_INV_COLON:
        return node_colon_parse(f, text, len, ret_why);
    case FAMILY_INV_METAX:
        return node_metax_parse(f, text, len, ret_why);
    case FAMILY_INV_ENFLAME:
        return node_enflame_parse(f, node_name, text, len, ret_why);
    case FAMILY_INV_CAPACITY:
        break;
    }
    *ret_why =
        g_strdup_printf("cards of %s follow from the node's capacity, not from an annotation", f->title);
    return NULL;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar: years begin in
 * March, so that the leap day is the last one. */
static int64_t days_of(int year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int of_era = year % 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Six numbers of fixed width; the date's separator is '-' or, from old releases, '.'. */
static bool parse_time(const char *text, int64_t *ret)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const char shape[] = "0000-00-00 00:00:00";
    int fields[6] = {0}, field = 0;
    if (strlen(text) != sizeof shape - 1)
        return false;
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] == '0') {
            if (!g_ascii_isdigit(text[i]))
                return false;
            fields[field] = fields[field] * 10 + (text[i] - '0');
        } else {
            if (text[i] != shape[i] && !(shape[i] == '-' && text[i] == '.'))
                return false;
            field++;
        }
    }
    if (fields[0] < 1970 || fields[1] < 1 || fields[1] > 12 || fields[2] < 1 ||
        fields[2] > month_days[fields[1] - 1] || fields[3] > 23 || fields[4] > 59 || fields[5] > 60)
        return false;
    *ret = ((days_of(fields[0], fields[1], fields[2]) * 24 + fields[3]) * 60 + fields[4]) * 60 + fields[5];
    return true;
}

enum handshake node_codec_parse_handshake(const char *text, int64_t *ret_local_seconds)
{
    *ret_local_seconds = HANDSHAKE_NO_TIME;
    if (!text || !*text)
        return HANDSHAKE_NONE;
    if (strstr(text, "Requesting")) {
        const char *at = strchr(text, '_');
        if (at)
            parse_time(at + 1, ret_local_seconds);
        return HANDSHAKE_REQUESTING;
    }
    return g_str_has_prefix(text, "Deleted") ? HANDSHAKE_DELETED : HANDSHAKE_REPORTED;
}
