/* SPDX-License-Identifier: Apache-2.0
 *
 * One container's resources to a request for cards of one family, by the
 * family's row (scheduler.md section 5 and appendix A, vendors.md sections 3
 * and 6.3). A number that cannot be understood is a fault, never "no request":
 * a pod that is taken for one without cards would start without any (B17).
 */
#include <inttypes.h>

#include "model/kube_quantity.h"
#include "vendor/request.h"

#define GIB (UINT64_C(1) << 30)
#define NEURON_CORES 2 /* per device, where the row does not say */
#define MIB_MAX_BYTES ((uint64_t)CARD_MIB_MAX * POD_MIB)

struct reading {
    const struct family *f;
    const struct pod_container *c;
    bool soft;
    GPtrArray *faults;
    bool bad;
};

enum amount { AMOUNT_ABSENT, AMOUNT_BAD, AMOUNT_GIVEN };

/* ---- one figure ---- */

static struct json_text written(const struct reading *x, enum family_resource which, const char **ret_section)
{
    const char *name = x->f->resource[which];
    const struct pod_resource *r = x->c->resources, *end = r + x->c->n_resources;
    if (!name || !*name)
        return (struct json_text){0};
    while (r < end && r->name != name && strcmp(r->name, name) != 0)
        r++;
    if (r == end)
        return (struct json_text){0};
    *ret_section = r->limit.at ? "limits" : "requests";
    if (r->limit.at || x->f->source_parse == FAMILY_LIMITS)
        return r->limit;
    return r->request;
}

static void memory_remedy(const struct reading *x, char *buf, size_t size)
{
    const struct family *f = x->f;
    const char *section;
    struct json_text text = written(x, FAMILY_MEM, &section);
    uint64_t unit = MAX(f->mem_unit_bytes, 1), most = MIB_MAX_BYTES / unit;
    int64_t bytes = 0;
    kube_quantity_parse(text.at, text.len, &bytes);
    if (f->mem_syntax == FAMILY_MEM_GIB_OR_SUFFIX)
        g_snprintf(buf, size, "write GiB as a whole number, such as 4, or with a unit, such as 4096Mi");
    else if (f->mem_syntax == FAMILY_MEM_GB_OR_MIB)
        g_snprintf(buf, size, "write a whole number of GB, such as 12, or of MiB, such as 12288");
    else if (bytes > 0 && (uint64_t)bytes % unit == 0 && (uint64_t)bytes / unit <= most) /* meant bytes */
        g_snprintf(buf, size, "the number counts units of %" PRIu64 " MiB: write %" PRIu64, unit / POD_MIB,
                   (uint64_t)bytes / unit);
    else if (unit == POD_MIB)
        g_snprintf(buf, size, "write a whole number of MiB without a unit, such as 16384 for 16 GiB");
    else
        g_snprintf(buf, size, "write a whole number of units of %" PRIu64 " MiB each, at most %" PRIu64,
                   unit / POD_MIB, most);
}

static void remedy(const struct reading *x, enum family_resource which, char *buf, size_t size)
{
    uint32_t unit = x->f->cores_unit ? x->f->cores_unit : 100;
    if (which == FAMILY_MEM)
        memory_remedy(x, buf, size);
    else if (which == FAMILY_MEM_PERCENT)
        g_snprintf(buf, size, "write a whole number from 0 to 100");
    else if (which == FAMILY_CORES && x->f->cores_kind == FAMILY_CORES_MASK)
        g_snprintf(buf, size, "write a whole number of cores, such as 2");
    else if (which == FAMILY_CORES)
        g_snprintf(buf, size, "write a whole number from 0 to %u per card", unit);
    else if (x->f->count_rule == FAMILY_COUNT_IS_SIZE)
        g_snprintf(buf, size, "write the size of the slice, such as 1");
    else
        g_snprintf(buf, size, "write a whole number of cards from 1 to %d", CARD_PER_NODE);
}

/* What is wrong ("which is ...") and what to write instead; NULL = the usual advice for the resource. */
static enum amount refuse(struct reading *x, enum admit_check check, enum family_resource which,
                          const char *what, const char *advice)
{
    char usual[160];
    const char *section = "limits";
    struct json_text text = written(x, which, &section);
    remedy(x, which, usual, sizeof usual);
    vendor_fault_add(x->faults, check, "container " FAULT_NAME ": resources.%s[%s] is \"%.*s\", %s; %s",
                     x->c->name, section, x->f->resource[which], (int)MIN(text.len, 64),
                     text.at ? text.at : "", what, advice ? advice : usual);
    x->bad = true;
    return AMOUNT_BAD;
}

