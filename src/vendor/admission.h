/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of admission and what they share: a pod that is being changed, one
 * container at a time, and what is wrong with it.
 */
#ifndef HAMI_VENDOR_ADMISSION_H
#define HAMI_VENDOR_ADMISSION_H

#include "vendor/admit.h"
#include "vendor/fault.h"
#include "vendor/patch.h"

#define ADMISSION_VARIABLES_MAX 8 /* that are written into one container */

struct admission {
    const struct family_set *set;
    const struct admit_policy *policy;
    struct pod_object *pod; /* as it is after the patch */
    struct patch patch;
    GPtrArray *faults;
    bool ours;   /* a container asks for cards */
    bool nvidia; /* of NVIDIA's family */

    /* the container at hand */
    const char *list; /* "containers" or "initContainers" */
    char index[12];   /* in it */
    struct pod_container *container;
    const char *written[ADMISSION_VARIABLES_MAX]; /* variables, by us */
    unsigned n_written;
};

/* ---- reading the container at hand (admission_container.c) ---- */

/* An amount of the limits, or of the limits or else the requests; NULL when absent. */
const struct json_text *admission_limit(const struct admission *a, const char *resource);
const struct json_text *admission_given(const struct admission *a, const char *resource);
/* Present where the family's hook looks for it. */
const struct json_text *admission_asked(const struct admission *a, const struct family *f,
                                        enum family_resource which);
/* False when it is absent or no integer: what is wrong with it is said when the request is read. */
bool admission_integer(const struct json_text *amount, int64_t *ret);

/* ---- changing it ---- */

enum admission_sections { ADMISSION_LIMITS, ADMISSION_BOTH };
/* Writes a limit. The request follows: always, or only where there is one that would differ (W35). */
void admission_set_amount(struct admission *a, const char *resource, uint64_t value,
                          enum admission_sections sections);
/* An environment variable, once: one of that name is overwritten, or kept when `keep` is set. */
void admission_set_env(struct admission *a, const char *name, const char *value, bool keep);

/* ---- the pod (admission_pod.c) ---- */

/* Makes the object or array on the way to what is to be written where nothing is: its kind (a field of the
 * pod's), and the first n keys that lead to it. False where something else is. */
bool admission_need(struct admission *a, uint8_t *kind, enum json_kind wanted, const char *const *keys,
                    unsigned n);
void admission_set_annotation(struct admission *a, const char *key, const char *value);
const char *admission_annotation(const struct admission *a, const char *key); /* NULL = absent */
void admission_set_runtime_class(struct admission *a, const char *name);
void admission_set_scheduler(struct admission *a, const char *name);

/* ---- the rules ---- */

/* What NVIDIA's and every other family's hook does to the container; true when it asks for cards. */
bool admit_nvidia(struct admission *a, const struct family *f);
bool admit_family(struct admission *a, const struct family *f);
/* What hooks do to a container when all of them have seen it. */
void admit_bystander(struct admission *a, uint64_t asked);

/* Faults of the pod as a whole (admit_checks.c). */
void admit_check_forged(struct admission *a);
void admit_check_isolation(struct admission *a);
void admit_check_contradictions(struct admission *a, const struct pod_request *r);

#endif
