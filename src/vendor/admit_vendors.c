/* SPDX-License-Identifier: Apache-2.0
 *
 * What the webhook does to a container for every family but NVIDIA's
 * (scheduler.md section 2.5, vendors.md section 3), by the traits of the
 * family's row. Numbers that break a rule are left as they are: reading the
 * request afterwards refuses them with a reason.
 */
#include "model/annotation.h"
#include "vendor/admission.h"
#include "vendor/request.h"

/* In the contract with this spelling (vendors.md 6.5). */
#define ENV_ILUVATAR_CONTAINER "SOL_CONTINER_NAME"

static bool is_sliced(const struct family *f)
{
    return f->mem_round == FAMILY_ROUND_CARD_SHAPE;
}

static bool is_soft(const struct admission *a, const struct family *f)
{
    const char *value = admission_annotation(a, f->soft_key);
    return value && f->soft_value && strcmp(value, f->soft_value) == 0;
}

static bool asks_for_parts(const struct admission *a, const struct family *f)
{
    return admission_asked(a, f, FAMILY_MEM) || admission_asked(a, f, FAMILY_CORES);
}

/* By the number of cards; of cores for AWS Neuron; of memory or compute for an Enflame slice. */
static bool asks(struct admission *a, const struct family *f)
{
    if (admission_asked(a, f, FAMILY_COUNT))
        return true;
    if (f->cores_kind == FAMILY_CORES_MASK || is_sliced(f))
        return asks_for_parts(a, f);
    if (f->cores_kind == FAMILY_CORES_OF_TOTAL && asks_for_parts(a, f)) /* AMD; W49 */
        vendor_fault_add(a->faults, ADMIT_RULE,
                         "container " FAULT_NAME ": it asks for a part of a card but for no card; add "
                         "resources.limits[%s]: 1",
                         a->container->name, f->resource[FAMILY_COUNT]);
    return false;
}

/* Families whose plugins or rules take no 0 for "none". */
static void check_zero(struct admission *a, const struct family *f)
{
    int64_t n;
    if (f->mem_round != FAMILY_ROUND_SET && f->cores_kind != FAMILY_CORES_MASK && !is_sliced(f))
        return;
    for (int r = FAMILY_COUNT; r < FAMILY_RESOURCES; r++)
        if ((r == FAMILY_COUNT || (r == FAMILY_CORES && f->cores_kind == FAMILY_CORES_MASK)) &&
            admission_integer(admission_asked(a, f, (enum family_resource)r), &n) && n == 0)
            vendor_fault_add(a->faults, ADMIT_RULE,
                             "container " FAULT_NAME
                             ": resources.limits[%s] is 0; write at least 1, or leave it out",
                             a->container->name, f->resource[r]);
}

/* Where a part stands in the place of the count, one of the two would be dropped without a word. */
static void check_parts_alone(struct admission *a, const struct family *f)
{
    static const enum family_resource parts[] = {FAMILY_MEM, FAMILY_CORES};
    if (!f->parts_alone || !admission_asked(a, f, FAMILY_COUNT))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
        if (admission_asked(a, f, parts[i]))
            vendor_fault_add(a->faults, ADMIT_CONTRADICTION,
                             "container " FAULT_NAME
                             ": resources.limits[%s] and [%s] exclude each other: each says by itself how "
                             "much is asked for; remove one of them",
                             a->container->name, f->resource[FAMILY_COUNT], f->resource[parts[i]]);
}

/* What is on one side is copied to the other. */
static void mirror(struct admission *a, const struct family *f)
{
    for (int i = 0; i < FAMILY_RESOURCES; i++) {
        int64_t value;
        if (admission_integer(admission_given(a, f->resource[i]), &value) && value > 0)
            admission_set_amount(a, f->resource[i], (uint64_t)value, ADMISSION_BOTH);
    }
}

/* Modules of two dies are given whole: 1 becomes 2. The number of cards afterwards; 0 = unreadable. */
static uint64_t settle_count(struct admission *a, const struct family *f)
{
    int64_t n = 0;
    if (!admission_integer(admission_asked(a, f, FAMILY_COUNT), &n) || n < 1 || n > CARD_PER_NODE)
        return 0;
    if (f->count_rule == FAMILY_COUNT_EVEN && n == 1) {
        admission_set_amount(a, f->resource[FAMILY_COUNT], 2, ADMISSION_LIMITS);
        return 2;
    }
    return (uint64_t)n;
}

