/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

/* args: NULL-terminated, the program first. */
static void start(struct fake *f, GPtrArray *args)
{
    g_autofree char *line = NULL;
    int out;
    GError *error = NULL;
    g_assert_nonnull(args->pdata[0]);
    g_spawn_async_with_pipes(NULL, (char **)args->pdata, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &f->pid,
                             NULL, &out, NULL, &error);
    g_assert_no_error(error);
    GIOChannel *channel = g_io_channel_unix_new(out);
    g_assert_cmpint(g_io_channel_read_line(channel, &line, NULL, NULL, NULL), ==, G_IO_STATUS_NORMAL);
    g_io_channel_shutdown(channel, FALSE, NULL);
    g_io_channel_unref(channel);
    const char *url = strstr(line, " ready on http://");
    g_assert_nonnull(url);
    url += strlen(" ready on ");
    g_strlcpy(f->url, url, MIN(sizeof f->url, strcspn(url, " \n") + 1));
    g_assert_true(http_init(&f->http, f->url, "test"));
    f->http.timeout_ms = 20000;
}

void fake_start(struct fake *f, ...)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    va_list rest;
    g_ptr_array_add(args, g_strdup(g_getenv("HAMI_FAKE_APISERVER")));
    g_ptr_array_add(args, g_strdup("--die-with-parent"));
    va_start(rest, f);
    for (const char *a; (a = va_arg(rest, const char *));)
        g_ptr_array_add(args, g_strdup(a));
    va_end(rest);
    g_ptr_array_add(args, NULL);
    start(f, args);
}

void fake_start_extender(struct fake *f, const char *kubeconfig)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    const char *const words[] = {g_getenv("HAMI_FIRST_FIT"), "--kubeconfig", kubeconfig, "--http_bind",
                                 "127.0.0.1:0"};
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        g_ptr_array_add(args, g_strdup(words[i]));
    g_ptr_array_add(args, NULL);
    start(f, args);
}

void fake_stop(struct fake *f)
{
    int status;
    http_clear(&f->http);
    kill(f->pid, SIGTERM);
    g_assert_cmpint(waitpid(f->pid, &status, 0), ==, f->pid);
    g_assert_cmpint(status, ==, 0);
}

json_t *fake_call(struct fake *f, int code, const char *method, const char *path, const char *type,
                  const char *body)
{
    int got = http_call(&f->http, method, path, type, body, strlen(body));
    if (got != code)
        g_error("%s %s: status %d, not %d: %s", method, path, got, code, f->http.body->str);
    return json_loads(f->http.body->str, JSON_DECODE_ANY, NULL);
}

void fake_done(struct fake *f, int code, const char *method, const char *path, const char *type,
               const char *body)
{
    json_decref(fake_call(f, code, method, path, type, body));
}

const char *fake_text_at(json_t *object, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **n = names; *n; n++)
        object = json_is_array(object) ? json_array_get(object, (size_t)g_ascii_strtoull(*n, NULL, 10))
                                       : json_object_get(object, *n);
    return json_is_string(object) ? json_string_value(object) : "";
}

const char *fake_annotation(json_t *object, const char *key)
{
    json_t *annotations = json_object_get(json_object_get(object, "metadata"), "annotations");
    const char *text = json_string_value(json_object_get(annotations, key));
    return text ? text : "";
}
