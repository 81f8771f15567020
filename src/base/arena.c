/* SPDX-License-Identifier: Apache-2.0
 *
 * A chain of blocks, newest first; pieces are cut from the newest.
 */
#include "base/arena.h"

#include <glib.h>

#define BLOCK_BYTES 2032 /* with malloc's own word within 2 KiB */
#define ALIGN _Alignof(max_align_t)

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

static struct block *block_with(void **arena, size_t n)
{
    struct block *b = *arena;
    if (b && b->size - b->used >= n)
        return b;
    size_t size = MAX(n, BLOCK_BYTES - sizeof *b);
    struct block *fresh = g_malloc(sizeof *b + size);
    *fresh = (struct block){.next = b, .size = size};
    *arena = fresh;
    return fresh;
}

static char *cut(void **arena, size_t n)
{
    struct block *b = block_with(arena, n);
    char *at = b->bytes + b->used;
    b->used += n;
    return at;
}

void *arena_take(void **arena, size_t n)
{
    struct block *b = *arena;
    if (b)
        b->used = MIN(b->size, (b->used + ALIGN - 1) / ALIGN * ALIGN);
    return memset(cut(arena, n), 0, n);
}

char *arena_text(void **arena, const char *text, size_t len)
{
    char *copy = cut(arena, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *arena_json(void **arena, struct json_text text)
{
    if (!text.escaped && g_utf8_validate(text.at, (gssize)text.len, NULL))
        return arena_text(arena, text.at, text.len);
    char *copy = cut(arena, text.len + 1);
    return json_text_copy(text, copy, text.len + 1) >= 0 ? copy : NULL;
}

void arena_free(void *arena)
{
    for (struct block *b = arena; b;) {
        struct block *next = b->next;
        g_free(b);
        b = next;
    }
}
