/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of the API server's authorizer (apiserver, endpoints/handlers/responsewriters/errors.go):
 *     USER cannot VERB resource "RESOURCE[/SUB]" in API group "GROUP" ...
 * and of our own admission policy, which names assignments.hami.io.
 */
#include "scheduler/rights.h"

#include <string.h>

#include "scheduler/service.h"

#define AGAIN_US (10 * 60 * G_USEC_PER_SEC)
#define KNOWN_MAX 64

struct rights {
    GHashTable *told; /* "verb resource" -> gint64, when */
};

static const struct {
    const char *verbs, *resource, *without;
} rows[] = {
    {"list", "nodes", "no pod is placed, for no card is known"},
    {"watch", "nodes",
     "nodes and cards that come, go or change are seen late: all are listed every 7 to 15 seconds instead"},
    {"list", "pods", "no pod is placed, for it is not known what is in use"},
    {"watch", "pods",
     "cards of pods that end are free late: all pods are listed every 7 to 15 seconds instead"},
    {"list", "resourcequotas", "no pod is placed, for the limits of namespaces are not known"},
    {"watch", "resourcequotas",
     "limits of namespaces that come or change are seen late: all are listed every 7 to 15 seconds instead"},
    {"list", "leases", "no pod is placed, for this instance never learns that it leads"},
    {"watch", "leases",
     "this instance learns late whether it leads: the lease is asked for every 2 to 3 seconds instead, "
     "or five times within --leader-elect-silence"},
    {"create", "leases", "no pod is placed, for this instance cannot lead"},
    {"get update", "leases",
     "the lease of a kube-scheduler that died is not given back before it ends (--leader-elect-silence); "
     "with a lease of its own (--leader-elect-as=own) this instance cannot lead"},
    {"create", "pods/binding", "no pod is bound"},
    {"update", "assignments", "no pod with cards is bound: the admission policy takes us for a stranger"},
    {"patch", "nodes",
     "nodes are not locked (--compat-node-lock): no pod is bound where a device plugin needs it; dead agents "
     "are "
     "not marked"},
    {"get", "pods", "locks that a deleted pod left on a node are waited for (--node-lock-timeout)"},
    {"patch", "pods",
     "pods that wait are not woken when there is room, only when kube-scheduler tries them again by itself; "
     "a new "
     "leader lists all pods"},
    {"create patch", "events", "no events say why a pod waits"},
    {"patch", "mutatingwebhookconfigurations",
     "the API server does not trust the webhook: pods that ask for cards are not admitted"},
    {"list watch", "mutatingwebhookconfigurations",
     "the webhook configuration is read once per certificate: when it is applied anew, or its caBundle is "
     "overwritten, pods that ask for cards are not admitted until the next one"},
    {"get", "mutatingwebhookconfigurations",
     "when the webhook's certificate is made anew (--webhook-cert-life), pods that ask for cards are not "
     "admitted until the webhook configuration changes"},
};

struct rights *rights_new(void)
{
    struct rights *rights = g_new0(struct rights, 1);
    rights->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return rights;
}

void rights_free(struct rights *rights)
{
    if (rights)
        g_hash_table_unref(rights->told);
    g_free(rights);
}

static const char *without(const char *verb, const char *resource)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(GStrv) verbs = g_strsplit(rows[i].verbs, " ", -1);
        if (strcmp(rows[i].resource, resource) == 0 && g_strv_contains((const char *const *)verbs, verb))
            return rows[i].without;
    }
    return "";
}

/* The word that starts at `at`, up to any of `ends`. Caller frees. */
static char *word(const char *at, const char *ends)
{
    return g_strndup(at, MIN(strcspn(at, ends), 100));
}

/* False when the text is not about a right. */
static bool parse(const char *text, char **ret_verb, char **ret_resource, char **ret_group)
{
    static const char cannot[] = " cannot ", resource[] = " resource \"", group[] = " in API group \"";
    if (strstr(text, "assignments.hami.io")) {
        *ret_verb = g_strdup("update");
        *ret_resource = g_strdup("assignments");
        *ret_group = g_strdup("hami.io");
        return true;
    }
    const char *verb = strstr(text, cannot), *what = verb ? strstr(verb, resource) : NULL,
               *where = what ? strstr(what, group) : NULL;
    if (!where)
        return false;
    *ret_verb = word(verb + strlen(cannot), " ");
    *ret_resource = word(what + strlen(resource), "\"");
    *ret_group = word(where + strlen(group), "\"");
    return true;
}

void rights_refused(void *data, const GError *error)
{
    struct rights *rights = data;
    g_autofree char *verb = NULL, *resource = NULL, *group = NULL;
    if (!parse(error->message, &verb, &resource, &group))
        return;
    g_autofree char *right = g_strconcat(verb, " ", resource, NULL);
    gint64 now = g_get_monotonic_time(), *told = g_hash_table_lookup(rights->told, right);
    if ((told && now - *told < AGAIN_US) || (!told && g_hash_table_size(rights->told) >= KNOWN_MAX))
        return;
    log_line(LOG_ERROR, "right-missing", "verb", verb, "resource", resource, "group", group, "without",
             without(verb, resource), "remedy", "kubectl apply -f deploy/scheduler/rbac.yaml", "why",
             error->message, NULL);
    g_hash_table_replace(rights->told, g_steal_pointer(&right), g_memdup2(&now, sizeof now));
}
