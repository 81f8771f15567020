/* SPDX-License-Identifier: Apache-2.0
 *
 * data[] is, one behind the other: the deadline when timed, the priority when it
 * is not 0, the name with its zero byte, the UID with its zero byte when it is
 * text, one byte per slot unless all are applications', the grants (packed or
 * wide). A spilled record keeps a pointer to that instead.
 */
#include "sched/pod_store.h"

#include <glib.h>
#include <string.h>

enum { UNIT = 4, CHUNK_UNITS = 1 << 14, CLASSES = 256, LEAST_ROWS = 64 };

struct packed_grant {
    uint32_t mem_mib;
    uint16_t cores;
    uint8_t card; /* 0x80 | k = the k-th that went away */
    uint8_t slot;
};
_Static_assert(sizeof(struct packed_grant) == 8, "eight bytes each");
#define GONE 0x8000 /* as CLUSTER_CARD_GONE */

struct pod_store {
    GPtrArray *chunks; /* of CHUNK_UNITS * UNIT bytes */
    uint32_t chunk_used;
    uint32_t free[CLASSES]; /* first free record by size in units; linked through `next` */
    uint32_t *table;        /* handles by hash, 0 = empty */
    uint32_t rows, n;       /* of the table, and how many are taken */
};

/* ---- slabs ------------------------------------------------------------------ */

struct pod_record *pod_store_at(const struct pod_store *s, uint32_t pod)
{
    char *chunk = g_ptr_array_index(s->chunks, pod / CHUNK_UNITS);
    return (struct pod_record *)(void *)(chunk + (size_t)(pod % CHUNK_UNITS) * UNIT);
}

static uint32_t take_units(struct pod_store *s, uint32_t units)
{
    uint32_t pod = s->free[units];
    if (pod) {
        s->free[units] = pod_store_at(s, pod)->next;
        return pod;
    }
    if (s->chunks->len == 0 || s->chunk_used + units > CHUNK_UNITS) {
        g_ptr_array_add(s->chunks, g_malloc((size_t)CHUNK_UNITS * UNIT));
        s->chunk_used = s->chunks->len == 1 ? 1 : 0; /* handle 0 stays unused */
    }
    pod = (s->chunks->len - 1) * CHUNK_UNITS + s->chunk_used;
    s->chunk_used += units;
    return pod;
}

static void give_units(struct pod_store *s, uint32_t pod, uint32_t units)
{
    struct pod_record *p = pod_store_at(s, pod);
    p->state = POD_RECORD_NONE;
    p->next = s->free[units];
    s->free[units] = pod;
}

/* ---- UIDs ------------------------------------------------------------------- */

struct uid {
    uint8_t bytes[16]; /* the UUID, or a hash of the text */
    bool is_text;
};

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

