/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a kubeconfig: accepted ones keep what the client relies on,
 * refused ones are explained. Files that it names are looked for in a folder
 * that is not there.
 */
#include <stdlib.h>
#include <string.h>

#include "kube/config.h"
#include "kube/error.h"
#include "tests/fuzz/fuzz.h"

static void no_line_breaks(const char *text)
{
    for (; text && *text; text++)
        if (*text == '\n' || *text == '\r' || *text == ' ')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KubeConfig) c = kube_config_parse((const char *)data, n, "fuzz", "/nonexistent", NULL, &error);
    if (!c) {
        if (!g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFIG) ||
            !g_str_has_prefix(error->message, "fuzz: "))
            abort();
        return 0;
    }
    if (error || !c->server || !c->namespace || (!c->cert_pem != !c->key_pem) || (c->insecure && c->ca_pem) ||
        (!g_str_has_prefix(c->server, "http://") && !g_str_has_prefix(c->server, "https://")))
        abort();
    no_line_breaks(c->server);
    no_line_breaks(c->token);
    return 0;
}
