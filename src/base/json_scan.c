/* SPDX-License-Identifier: Apache-2.0
 *
 * Invariants:
 *   1. `at` never passes `end`; after a fault it stays where the fault was found.
 *   2. `depth` counts the containers entered and not yet closed; each is closed
 *      by the call of json_scan_key() or json_scan_element() that returns false.
 */
#include "base/json_scan.h"

#include <glib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

void json_scan_init(struct json_scan *s, const char *text, size_t len)
{
    *s = (struct json_scan){.at = text, .end = len ? text + len : text};
}

void json_scan_fail(struct json_scan *s, const char *fault)
{
    if (!s->fault)
        s->fault = fault;
}

static bool fail(struct json_scan *s, const char *fault)
{
    json_scan_fail(s, fault);
    return false;
}

static void skip_blanks(struct json_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

/* The next character that is not a blank; 0 at the end or after a fault. What
 * machines write has no blanks. */
static inline char next(struct json_scan *s)
{
    if (s->fault)
        return 0;
    if (s->at < s->end && (unsigned char)*s->at > ' ')
        return *s->at;
    skip_blanks(s);
    return s->at < s->end ? *s->at : 0;
}

static const uint8_t kinds[256] = {
    ['{'] = JSON_IS_OBJECT, ['['] = JSON_IS_ARRAY,          ['"'] = JSON_IS_STRING,
    ['t'] = JSON_IS_TRUE,   ['f'] = JSON_IS_FALSE,          ['n'] = JSON_IS_NULL,
    ['-'] = JSON_IS_NUMBER, ['0' ... '9'] = JSON_IS_NUMBER, /* the rest: JSON_IS_NONE */
};

static inline enum json_kind peek(struct json_scan *s)
{
    return (enum json_kind)kinds[(unsigned char)next(s)];
}

enum json_kind json_scan_peek(struct json_scan *s)
{
    return peek(s);
}

static bool enter(struct json_scan *s, enum json_kind kind)
{
    if (peek(s) != kind) {
        json_scan_skip(s);
        return false;
    }
    if (s->depth == JSON_SCAN_DEPTH)
        return fail(s, "nested too deeply");
    s->at++;
    s->depth++;
    s->first = true;
    return true;
}

bool json_scan_object(struct json_scan *s)
{
    return enter(s, JSON_IS_OBJECT);
}

bool json_scan_array(struct json_scan *s)
{
    return enter(s, JSON_IS_ARRAY);
}

/* Before an element: takes the comma, or the closing bracket (false). */
static inline bool element(struct json_scan *s, char close)
{
    char c = next(s);
    if (c == close && c) {
        s->at++;
        s->depth--;
        s->first = false;
        return false;
    }
    if (!s->first) {
        if (c != ',')
            return fail(s, "a comma or a closing bracket is missing");
        s->at++;
        if (next(s) == close)
            return fail(s, "nothing follows a comma");
    }
    s->first = false;
    return next(s) ? true : fail(s, "the text ends early");
}

bool json_scan_element(struct json_scan *s)
{
    const char *at = s->at; /* what machines write: a comma and the next value */
    if (!s->fault && !s->first && s->end - at >= 2 && at[0] == ',' && (unsigned char)at[1] > ' ' &&
        at[1] != ']') {
        s->at++;
        return true;
    }
    return element(s, ']');
}

/* How many bytes of a block come before its first quote, backslash or control
 * character; BLOCK when it has none. */
#ifdef __SSE2__
enum { BLOCK = 16 };
static inline unsigned plain_bytes(const char *at)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash)));
    return found ? (unsigned)__builtin_ctz(found) : BLOCK;
}
#else
enum { BLOCK = 8 };
/* In the first byte that is special, the test is exact; a borrow may reach those behind it. */
static inline unsigned plain_bytes(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w, quote, slash;
    memcpy(&w, at, sizeof w);
    w = GUINT64_FROM_LE(w);
    quote = w ^ (ones * '"');
    slash = w ^ (ones * '\\');
    uint64_t found =
        (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w)) & tops;
    return found ? (unsigned)__builtin_ctzll(found) / 8 : BLOCK;
}
#endif

