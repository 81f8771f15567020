/* SPDX-License-Identifier: Apache-2.0
 *
 * Admission: what the webhook changes in a pod that asks for cards, and what
 * it refuses (scheduler.md section 2, vendors.md section 3). Pure: a pod in, a
 * list of JSON-patch operations out; nothing else of the pod is touched.
 *
 * The pod is read once, by the scanner that reads all pods (vendor/parse.h).
 * What has two readings, such as a member that comes twice, is refused: what
 * is judged here has to be what the API server keeps.
 */
#ifndef HAMI_VENDOR_ADMIT_H
#define HAMI_VENDOR_ADMIT_H

#include <glib.h>

#include "vendor/check.h"
#include "vendor/parse.h"

enum admit_level { ADMIT_DENY, ADMIT_WARN, ADMIT_OFF };

struct admit_policy {
    const char *scheduler_name; /* "" = leave the pod's */
    bool force_overwrite;       /* may replace default-scheduler */
    bool trusted;               /* the requester may write assignment annotations */
    struct pod_defaults defaults;
    enum admit_level level[ADMIT_CHECKS];
    /* NULL, or: would the pod's totals stay within the namespace's quota? Returns NULL or the resource that
     * is exceeded. */
    const char *(*quota)(const struct pod_request *r, const char *namespace_, void *data);
    /* NULL, or: could any card of the cluster ever hold it? Returns NULL or a sentence why not (caller
     * frees). */
    char *(*impossible)(const struct pod_request *r, void *data);
    void *data;
};

struct admit_result {
    bool allowed;
    bool ours;           /* asks for cards of a family */
    char *patch;         /* JSON array of operations, NULL = none; owned */
    char *message;       /* refusal, or why it is left alone; owned */
    GPtrArray *warnings; /* of char*; owned; may be NULL */
    GPtrArray *refusals; /* the message fault by fault; owned; may be NULL, also of a refusal */
};

/* The pod is one of pod_object_scan_new(), by a reader of the same set; it is afterwards as the patch makes
 * it. request_namespace: the API server's word for it; "" = the pod's own. */
void vendor_admit(const struct family_set *set, const struct admit_policy *policy, struct pod_object *pod,
                  const char *request_namespace, struct admit_result *ret);
/* The same of a pod's text; reader NULL: one is made for the call. A text that is no pod is refused. */
void vendor_admit_text(const struct family_set *set, const struct pod_reader *reader,
                       const struct admit_policy *policy, const char *text, size_t len,
                       const char *request_namespace, struct admit_result *ret);
void admit_result_clear(struct admit_result *r);

#endif