/* An integer that is not negative. */
static enum amount figure(struct reading *x, enum family_resource which, uint64_t *ret)
{
    const char *section;
    struct json_text text = written(x, which, &section);
    int64_t value = 0;
    *ret = 0;
    if (!text.at)
        return AMOUNT_ABSENT;
    switch (kube_quantity_parse(text.at, text.len, &value)) {
    case KUBE_QUANTITY_MALFORMED:
        return refuse(x, ADMIT_QUANTITY, which, "which is not a number", NULL);
    case KUBE_QUANTITY_FRACTION:
        return refuse(x, ADMIT_QUANTITY, which, "which is not a whole number", NULL);
    case KUBE_QUANTITY_LARGE:
        return refuse(x, ADMIT_QUANTITY, which, "which is larger than any card", NULL);
    case KUBE_QUANTITY_INTEGER:
        break;
    }
    if (value < 0)
        return refuse(x, ADMIT_QUANTITY, which, "which is negative", NULL);
    *ret = (uint64_t)value;
    return AMOUNT_GIVEN;
}

/* ---- memory ---- */

static uint64_t last_step(const struct family *f)
{
    uint64_t last = 0;
    for (const uint32_t *step = f->ladder; step && *step; step++)
        last = *step;
    return last * f->mem_unit_bytes;
}

/* The smallest step that is enough; 0 = none is. */
static uint64_t step_for(const struct family *f, uint64_t bytes)
{
    for (const uint32_t *step = f->ladder; step && *step; step++)
        if (*step * f->mem_unit_bytes >= bytes)
            return *step * f->mem_unit_bytes;
    return 0;
}

static uint64_t shape_for(const struct family *f, uint64_t bytes)
{
    for (uint32_t i = 0; f->shapes && i < f->shapes->n; i++)
        if (f->shapes->shapes[i].mem_bytes >= bytes)
            return f->shapes->shapes[i].mem_bytes;
    return bytes <= f->mem_capacity_bytes ? f->mem_allocatable_bytes : 0;
}

bool container_memory_round(const struct family *f, bool soft, uint64_t *bytes)
{
    uint64_t rounded = *bytes;
    if (f->mem_round == FAMILY_ROUND_SHAPES && !soft)
        rounded = shape_for(f, *bytes);
    else if (f->mem_round == FAMILY_ROUND_LADDER)
        rounded = MIN(step_for(f, *bytes) ? step_for(f, *bytes) : UINT64_MAX, last_step(f));
    else if (f->mem_round == FAMILY_ROUND_SET)
        rounded = step_for(f, *bytes) == *bytes ? *bytes : 0;
    if (rounded)
        *bytes = rounded;
    return rounded != 0;
}

/* The number's bytes by the family's notation; false beyond what annotations can hold. */
static bool memory_bytes(struct reading *x, uint64_t value, uint64_t *ret)
{
    const char *section;
    struct json_text text = written(x, FAMILY_MEM, &section);
    uint64_t unit = x->f->mem_unit_bytes;
    if (x->f->mem_syntax == FAMILY_MEM_GIB_OR_SUFFIX)
        unit = kube_quantity_has_suffix(text.at, text.len) ? 1 : GIB;
    else if (x->f->mem_syntax == FAMILY_MEM_GB_OR_MIB)
        unit = value > FAMILY_GB_AT_MOST ? POD_MIB : GIB;
    if (__builtin_mul_overflow(value, unit, ret) || *ret > MIB_MAX_BYTES)
        return false;
    *ret -= *ret % POD_MIB;
    return true;
}

static void steps_text(const struct family *f, GString *text)
{
    for (const uint32_t *step = f->ladder; step && *step; step++)
        g_string_append_printf(text, "%s%u", step == f->ladder ? "" : step[1] ? ", " : " or ", *step);
}

static void refuse_rounding(struct reading *x)
{
    const struct family *f = x->f;
    g_autoptr(GString) advice = g_string_new("per card write ");
    if (f->mem_round == FAMILY_ROUND_SET) {
        steps_text(f, advice);
        refuse(x, ADMIT_RULE, FAMILY_MEM, "which no card can be cut into", advice->str);
        return;
    }
    g_string_append_printf(advice, "at most %" PRIu64 ", or leave it out for a whole card",
                           f->mem_capacity_bytes / MAX(f->mem_unit_bytes, 1));
    refuse(x, ADMIT_RULE, FAMILY_MEM, "which is more than a card has", advice->str);
}

