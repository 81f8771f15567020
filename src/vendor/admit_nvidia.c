/* SPDX-License-Identifier: Apache-2.0
 *
 * What the webhook does to a container for NVIDIA's family (scheduler.md
 * section 2.4).
 */
#include "vendor/admission.h"

/* The one number that is refused here rather than where the request is read, which clamps it. */
static void check_percent(struct admission *a, const struct family *f)
{
    const char *resource = f->resource[FAMILY_MEM_PERCENT];
    int64_t percent;
    if (admission_integer(admission_given(a, resource), &percent) && percent > 100)
        vendor_fault_add(a->faults, ADMIT_RULE,
                         "container " FAULT_NAME ": resources.limits[%s] is %" G_GINT64_FORMAT
                         ", which is not a share of a card; write a whole number from 0 to 100",
                         a->container->name, resource, percent);
}

static void set_priority(struct admission *a, const struct family *f)
{
    const char *resource = f->resource[FAMILY_PRIORITY];
    const struct json_text *limit = admission_limit(a, resource);
    int64_t priority;
    char text[24];
    if (!limit)
        return;
    if (!admission_integer(limit, &priority)) {
        vendor_fault_add(a->faults, ADMIT_QUANTITY,
                         "container " FAULT_NAME
                         ": resources.limits[%s] is not a whole number; write 0 (high) or 1 (low)",
                         a->container->name, resource);
        return;
    }
    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, priority);
    admission_set_env(a, "CUDA_TASK_PRIORITY", text, false);
}

/* A part of a card claims the default number of cards. */
static bool claim(struct admission *a, const struct family *f)
{
    if (admission_limit(a, f->resource[FAMILY_COUNT]))
        return true;
    if (f->default_count == 0 ||
        !(admission_limit(a, f->resource[FAMILY_CORES]) || admission_limit(a, f->resource[FAMILY_MEM]) ||
          admission_limit(a, f->resource[FAMILY_MEM_PERCENT])))
        return false;
    admission_set_amount(a, f->resource[FAMILY_COUNT], f->default_count, ADMISSION_LIMITS);
    return true;
}

/* A card alone, or all of its memory, is alone on the card. */
static void make_exclusive(struct admission *a, const struct family *f)
{
    const struct json_text *percent = admission_given(a, f->resource[FAMILY_MEM_PERCENT]);
    const char *cores = f->resource[FAMILY_CORES];
    int64_t value = 0;
    if (!cores || !*cores || admission_given(a, cores))
        return;
    if (percent ? !admission_integer(percent, &value) || value != 100
                : admission_given(a, f->resource[FAMILY_MEM]) != NULL)
        return;
    admission_set_amount(a, cores, 100, ADMISSION_LIMITS);
}

bool admit_nvidia(struct admission *a, const struct family *f)
{
    check_percent(a, f);
    set_priority(a, f);
    bool asks = claim(a, f);
    if (asks) {
        a->nvidia = true;
        make_exclusive(a, f);
        admission_set_runtime_class(a, f->runtime_class);
        if (f->core_policy && *f->core_policy && strcmp(f->core_policy, "default") != 0) /* B23 */
            admission_set_env(a, "GPU_CORE_UTILIZATION_POLICY", f->core_policy, false);
    }
    return asks;
}