static uint32_t whole_memory(const struct family *f)
{
    uint32_t last = 0;
    for (const uint32_t *step = f->ladder; step && *step; step++)
        last = *step;
    return last;
}

/* Several cards are whole cards, and so is one of a family that is cut by
 * steps when no memory is named; the plugin reads the numbers for all cards. */
static void write_whole(struct admission *a, const struct family *f, uint64_t n)
{
    bool many = n > 1 && f->multi_is_whole;
    bool one = n == 1 && f->mem_round == FAMILY_ROUND_SET && !admission_given(a, f->resource[FAMILY_MEM]);
    if (!many && !one)
        return;
    admission_set_amount(a, f->resource[FAMILY_CORES], n * f->cores_unit, ADMISSION_BOTH);
    if (one || f->multi_mem_whole)
        admission_set_amount(a, f->resource[FAMILY_MEM], n * whole_memory(f), ADMISSION_BOTH);
}

/* The memory that a card will be cut to, in manifest units rounded down, so
 * that reading it again comes to the same step (W5). */
static void write_rounded(struct admission *a, const struct family *f)
{
    const char *resource = f->resource[FAMILY_MEM];
    uint64_t unit = f->mem_unit_bytes, bytes;
    const struct json_text *amount =
        admission_given(a, resource); /* W37: where the request is read from, too */
    int64_t value = 0;
    if (f->mem_round != FAMILY_ROUND_SHAPES && f->mem_round != FAMILY_ROUND_LADDER)
        return;
    if (amount && !admission_integer(amount, &value))
        return;
    if (value <= 0 && (value < 0 || f->mem_default != FAMILY_MEM_CONST))
        return;
    bytes = value ? (uint64_t)value : f->mem_allocatable_bytes;
    if (value && (__builtin_mul_overflow(bytes, unit, &bytes) || bytes > (uint64_t)CARD_MIB_MAX * POD_MIB))
        return;
    if (!container_memory_round(f, is_soft(a, f), &bytes))
        return;
    admission_set_amount(a, resource, MAX(bytes / unit, 1), ADMISSION_BOTH);
}

/* MetaX: the sharing policy is written down unless the application is online. */
static void write_qos(struct admission *a)
{
    const char *class = admission_annotation(a, annotation_metax_class),
               *qos = admission_annotation(a, annotation_metax_qos);
    if ((!class || strcmp(class, "online") != 0) && (!qos || !*qos))
        admission_set_annotation(a, annotation_metax_qos, card_qos_names[CARD_QOS_BEST_EFFORT]);
}

static void write_card_number(struct admission *a, uint64_t n)
{
    char text[24];
    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, n);
    admission_set_annotation(a, annotation_mthreads_count, text);
}

bool admit_family(struct admission *a, const struct family *f)
{
    if (!asks(a, f))
        return false;
    check_zero(a, f);
    check_parts_alone(a, f);
    if (is_sliced(f)) {
        mirror(a, f);
        return true;
    }
    uint64_t n = settle_count(a, f);
    if (n) {
        write_whole(a, f, n);
        write_rounded(a, f);
    }
    if (n > 1 && f->multi_mem_whole)
        write_card_number(a, n);
    if (f->inventory == FAMILY_INV_METAX)
        write_qos(a);
    if (strcmp(f->config_key, "iluvatars") == 0 && *a->container->name)
        admission_set_env(a, ENV_ILUVATAR_CONTAINER, a->container->name, true);
    admission_set_runtime_class(a, f->runtime_class);
    return true;
}

/* A container that asks for no card of a vendor sees none, where the
 * configuration wants that; once per vendor, however many chips it has (W6). */
void admit_bystander(struct admission *a, uint64_t asked)
{
    static const struct {
        const char *config_key, *variable, *value;
    } rows[] = {{"nvidia", "NVIDIA_VISIBLE_DEVICES", "none"}, {"vnpus", "ASCEND_VISIBLE_DEVICES", ""}};
    for (size_t r = 0; r < G_N_ELEMENTS(rows); r++) {
        bool hide = false, has = false;
        for (uint32_t i = 0; i < a->set->n; i++) {
            const struct family *f = a->set->rows[i];
            if (!f->enabled || strcmp(f->config_key, rows[r].config_key) != 0)
                continue;
            hide |= f->overwrite_env;
            has |= asked >> i & 1;
        }
        if (hide && !has)
            admission_set_env(a, rows[r].variable, rows[r].value, false);
    }
}