static void memory_percent(struct reading *x, struct card_request *r)
{
    uint64_t percent;
    if (figure(x, FAMILY_MEM_PERCENT, &percent) == AMOUNT_GIVEN && r->mem_bytes == 0)
        r->mem_percent = (uint32_t)MIN(percent, 100); /* 0 = unset */
}

static void memory_default(const struct family *f, struct card_request *r)
{
    if (f->mem_default == FAMILY_MEM_NOTHING)
        r->mem_none = true;
    else if (f->mem_default_bytes)
        r->mem_bytes = f->mem_default_bytes;
    else if (f->mem_default == FAMILY_MEM_CONST)
        r->mem_bytes = f->mem_allocatable_bytes;
    r->mem_default = r->mem_bytes != 0;
}

static void memory(struct reading *x, struct card_request *r)
{
    const struct family *f = x->f;
    uint64_t value, bytes = 0;
    enum amount a = figure(x, FAMILY_MEM, &value);
    if (a == AMOUNT_GIVEN && value && !memory_bytes(x, value, &bytes))
        refuse(x, ADMIT_QUANTITY, FAMILY_MEM, "which is larger than any card", NULL);
    else if (a == AMOUNT_GIVEN && value && bytes == 0)
        refuse(x, ADMIT_QUANTITY, FAMILY_MEM, "which is less than 1 MiB", NULL);
    if (f->mem_div_by_count && r->n_cards) {
        bytes /= r->n_cards;
        bytes -= bytes % POD_MIB;
    }
    if (r->n_cards > 1 && f->multi_mem_whole)
        return;
    if (bytes && !container_memory_round(f, x->soft, &bytes)) {
        refuse_rounding(x);
        return;
    }
    r->mem_bytes = bytes;
    memory_percent(x, r);
    if (r->mem_bytes == 0 && r->mem_percent == 0)
        memory_default(f, r);
}

/* ---- compute ---- */

static void cores_of_memory(const struct family *f, struct card_request *r)
{
    uint64_t total = last_step(f);
    uint64_t unit = f->cores_unit ? f->cores_unit : 100;
    r->cores = (uint32_t)(total && r->mem_bytes ? MIN(r->mem_bytes * unit / total, unit) : unit);
}

static void cores(struct reading *x, struct card_request *r)
{
    const struct family *f = x->f;
    uint32_t unit = f->cores_unit ? f->cores_unit : 100;
    uint64_t value;
    if (f->cores_kind == FAMILY_CORES_OF_MEM) {
        cores_of_memory(f, r);
        return;
    }
    switch (figure(x, FAMILY_CORES, &value)) {
    case AMOUNT_BAD:
        return;
    case AMOUNT_ABSENT:
        value = f->cores_default;
        break;
    case AMOUNT_GIVEN:
        if (value > INT32_MAX)
            refuse(x, ADMIT_QUANTITY, FAMILY_CORES, "which is larger than any card", NULL);
        if (f->cores_kind == FAMILY_CORES_OF_TOTAL && (value < 1 || value > 100))
            refuse(x, ADMIT_RULE, FAMILY_CORES, "which is not a share of a card",
                   "write a whole number from 1 to 100");
        if (f->soft_key && !x->soft && value)
            vendor_fault_add(x->faults, ADMIT_RULE,
                             "container " FAULT_NAME ": resources.limits[%s] is %" PRIu64
                             ", but compute is divided only in soft slicing; remove it, or annotate the pod "
                             "with %s: %s",
                             x->c->name, f->resource[FAMILY_CORES], value, f->soft_key, f->soft_value);
        if (f->cores_div_by_count && r->n_cards)
            value /= r->n_cards;
        break;
    }
    if (r->n_cards > 1 && f->multi_is_whole)
        value = unit;
    else if (f->cores_kind == FAMILY_CORES_UNITS && value > unit)
        refuse(x, ADMIT_RULE, FAMILY_CORES, "which is more than a card has", NULL);
    r->cores = (uint32_t)MIN(value, unit); /* 120 % is a whole card */
}

/* ---- the number of cards ---- */

