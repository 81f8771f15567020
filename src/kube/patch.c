/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/patch.h"

#include <string.h>

void kube_patch_async(KubeClient *client, const struct kube_target *target,
                      const struct kube_annotation *annotation, const struct kube_annotation *label,
                      GAsyncReadyCallback callback, void *data)
{
    GError *error = NULL;
    g_autofree char *body =
        kube_body_annotate(target, annotation, annotation != NULL, label, label != NULL, &error);
    if (!body) {
        g_task_report_error(NULL, callback, data, (void *)kube_patch_async, error);
        return;
    }
    g_autofree char *path = target->namespace ? kube_path("api", "v1", "namespaces", target->namespace,
                                                          "pods", target->name, NULL)
                                              : kube_path("api", "v1", "nodes", target->name, NULL);
    struct kube_request request = {.method = "PATCH",
                                   .path = path,
                                   .content_type = KUBE_MERGE_PATCH,
                                   .body = body,
                                   .body_len = strlen(body),
                                   .repeatable = !target->resource_version};
    kube_request_async(client, &request, NULL, callback, data);
}
