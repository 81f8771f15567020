/* SPDX-License-Identifier: Apache-2.0
 *
 * Prometheus' text format, written straight into the room of a GString: a
 * scrape of a large cluster is a million lines and more.
 *
 *     char *at = prom_room(out, sizeof text + 2 * strlen(name));
 *     at = prom_label(at, &word, name);
 *     prom_done(out, at);
 *
 * The writers below check nothing: prom_room() has to be asked for what they
 * may write (PROM_WORD for a word, PROM_NUMBER for a number, twice its length for a text). What they
 * return is where the next one goes on. Format: Prometheus' "Exposition formats", version 0.0.4.
 */
#ifndef HAMI_BASE_PROM_TEXT_H
#define HAMI_BASE_PROM_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PROM_WORD 32
#define PROM_NUMBER 32

/* A few fixed characters, copied at a stroke however many they are. */
struct prom_word {
    char text[PROM_WORD];
    uint8_t len;
};
#define PROM_WORD_OF(literal)                                                                                \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

/* Where to write up to `bytes`; pointers into the string from before are void. */
static inline char *prom_room(GString *out, size_t bytes)
{
    gsize len = out->len;
    if (out->allocated_len - len <= bytes + PROM_WORD) {
        g_string_set_size(out, len + bytes + PROM_WORD);
        g_string_truncate(out, len);
    }
    return out->str + len;
}

/* What was written ends at `at`. */
static inline void prom_done(GString *out, char *at)
{
    *at = '\0';
    out->len = (gsize)(at - out->str);
}

static inline char *prom_word(char *at, const struct prom_word *word)
{
    memcpy(at, word->text, PROM_WORD);
    return at + word->len;
}

static inline char *prom_bytes(char *at, const char *from, size_t n)
{
    memcpy(at, from, n);
    return at + n;
}

/* A label's value, escaped. */
char *prom_text(char *at, const char *text, size_t len);
char *prom_number(char *at, uint64_t value);
/* part / whole with nine decimals at most; whole > 0. */
char *prom_ratio(char *at, uint64_t part, uint64_t whole);

/* The same without care for speed: key="value", and a value. */
void prom_add_label(GString *out, const char *key, const char *value);
void prom_add_label_number(GString *out, const char *key, uint64_t value);
void prom_add_value(GString *out, int64_t value); /* and the end of the line */

#endif
