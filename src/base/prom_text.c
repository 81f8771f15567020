/* SPDX-License-Identifier: Apache-2.0
 *
 * See prom_text.h.
 */
#include "base/prom_text.h"

/* ---- label values ----------------------------------------------------------------- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Does one of n characters, rounded up to sixteen, have to be escaped? */
static bool has_special(const char *text, size_t n)
{
    bytes16 found = {0};
    for (size_t i = 0; i < n; i += sizeof found) {
        bytes16 part;
        memcpy(&part, text + i, sizeof part);
        found |= (bytes16)((part == '"') | (part == '\\') | (part == '\n'));
    }
    uint64_t halves[2];
    memcpy(halves, &found, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

static char *escape(char *at, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\' || text[i] == '\n')
            *at++ = '\\';
        *at++ = text[i] == '\n' ? 'n' : text[i];
    }
    return at;
}

char *prom_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    memset(at + len, 0, sizeof(bytes16)); /* what is looked at beyond the end */
    return has_special(at, len) ? escape(at, text, len) : at + len;
}

/* ---- numbers ---------------------------------------------------------------------- */

static unsigned digits_of(uint64_t value)
{
    static const uint64_t least[] = {0,
                                     UINT64_C(10),
                                     UINT64_C(100),
                                     UINT64_C(1000),
                                     UINT64_C(10000),
                                     UINT64_C(100000),
                                     UINT64_C(1000000),
                                     UINT64_C(10000000),
                                     UINT64_C(100000000),
                                     UINT64_C(1000000000),
                                     UINT64_C(10000000000),
                                     UINT64_C(100000000000),
                                     UINT64_C(1000000000000),
                                     UINT64_C(10000000000000),
                                     UINT64_C(100000000000000),
                                     UINT64_C(1000000000000000),
                                     UINT64_C(10000000000000000),
                                     UINT64_C(100000000000000000),
                                     UINT64_C(1000000000000000000),
                                     UINT64_C(10000000000000000000)};
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1), n = bits * 1233 >> 12; /* log10(2) */
    return n + (value >= least[n]);
}

static const char pairs[] = "0001020304050607080910111213141516171819"
                            "2021222324252627282930313233343536373839"
                            "4041424344454647484950515253545556575859"
                            "6061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

/* The last n digits, zeros in front. */
static void put_digits(char *at, uint64_t value, unsigned n)
{
    for (; n >= 2; n -= 2, value /= 100)
        memcpy(at + n - 2, pairs + value % 100 * 2, 2);
    if (n)
        *at = (char)('0' + value % 10);
}

char *prom_number(char *at, uint64_t value)
{
    unsigned n = value ? digits_of(value) : 1;
    put_digits(at, value, n);
    return at + n;
}

char *prom_ratio(char *at, uint64_t part, uint64_t whole)
{
    enum { DECIMALS = 9 };
    uint64_t units = part / whole, rest = part % whole;
    uint64_t decimals = (uint64_t)((double)rest / (double)whole * 1e9 + 0.5);
    if (decimals >= 1000000000) {
        decimals = 0;
        units++;
    }
    at = prom_number(at, units);
    if (decimals == 0)
        return at;
    *at++ = '.';
    put_digits(at, decimals, DECIMALS);
    for (at += DECIMALS; at[-1] == '0';)
        at--;
    return at;
}

/* ---- without care for speed ------------------------------------------------------- */

void prom_add_label(GString *out, const char *key, const char *value)
{
    size_t n = strlen(key), len = strlen(value);
    char *at = prom_room(out, n + 2 * len + 4);
    at = prom_bytes(at, key, n);
    at = prom_bytes(at, "=\"", 2);
    at = prom_text(at, value, len);
    prom_done(out, prom_bytes(at, "\",", 2));
}

void prom_add_label_number(GString *out, const char *key, uint64_t value)
{
    char digits[PROM_NUMBER];
    *prom_number(digits, value) = '\0';
    prom_add_label(out, key, digits);
}

void prom_add_value(GString *out, int64_t value)
{
    char *at = prom_room(out, PROM_NUMBER);
    if (value < 0)
        *at++ = '-';
    at = prom_number(at, value < 0 ? -(uint64_t)value : (uint64_t)value);
    *at++ = '\n';
    prom_done(out, at);
}
