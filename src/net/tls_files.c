/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates in files that others replace: cert-manager, a mounted Secret, an
 * administrator. The kubelet replaces a mounted Secret by renaming one symbolic
 * link of the folder, so folders are watched, not files, and contents compared.
 */
#include <string.h>

#include "net/tls.h"
#include "net/tls_x509.h"

#define QUIET_MS 200 /* a rotation is several writes */

struct tls_files {
    char *cert, *key, *ca; /* paths */
    GPtrArray *monitors;
    GSource *quiet;
    GMainContext *context;
    struct tls_pem last;
    char *last_ca;
    tls_files_changed changed;
    tls_files_failed failed;
    void *data;
};

static bool load(const struct tls_files *f, struct tls_pem *ret_pem, char **ret_ca, GError **error)
{
    g_auto(TlsPem) pem = {0};
    g_autofree char *ca = NULL;
    if (f->cert && !tls_pem_load(f->cert, f->key, &pem, error))
        return false;
    if (f->ca && !(ca = tls_file_read(f->ca, error)))
        return false;
    g_autoptr(GTlsDatabase) anchors = ca ? tls_anchors(ca, error) : NULL;
    if (ca && !anchors) {
        g_prefix_error(error, "%s: ", f->ca);
        return false;
    }
    *ret_pem = pem;
    pem = (struct tls_pem){0};
    *ret_ca = g_steal_pointer(&ca);
    return true;
}

static bool take(struct tls_files *f, GError **error)
{
    g_auto(TlsPem) pem = {0};
    g_autofree char *ca = NULL;
    if (!load(f, &pem, &ca, error))
        return false;
    if (g_strcmp0(pem.cert, f->last.cert) == 0 && g_strcmp0(pem.key, f->last.key) == 0 &&
        g_strcmp0(ca, f->last_ca) == 0)
        return true;
    tls_pem_clear(&f->last);
    g_free(f->last_ca);
    f->last = pem;
    pem = (struct tls_pem){0};
    f->last_ca = g_steal_pointer(&ca);
    f->changed(&f->last, f->last_ca, f->data);
    return true;
}

static gboolean on_quiet(void *data)
{
    struct tls_files *f = data;
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&f->quiet, g_source_unref);
    if (!take(f, &error) && f->failed)
        f->failed(error, f->data);
    return G_SOURCE_REMOVE;
}

/* A folder that is written to all the time does not put the look off for ever:
 * the first event sets the moment. What comes after it starts another wait. */
static void on_event(GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, void *data)
{
    struct tls_files *f = data;
    (void)monitor, (void)file, (void)other, (void)event;
    if (f->quiet)
        return;
    f->quiet = g_timeout_source_new(QUIET_MS);
    g_source_set_callback(f->quiet, on_quiet, f, NULL);
    g_source_attach(f->quiet, f->context);
}

static bool watch_folder(struct tls_files *f, const char *path, GError **error)
{
    if (!path)
        return true;
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GFile) file = g_file_new_for_path(folder);
    GFileMonitor *monitor = g_file_monitor_directory(file, G_FILE_MONITOR_WATCH_MOVES, NULL, error);
    if (!monitor) {
        g_prefix_error(error, "watching %s: ", folder);
        return false;
    }
    g_file_monitor_set_rate_limit(monitor, 0);
    g_signal_connect(monitor, "changed", G_CALLBACK(on_event), f);
    g_ptr_array_add(f->monitors, monitor);
    return true;
}

static void end_monitor(void *data)
{
    g_file_monitor_cancel(data);
    g_object_unref(data);
}

void tls_files_free(TlsFiles *f)
{
    if (!f)
        return;
    for (guint i = 0; i < f->monitors->len; i++)
        g_signal_handlers_disconnect_by_data(f->monitors->pdata[i], f);
    g_ptr_array_unref(f->monitors);
    if (f->quiet) {
        g_source_destroy(f->quiet);
        g_source_unref(f->quiet);
    }
    g_main_context_unref(f->context);
    tls_pem_clear(&f->last);
    g_free(f->last_ca);
    g_free(f->cert);
    g_free(f->key);
    g_free(f->ca);
    g_free(f);
}

TlsFiles *tls_files_new(const struct tls_files_paths *paths, tls_files_changed changed,
                        tls_files_failed failed, void *data, GError **error)
{
    g_autoptr(TlsFiles) f = g_new0(struct tls_files, 1);
    f->cert = g_strdup(paths->cert);
    f->key = g_strdup(paths->key);
    f->ca = g_strdup(paths->ca);
    f->monitors = g_ptr_array_new_with_free_func(end_monitor);
    f->context = g_main_context_ref_thread_default();
    f->changed = changed;
    f->failed = failed;
    f->data = data;
    /* Watch, then look: nothing is missed in between. */
    if (!watch_folder(f, f->cert, error) || !watch_folder(f, f->key, error) ||
        !watch_folder(f, f->ca, error) || !take(f, error))
        return NULL;
    return g_steal_pointer(&f);
}