/* The string whose opening quote is at `at`. */
static inline bool string(struct json_scan *s, struct json_text *ret)
{
    const char *p = s->at + 1, *start = p;
    bool escaped = false;
    for (;;) {
        for (unsigned n = BLOCK; n == BLOCK && s->end - p >= BLOCK; p += n)
            n = plain_bytes(p);
        if (p >= s->end)
            return fail(s, "a string does not end");
        if (*p == '"')
            break;
        if ((unsigned char)*p < 0x20)
            return fail(s, "a control character in a string");
        if (*p == '\\') {
            escaped = true;
            if (s->end - p < 2)
                return fail(s, "a string does not end");
            p++;
            if ((unsigned char)*p < 0x20)
                return fail(s, "a control character in a string");
        }
        p++;
    }
    *ret = (struct json_text){.at = start, .len = (size_t)(p - start), .escaped = escaped};
    s->at = p + 1;
    return true;
}

/* A key and its colon, in the object at hand. */
static inline bool key_of(struct json_scan *s, struct json_text *ret)
{
    if (next(s) != '"')
        return fail(s, "a key must be a string");
    if (!string(s, ret))
        return false;
    if (next(s) != ':')
        return fail(s, "a colon is missing behind a key");
    s->at++;
    return next(s) ? true : fail(s, "the text ends early");
}

bool json_scan_key(struct json_scan *s, struct json_text *ret_key)
{
    struct json_text key;
    if (!element(s, '}') || !key_of(s, &key))
        return false;
    *ret_key = key;
    return true;
}

bool json_scan_text(struct json_scan *s, struct json_text *ret)
{
    if (peek(s) == JSON_IS_STRING)
        return string(s, ret);
    json_scan_skip(s);
    return false;
}

static bool is_digit(const struct json_scan *s, const char *p)
{
    return p < s->end && *p >= '0' && *p <= '9';
}

static const char *digits(const struct json_scan *s, const char *p)
{
    while (is_digit(s, p))
        p++;
    return p;
}

/* Steps over a number; *ret_integer says that it has no fraction or exponent. */
static bool number(struct json_scan *s, bool *ret_integer)
{
    const char *p = s->at + (*s->at == '-');
    *ret_integer = true;
    if (!is_digit(s, p))
        return fail(s, "a number without digits");
    if (*p == '0' && is_digit(s, p + 1))
        return fail(s, "a number with a leading zero");
    p = digits(s, p);
    if (p < s->end && *p == '.') {
        *ret_integer = false;
        if (!is_digit(s, p + 1))
            return fail(s, "no digits behind a decimal point");
        p = digits(s, p + 1);
    }
    if (p < s->end && (*p == 'e' || *p == 'E')) {
        *ret_integer = false;
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(s, p))
            return fail(s, "no digits in an exponent");
        p = digits(s, p);
    }
    s->at = p;
    return true;
}

bool json_scan_int(struct json_scan *s, int64_t *ret)
{
    if (json_scan_peek(s) != JSON_IS_NUMBER) {
        json_scan_skip(s);
        return false;
    }
    const char *start = s->at;
    bool negative = *start == '-', integer;
    if (!number(s, &integer) || !integer)
        return false;
    int64_t value = 0;
    for (const char *p = start + negative; p < s->at; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *p - '0', &value)) /* negated: INT64_MIN has no positive */
            return false;
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return false;
    *ret = value;
    return true;
}

static bool word(struct json_scan *s, const char *literal, size_t len)
{
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, literal, len) != 0)
        return fail(s, "an unknown word");
    s->at += len;
    return true;
}

bool json_scan_bool(struct json_scan *s, bool *ret)
{
    enum json_kind kind = json_scan_peek(s);
    json_scan_skip(s);
    if (s->fault || (kind != JSON_IS_TRUE && kind != JSON_IS_FALSE))
        return false;
    *ret = kind == JSON_IS_TRUE;
    return true;
}

static void skip_word(struct json_scan *s, enum json_kind kind)
{
    switch (kind) {
    case JSON_IS_TRUE:
        word(s, "true", 4);
        break;
    case JSON_IS_FALSE:
        word(s, "false", 5);
        break;
    case JSON_IS_NULL:
        word(s, "null", 4);
        break;
    default:
        json_scan_fail(s, "a value is missing");
    }
}

static inline void skip_scalar(struct json_scan *s, enum json_kind kind)
{
    struct json_text text;
    bool integer;
    if (kind == JSON_IS_STRING)
        string(s, &text);
    else if (kind == JSON_IS_NUMBER)
        number(s, &integer);
    else
        skip_word(s, kind);
}

/* Without recursion, since what nobody reads may be nested as deeply as its
 * writer likes: one bit per open container says whether it is an object. */