/* 0 = asks for none. */
static uint32_t count(struct reading *x)
{
    uint64_t n;
    if (figure(x, FAMILY_COUNT, &n) != AMOUNT_GIVEN || n == 0)
        return 0;
    if (n > CARD_PER_NODE) {
        refuse(x, ADMIT_QUANTITY, FAMILY_COUNT, "which is more than any node has", NULL);
        return 0;
    }
    if (x->f->count_rule == FAMILY_COUNT_POWER_8 && n != 1 && n != 2 && n != 4 && n != 8)
        refuse(x, ADMIT_RULE, FAMILY_COUNT, "which is no set of linked cards", "write 1, 2, 4 or 8");
    if (x->f->count_rule == FAMILY_COUNT_EVEN && n == 1)
        n = 2; /* a module has two dies */
    if (x->f->count_rule == FAMILY_COUNT_EVEN && n % 2)
        refuse(x, ADMIT_RULE, FAMILY_COUNT, "which is odd, but modules of two dies are given",
               "write an even number");
    return (uint32_t)n;
}

static void refuse_cores_of_devices(struct reading *x, uint32_t per)
{
    char advice[64];
    g_snprintf(advice, sizeof advice, "write at most %u, or a multiple of it", per);
    refuse(x, ADMIT_RULE, FAMILY_CORES, "which whole devices cannot make up", advice);
}

/* Whole devices win; cores are split evenly over devices (vendors.md 3.11). */
static bool neuron(struct reading *x, struct card_request *r)
{
    uint32_t per = x->f->cores_unit && x->f->cores_unit <= 32 ? x->f->cores_unit : NEURON_CORES;
    uint64_t n;
    r->mem_none = true;
    r->n_cards = count(x);
    r->whole = r->n_cards > 0;
    if (r->whole || figure(x, FAMILY_CORES, &n) != AMOUNT_GIVEN || n == 0)
        return r->whole;
    if (n > (uint64_t)per * CARD_PER_NODE)
        refuse(x, ADMIT_QUANTITY, FAMILY_CORES, "which is more than any node has", NULL);
    else if (n > per && n % per)
        refuse_cores_of_devices(x, per);
    r->n_cards = n > per ? (uint32_t)MIN(n / per, CARD_PER_NODE) : 1;
    r->cores = n > per ? per : (uint32_t)n;
    return true;
}

/* A slice of one card, by its size or by memory and compute (vendors.md 3.8). */
static bool slice(struct reading *x, struct card_request *r)
{
    uint64_t mem = 0, share = 0;
    r->n_cards = 1;
    r->size = (uint16_t)count(x);
    if (r->size)
        return true;
    enum amount m = figure(x, FAMILY_MEM, &mem), c = figure(x, FAMILY_CORES, &share);
    if (mem && !memory_bytes(x, mem, &r->mem_bytes))
        refuse(x, ADMIT_QUANTITY, FAMILY_MEM, "which is larger than any card", NULL);
    if (m == AMOUNT_GIVEN && mem == 0)
        refuse(x, ADMIT_RULE, FAMILY_MEM, "which asks for nothing", NULL);
    if (c == AMOUNT_GIVEN && (share < 1 || share > 100))
        refuse(x, ADMIT_RULE, FAMILY_CORES, "which is not a share of a card",
               "write a whole number from 1 to 100");
    r->cores = (uint32_t)MIN(share, 100);
    return m == AMOUNT_GIVEN || c == AMOUNT_GIVEN;
}

/* Several templates of one container would be several devices, which the runtime refuses (W4). */
static void refuse_many_templates(struct reading *x, const struct card_request *r)
{
    const struct family *f = x->f;
    if (f->mem_round != FAMILY_ROUND_SHAPES || x->soft || r->n_cards < 2 || x->bad ||
        r->mem_bytes == f->mem_allocatable_bytes)
        return;
    vendor_fault_add(x->faults, ADMIT_RULE,
                     "container " FAULT_NAME ": resources.limits[%s] is less than a whole card, which is not "
                     "supported for several of them (%s is %u); leave it out to get them whole",
                     x->c->name, f->resource[FAMILY_MEM], f->resource[FAMILY_COUNT], r->n_cards);
}

bool container_request(const struct family *f, const struct pod_container *c, bool soft, GPtrArray *faults,
                       struct card_request *ret)
{
    struct reading x = {.f = f, .c = c, .soft = soft, .faults = faults};
    *ret = (struct card_request){.family = f->id};
    if (f->cores_kind == FAMILY_CORES_MASK)
        return neuron(&x, ret);
    if (f->mem_round == FAMILY_ROUND_CARD_SHAPE)
        return slice(&x, ret);
    ret->n_cards = count(&x);
    if (ret->n_cards == 0)
        return false;
    memory(&x, ret);
    cores(&x, ret);
    refuse_many_templates(&x, ret);
    return true;
}
