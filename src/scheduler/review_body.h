/* SPDX-License-Identifier: Apache-2.0
 *
 * An AdmissionReview's text to what is asked of us (admission.k8s.io,
 * AdmissionRequest): one scan, the pod in it included; no tree is made.
 */
#ifndef HAMI_SCHEDULER_REVIEW_BODY_H
#define HAMI_SCHEDULER_REVIEW_BODY_H

#include "vendor/parse.h"

struct review_body {
    const struct pod_reader *reader;
    char *version, *uid, *namespace_, *user; /* NULL = absent */
    bool large;                              /* more values than any pod needs: its object was not read */
    enum json_kind request, object;          /* JSON_IS_NONE = absent */
    struct pod_object pod;                   /* when object is JSON_IS_OBJECT; borrows from the text */
};

/* NULL, or (static) why the text cannot be read: it is no JSON, a text of it is not UTF-8, a member that
 * counts comes twice. What was read until then is in ret, which is cleared in any case. */
const char *review_body_read(const struct pod_reader *reader, const char *text, size_t len,
                             struct review_body *ret);
void review_body_clear(struct review_body *r);

#endif