/* Lower-case hexadecimal digits only, so that the text comes back as it was. */
static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_uuid(const char *text, uint8_t ret[16])
{
    static const uint8_t at[16] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
    if (strnlen(text, 37) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
        return false;
    for (int i = 0; i < 16; i++) {
        int high = hex(text[at[i]]), low = hex(text[at[i] + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void hash_text(const char *text, uint8_t ret[16])
{
    uint64_t h[2] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f)};
    for (const char *c = text; *c; c++) {
        h[0] = mix(h[0] ^ (uint8_t)*c);
        h[1] = h[1] * 31 + (uint8_t)*c;
    }
    memcpy(ret, h, 16);
}

static struct uid uid_of(const char *text)
{
    struct uid u = {0};
    u.is_text = !parse_uuid(text, u.bytes);
    if (u.is_text)
        hash_text(text, u.bytes);
    return u;
}

static uint32_t hash_of(const uint8_t uid[16])
{
    uint64_t h[2];
    memcpy(h, uid, 16);
    return (uint32_t)mix(h[0] ^ h[1] * UINT64_C(0x9e3779b97f4a7c15));
}

/* ---- records ---------------------------------------------------------------- */

static const char *data_of(const struct pod_record *p)
{
    const char *heap;
    if (!(p->flags & POD_RECORD_SPILLED))
        return p->data;
    memcpy(&heap, p->data, sizeof heap);
    return heap;
}

/* What stands before the name. */
static size_t bytes_before_name(uint8_t flags)
{
    return (flags & POD_RECORD_TIMED ? sizeof(int64_t) : 0) +
           (flags & POD_RECORD_PRIORITY ? sizeof(int32_t) : 0);
}

const char *pod_record_name(const struct pod_record *p)
{
    return data_of(p) + bytes_before_name(p->flags);
}

static const char *text_of(const struct pod_record *p)
{
    const char *name = pod_record_name(p);
    return name + strlen(name) + 1;
}

/* The slots where they are kept, the grants where not. */
static const uint8_t *behind_texts(const struct pod_record *p)
{
    const char *behind = text_of(p);
    if (p->flags & POD_RECORD_TEXT)
        behind += strlen(behind) + 1;
    return (const uint8_t *)behind;
}

const uint8_t *pod_record_slots(const struct pod_record *p)
{
    static const uint8_t applications[POD_SLOTS_MAX] = {[0 ... POD_SLOTS_MAX - 1] = SLOT_APP};
    return p->flags & POD_RECORD_APPS ? applications : behind_texts(p);
}

int32_t pod_record_priority(const struct pod_record *p)
{
    int32_t priority = 0;
    if (p->flags & POD_RECORD_PRIORITY)
        memcpy(&priority, data_of(p) + (p->flags & POD_RECORD_TIMED ? sizeof(int64_t) : 0), sizeof priority);
    return priority;
}

void pod_record_uid(const struct pod_record *p, char ret[POD_UID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    if (p->flags & POD_RECORD_TEXT) {
        g_strlcpy(ret, text_of(p), POD_UID_TEXT);
        return;
    }
    char *at = ret;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[p->uid[i] >> 4];
        *at++ = digits[p->uid[i] & 15];
    }
    *at = '\0';
}

static struct card_grant unpack(const struct packed_grant *g)
{
    return (struct card_grant){.mem_bytes = g->mem_mib * POD_MIB,
                               .cores = g->cores,
                               .card = g->card & 0x80 ? (uint16_t)(GONE | (g->card & 0x7f)) : g->card,
                               .slices = 1,
                               .slot = g->slot,
                               .shape = CARD_NO_SHAPE};
}

static bool can_pack(const struct card_grant *g)
{
    struct packed_grant p = {.mem_mib = (uint32_t)(g->mem_bytes / POD_MIB),
                             .cores = (uint16_t)g->cores,
                             .card = (uint8_t)((g->card & 0x7f) | (g->card & GONE ? 0x80 : 0)),
                             .slot = g->slot};
    struct card_grant back = unpack(&p);
    return back.mem_bytes == g->mem_bytes && back.cores == g->cores && back.card == g->card &&
           g->slices == 1 && g->shape == CARD_NO_SHAPE && !g->aux[0] && !g->aux[1] && !g->flags &&
           !g->mig_size && !g->mig_start;
}

static const uint8_t *grants_of(const struct pod_record *p)
{
    return behind_texts(p) + (p->flags & POD_RECORD_APPS ? 0 : p->n_slots);
}

void pod_record_grants(const struct pod_record *p, struct card_grant *ret)
{
    const uint8_t *at = grants_of(p);
    if (p->flags & POD_RECORD_WIDE) {
        memcpy(ret, at, p->n_grants * sizeof *ret);
        return;
    }
    for (uint16_t i = 0; i < p->n_grants; i++) {
        struct packed_grant g;
        memcpy(&g, at + i * sizeof g, sizeof g);
        ret[i] = unpack(&g);
    }
}

int64_t pod_record_deadline(const struct pod_record *p)
{
    int64_t deadline;
    memcpy(&deadline, data_of(p), sizeof deadline);
    return deadline;
}

void pod_record_set_deadline(struct pod_record *p, int64_t deadline)
{
    char *data = p->data;
    if (p->flags & POD_RECORD_SPILLED)
        memcpy(&data, p->data, sizeof data);
    memcpy(data, &deadline, sizeof deadline);
}

static size_t grants_bytes(uint16_t n, uint8_t flags)
{
    return n * (flags & POD_RECORD_WIDE ? sizeof(struct card_grant) : sizeof(struct packed_grant));
}

static size_t data_bytes(const struct pod_facts *f, uint8_t flags)
{
    return bytes_before_name(flags) + strlen(f->name) + 1 +
           (flags & POD_RECORD_TEXT ? strlen(f->uid) + 1 : 0) + (flags & POD_RECORD_APPS ? 0 : f->n_slots) +
           grants_bytes(f->n_grants, flags);
}

/* How many units a record with so many bytes of data takes; with too many it is spilled. */
static uint32_t units_of(size_t bytes, bool *ret_spilled)
{
    size_t all = offsetof(struct pod_record, data) + bytes;
    *ret_spilled = all > (CLASSES - 1) * UNIT;
    if (*ret_spilled)
        all = offsetof(struct pod_record, data) + sizeof(char *);
    return (uint32_t)((all + UNIT - 1) / UNIT);
}

static uint32_t units_of_record(const struct pod_record *p)
{
    const uint8_t *end = grants_of(p) + grants_bytes(p->n_grants, p->flags);
    bool spilled;
    return units_of((size_t)(end - (const uint8_t *)data_of(p)), &spilled);
}

static char *put(char *at, const void *bytes, size_t n)
{
    if (n)
        memcpy(at, bytes, n);
    return at + n;
}

static void write_data(char *at, const struct pod_facts *f, uint8_t flags)
{
    if (flags & POD_RECORD_TIMED)
        at = put(at, &f->deadline, sizeof f->deadline);
    if (flags & POD_RECORD_PRIORITY)
        at = put(at, &f->priority, sizeof f->priority);
    at = put(at, f->name, strlen(f->name) + 1);
    if (flags & POD_RECORD_TEXT)
        at = put(at, f->uid, strlen(f->uid) + 1);
    if (!(flags & POD_RECORD_APPS))
        at = put(at, f->slot_kind, f->n_slots);
    if (flags & POD_RECORD_WIDE) {
        put(at, f->grants, f->n_grants * sizeof *f->grants);
        return;
    }
    for (uint16_t i = 0; i < f->n_grants; i++) {
        const struct card_grant *g = &f->grants[i];
        struct packed_grant p = {.mem_mib = (uint32_t)(g->mem_bytes / POD_MIB),
                                 .cores = (uint16_t)g->cores,
                                 .card = (uint8_t)((g->card & 0x7f) | (g->card & GONE ? 0x80 : 0)),
                                 .slot = g->slot};
        at = put(at, &p, sizeof p);
    }
}

static uint8_t flags_of(const struct pod_facts *f, bool is_text)
{
    unsigned flags = POD_RECORD_APPS | (f->timed ? POD_RECORD_TIMED : 0) |
                     (f->priority ? POD_RECORD_PRIORITY : 0) | (is_text ? POD_RECORD_TEXT : 0);
    for (uint8_t i = 0; i < f->n_slots; i++)
        if (f->slot_kind[i] != SLOT_APP)
            flags &= ~(unsigned)POD_RECORD_APPS;
    for (uint16_t i = 0; i < f->n_grants; i++)
        if (!can_pack(&f->grants[i]))
            flags |= POD_RECORD_WIDE;
    return (uint8_t)flags;
}

static uint32_t new_record(struct pod_store *s, const struct pod_facts *f, const struct uid *uid)
{
    uint8_t flags = flags_of(f, uid->is_text);
    size_t n = data_bytes(f, flags);
    bool spilled;
    uint32_t pod = take_units(s, units_of(n, &spilled));
    struct pod_record *p = pod_store_at(s, pod);
    memset(p, 0, offsetof(struct pod_record, data));
    p->flags = (uint8_t)(flags | (spilled ? POD_RECORD_SPILLED : 0));
    p->n_grants = f->n_grants & POD_RECORD_GRANTS;
    p->n_slots = f->n_slots;
    memcpy(p->uid, uid->bytes, sizeof p->uid);
    char *data = spilled ? g_malloc(n) : p->data;
    if (spilled)
        memcpy(p->data, &data, sizeof data);
    write_data(data, f, flags);
    return pod;
}

/* ---- the table -------------------------------------------------------------- */

static bool is_uid(const struct pod_record *p, const struct uid *uid, const char *text)
{
    if (memcmp(p->uid, uid->bytes, sizeof p->uid) != 0 || uid->is_text != !!(p->flags & POD_RECORD_TEXT))
        return false;
    return !uid->is_text || strcmp(text_of(p), text) == 0;
}

/* The table has any number of rows: growing by half wastes a quarter of what doubling does. */
static uint32_t home_of(const struct pod_store *s, const uint8_t uid[16])
{
    return (uint32_t)((uint64_t)hash_of(uid) * s->rows >> 32);
}

static uint32_t next_row(const struct pod_store *s, uint32_t row)
{
    return ++row == s->rows ? 0 : row;
}

static uint32_t rows_between(const struct pod_store *s, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + s->rows - from;
}

uint32_t pod_store_find(const struct pod_store *s, const char *uid)
{
    if (s->n == 0 || !uid)
        return 0;
    struct uid u = uid_of(uid);
    for (uint32_t i = home_of(s, u.bytes); s->table[i]; i = next_row(s, i))
        if (is_uid(pod_store_at(s, s->table[i]), &u, uid))
            return s->table[i];
    return 0;
}

static void enter(struct pod_store *s, uint32_t pod)
{
    uint32_t i = home_of(s, pod_store_at(s, pod)->uid);
    while (s->table[i])
        i = next_row(s, i);
    s->table[i] = pod;
}

static void grow(struct pod_store *s)
{
    uint32_t *old = s->table, n = s->rows;
    s->rows += s->rows / 2;
    s->table = g_new0(uint32_t, s->rows);
    for (uint32_t i = 0; i < n; i++)
        if (old[i])
            enter(s, old[i]);
    g_free(old);
}

uint32_t pod_store_insert(struct pod_store *s, const struct pod_facts *f)
{
    if (!f->uid || !*f->uid || strnlen(f->uid, POD_UID_TEXT) == POD_UID_TEXT)
        return 0;
    struct uid uid = uid_of(f->uid);
    uint32_t pod = new_record(s, f, &uid);
    if ((uint64_t)(s->n + 1) * 5 > (uint64_t)s->rows * 4)
        grow(s);
    enter(s, pod);
    s->n++;
    return pod;
}

/* Closes the gap: who sits behind its own place moves up. */
static void leave(struct pod_store *s, uint32_t pod)
{
    uint32_t gap = home_of(s, pod_store_at(s, pod)->uid);
    while (s->table[gap] != pod)
        gap = next_row(s, gap);
    for (uint32_t i = next_row(s, gap); s->table[i]; i = next_row(s, i)) {
        uint32_t home = home_of(s, pod_store_at(s, s->table[i])->uid);
        if (rows_between(s, home, i) < rows_between(s, gap, i))
            continue;
        s->table[gap] = s->table[i];
        gap = i;
    }
    s->table[gap] = 0;
}

static void free_heap(struct pod_record *p)
{
    char *heap;
    if (!(p->flags & POD_RECORD_SPILLED))
        return;
    memcpy(&heap, p->data, sizeof heap);
    g_free(heap);
}

void pod_store_remove(struct pod_store *s, uint32_t pod)
{
    uint32_t units = units_of_record(pod_store_at(s, pod));
    leave(s, pod);
    free_heap(pod_store_at(s, pod));
    give_units(s, pod, units);
    s->n--;
}

uint32_t pod_store_next(const struct pod_store *s, uint32_t *at)
{
    while (*at < s->rows) {
        uint32_t pod = s->table[(*at)++];
        if (pod)
            return pod;
    }
    return 0;
}

uint32_t pod_store_count(const struct pod_store *s)
{
    return s->n;
}

struct pod_store *pod_store_new(void)
{
    struct pod_store *s = g_new0(struct pod_store, 1);
    s->chunks = g_ptr_array_new_with_free_func(g_free);
    s->rows = LEAST_ROWS;
    s->table = g_new0(uint32_t, s->rows);
    return s;
}

void pod_store_free(struct pod_store *s)
{
    uint32_t at = 0;
    for (uint32_t pod; (pod = pod_store_next(s, &at));)
        free_heap(pod_store_at(s, pod));
    g_ptr_array_free(s->chunks, TRUE);
    g_free(s->table);
    g_free(s);
}
