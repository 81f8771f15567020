/* SPDX-License-Identifier: Apache-2.0
 *
 * Setting an annotation or a label of an object that exists.
 */
#ifndef HAMI_KUBE_PATCH_H
#define HAMI_KUBE_PATCH_H

#include "kube/body.h"
#include "kube/client.h"

/* Of the pod, or, without a namespace, of the node `target`. annotation and label may be NULL; all is copied.
 * With a resourceVersion it is sent once: a repetition of what was done already would be refused. Ends with
 * kube_request_finish(); a key or value that the API server would refuse is KUBE_ERROR_INVALID there. */
void kube_patch_async(KubeClient *client, const struct kube_target *target,
                      const struct kube_annotation *annotation, const struct kube_annotation *label,
                      GAsyncReadyCallback callback, void *data);

#endif
