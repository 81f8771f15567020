/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags' amounts: memory, percent, ratios, durations. What is taken is what
 * the digits say, counted here a second time in floating point; a duration that Go
 * takes as well is the same to both.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "model/quantity.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static void close_to(double got, double wanted, double step)
{
    CHECK(fabs(got - wanted) <= step + wanted * 1e-9);
}

/* The sum of number and unit, over and over; NAN = not of that form. */
static double duration_ms(const char *text)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
    double sum = 0;
    while (*text) {
        char *end;
        size_t i;
        if (!g_ascii_isdigit(*text))
            return NAN;
        double number = g_ascii_strtod(text, &end);
        if (strspn(text, "0123456789.") < (size_t)(end - text)) /* an exponent, or hexadecimal */
            return NAN;
        size_t len = strspn(end, "abcdefghijklmnopqrstuvwxyz");
        for (i = 0; i < G_N_ELEMENTS(units); i++)
            if (strlen(units[i].unit) == len && strncmp(units[i].unit, end, len) == 0)
                break;
        if (i == G_N_ELEMENTS(units))
            return NAN;
        sum += number * units[i].ms;
        text = end + len;
    }
    return sum;
}

static void durations(const char *text)
{
    uint64_t ms = UINT64_MAX, again;
    double wanted = *text ? duration_ms(text) : NAN;
    const char *why = quantity_parse_duration(text, &ms);
    if (why) {
        CHECK(*why &&
              (isnan(wanted) || wanted > 366 * 8.64e7 - 1000 || strstr(text, "..") || strstr(text, ".")));
        return;
    }
    CHECK(ms <= UINT64_C(366) * 86400000);
    if (!isnan(wanted))
        close_to((double)ms, wanted, (double)strlen(text));
    else /* one number alone is seconds; blanks in front are passed over */
        CHECK(strchr(text, ' ') || strspn(text, "0123456789.") == strlen(text));
    g_autofree char *plain = g_strdup_printf("%" G_GUINT64_FORMAT "ms", ms);
    CHECK(!quantity_parse_duration(plain, &again) && again == ms);
}

static void amounts(const char *text)
{
    uint64_t bytes, again;
    uint32_t percent, milli;
    struct quantity_mem mem;
    char buf[QUANTITY_TEXT];
    if (!quantity_parse_bytes(text, &bytes)) {
        CHECK(bytes > 0);
        CHECK(!quantity_parse_bytes(quantity_format_flag(bytes, buf), &again) && again == bytes);
        CHECK(strlen(quantity_format_bytes(bytes, buf)) < QUANTITY_TEXT);
    }
    if (!quantity_parse_mem(text, &mem))
        CHECK((mem.bytes >= QUANTITY_MIB && !mem.percent) ||
              (!mem.bytes && mem.percent >= 1 && mem.percent <= 100));
    if (!quantity_parse_percent(text, &percent))
        CHECK(percent >= 1 && percent <= 100 && (uint32_t)g_ascii_strtoull(text, NULL, 10) == percent);
    if (!quantity_parse_ratio(text, &milli)) {
        CHECK(milli >= 1 && milli <= 100000);
        close_to(milli, g_ascii_strtod(text, NULL) * 1000, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    durations(text);
    amounts(text);
    return 0;
}