static void skip_nested(struct json_scan *s)
{
    uint8_t objects[JSON_SKIP_DEPTH / 8];
    struct json_text key;
    unsigned n = 0;
    bool is_object = false; /* the innermost */
    do {
        enum json_kind kind = peek(s);
        if (kind != JSON_IS_OBJECT && kind != JSON_IS_ARRAY) {
            skip_scalar(s, kind);
        } else if (n == JSON_SKIP_DEPTH) {
            json_scan_fail(s, "nested too deeply");
        } else {
            is_object = kind == JSON_IS_OBJECT;
            uint8_t bit = (uint8_t)(1u << n % 8);
            objects[n / 8] = (uint8_t)((n % 8 ? objects[n / 8] & ~bit : 0) | (is_object ? bit : 0));
            n++;
            s->at++;
            s->depth++;
            s->first = true;
        }
        while (n && !s->fault && !(element(s, is_object ? '}' : ']') && (!is_object || key_of(s, &key)))) {
            n--;
            is_object = n && objects[(n - 1) / 8] >> (n - 1) % 8 & 1;
        }
    } while (n && !s->fault);
}

void json_scan_skip(struct json_scan *s)
{
    enum json_kind kind = peek(s);
    if (kind == JSON_IS_OBJECT || kind == JSON_IS_ARRAY)
        skip_nested(s);
    else
        skip_scalar(s, kind);
}

bool json_scan_raw(struct json_scan *s, const char **ret_at, size_t *ret_len)
{
    if (!next(s))
        return fail(s, "a value is missing");
    const char *start = s->at;
    json_scan_skip(s);
    if (s->fault)
        return false;
    *ret_at = start;
    *ret_len = (size_t)(s->at - start);
    return true;
}

bool json_scan_end(struct json_scan *s)
{
    if (s->fault)
        return false;
    skip_blanks(s);
    if (s->depth)
        return fail(s, "the text ends early");
    return s->at == s->end ? true : fail(s, "something follows the document");
}

bool json_text_equal(struct json_text text, const char *string)
{
    size_t len = strlen(string);
    return !text.escaped && text.len == len && memcmp(text.at, string, len) == 0;
}

static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The character of the escape at `p` (behind the backslash). Bytes taken, or 0. */
static size_t unescape(const char *p, const char *end, gunichar *ret)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *known = p < end && *p ? strchr(from, *p) : NULL;
    if (known) {
        *ret = (gunichar)to[known - from];
        return 1;
    }
    if (p >= end || *p != 'u')
        return 0;
    int high = hex4(p + 1, end);
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *ret = (gunichar)high;
    if (high < 0xd800 || high > 0xdbff)
        return 5;
    if (end - p < 11 || p[5] != '\\' || p[6] != 'u')
        return 0;
    int low = hex4(p + 7, end);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret = 0x10000u + (gunichar)((high - 0xd800) << 10) + (gunichar)(low - 0xdc00);
    return 11;
}

int json_text_copy(struct json_text text, char *buf, size_t size)
{
    const char *p = text.at, *end = text.len ? p + text.len : p; /* an absent text is NULL and 0 */
    size_t n = 0;
    while (p < end) {
        char utf8[6] = {*p};
        size_t len = 1;
        if (*p++ == '\\') {
            gunichar c;
            size_t taken = unescape(p, end, &c);
            if (!taken)
                return -1;
            p += taken;
            len = (size_t)g_unichar_to_utf8(c, utf8);
        }
        if (size <= n + len)
            return -1;
        memcpy(buf + n, utf8, len);
        n += len;
    }
    if (size <= n || n > INT32_MAX)
        return -1;
    buf[n] = 0;
    return g_utf8_validate(buf, (gssize)n, NULL) ? (int)n : -1;
}

char *json_text_dup(struct json_text text)
{
    char *buf = g_malloc(text.len + 1);
    if (json_text_copy(text, buf, text.len + 1) >= 0)
        return buf;
    g_free(buf);
    return NULL;
}

/* Equal without escapes, or with them; an escape makes a text longer by at most six bytes for one. */
static bool reads(struct json_text text, const char *string,
                  int (*compare)(const char *, const char *, gsize))
{
    size_t len = strlen(string);
    if (!text.escaped)
        return text.len == len && compare(text.at, string, len) == 0;
    if (text.len > 6 * len)
        return false;
    g_autofree char *plain = json_text_dup(text);
    return plain && strlen(plain) == len && compare(plain, string, len) == 0;
}

static int exactly(const char *a, const char *b, gsize len)
{
    return memcmp(a, b, len);
}

bool json_text_reads(struct json_text text, const char *string)
{
    return reads(text, string, exactly);
}

bool json_text_reads_any_case(struct json_text text, const char *string)
{
    return reads(text, string, g_ascii_strncasecmp);
}
