/* SPDX-License-Identifier: Apache-2.0
 *
 * ValidatingAdmissionPolicies: what the API server itself refuses, with or without the webhook, in the
 * words of the webhook (contract/admission.def). One policy and one binding for each check, so that each can
 * be lowered alone.
 *
 * An expression's cost is bounded by the API server (a million per expression, ten per policy) and counted as
 * it runs: a pod that is made to be costly is refused (failurePolicy Fail).
 * Source: Kubernetes, "Validating Admission Policy" and "Common Expression Language in Kubernetes"; what is
 * used here is there from 1.30 on, the first with policies as a stable API.
 */
#ifndef HAMI_SCHEDULER_POLICY_H
#define HAMI_SCHEDULER_POLICY_H

#include "scheduler/scheduler.h"

/* As YAML, for these families and levels of checks. Caller frees. */
char *policies_print(const struct scheduler_options *options, const struct family_set *set);

/* ---- for the files of this module: policy.c (frame); policy_assigned.c, policy_pod.c, policy_amounts.c
 * (checks) ---- */

struct policy_frame {
    const char *name;
    enum admit_level level;
    const char *rules; /* resourceRules */
    char **asked;      /* resources one of whose a pod has to ask for; NULL: any pod */
    const struct scheduler_options *options;
};

/* Up to where variables follow. */
void policy_begin(GString *out, const struct policy_frame *frame);
/* name: expression. A text of several lines is indented by the caller. */
void policy_variable(GString *out, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* Before the first validation. */
void policy_validations(GString *out);
/* otherwise: an expression that is the message, in the webhook's words; briefly: a text for where it cannot
 * be made. */
void policy_validation(GString *out, const char *expression, const char *otherwise, const char *briefly);
void policy_end(GString *out, const struct policy_frame *frame);

/* "['a', 'b']", one a line. Caller frees. */
char *policy_list(const char *const *items);

/* The first characters of what somebody wrote: as many as a message shows, ... */
#define POLICY_CUT_TO(n, text) "(size(" text ") > " #n " ? " text ".substring(0, " #n ") : " text ")"
#define POLICY_CUT(text) POLICY_CUT_TO(64, text)
/* ... and as many as are looked at. A list that an expression makes is a chain, which takes time by the
 * square of its length to go through, and that the API server does not count: none may be long. */
#define POLICY_GIVEN(key) POLICY_CUT_TO(8192, "variables.annotations[" key "]")

/* The resources by which a container asks for cards of families that fit: names are borrowed, NULL at the
 * end. */
GPtrArray *policy_asking(const struct family_set *set, bool (*fits)(const struct family *f));
void policy_add_asking(GPtrArray *names, const struct family *f);
void policy_add_name(GPtrArray *names, const char *name); /* once */
bool policy_is_any(const struct family *f);
bool policy_is_nvidia(const struct family *f);

/* A policy for new pods that ask for cards; expressions find the variables containers and annotations. */
struct policy_check {
    GString *out;
    const struct scheduler_options *options;
    const struct family_set *set;
    GPtrArray *asked;
    struct policy_frame frame;
};
/* False: it is off, or no such family is in force. */
bool policy_check_begin(struct policy_check *c, const char *name, enum admit_check check,
                        bool (*fits)(const struct family *f));
void policy_check_end(struct policy_check *c);

#define POLICY_HAS_LIMITS "has(c.resources) && has(c.resources.limits)"
/* Whether a container asks for a resource of a list of names. */
#define POLICY_ASKED(list)                                                                                   \
    "variables.containers.exists(c, " POLICY_HAS_LIMITS " && c.resources.limits.exists(k, k in " list "))"

void policies_assigned(GString *out, const struct scheduler_options *options, const struct family_set *set);
void policies_pod(GString *out, const struct scheduler_options *options, const struct family_set *set);
void policies_amounts(struct policy_check *c);

#endif
