/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/kube/watch_fixture.h"

#include <string.h>

static void note(struct record *r, const char *text)
{
    if (r->log->len)
        g_string_append_c(r->log, '|');
    g_string_append(r->log, text);
}

static void on_begin(void *data, uint64_t generation)
{
    struct record *r = data;
    g_autofree char *text = g_strdup_printf("begin %u", (unsigned)generation);
    r->begins++;
    note(r, text);
    if (r->free_at_begin)
        g_clear_pointer(&r->watch, kube_watch_free);
}

static void on_object(void *data, enum kube_event event, const char *json, size_t len)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    struct record *r = data;
    g_assert_cmpuint(len, >, 8);
    g_assert_true(json[0] == '{' && json[len - 1] == '}');
    g_autofree char *text = g_strdup_printf("%s %c", names[event], json[6]);
    r->objects++;
    note(r, text);
    if (r->free_at_object)
        g_clear_pointer(&r->watch, kube_watch_free);
}

static void on_synced(void *data)
{
    struct record *r = data;
    r->syncs++;
    note(r, "synced");
}

static void on_error(void *data, const GError *error)
{
    struct record *r = data;
    (void)error;
    r->errors++;
    note(r, "error");
}

static const struct kube_watch_vtable vtable = {on_begin, on_object, on_synced, on_error};

void open_fixture(struct fixture *f, void (*handle)(struct fake_api *, const struct fake_request *),
                  const struct kube_watch_options *options)
{
    struct kube_watch_options o = options ? *options : (struct kube_watch_options){0};
    memset(f, 0, sizeof *f);
    fake_api_open(&f->api, handle, f);
    f->client = fake_api_client(&f->api, &(struct kube_client_options){.answer_max = 1u << 20});
    f->record.log = g_string_new(NULL);
    o.path = "/api/v1/pods";
    o.backoff_first_ms = o.backoff_first_ms ? o.backoff_first_ms : 10;
    o.backoff_cap_ms = o.backoff_cap_ms ? o.backoff_cap_ms : 40;
    f->record.watch = kube_watch_new(f->client, &o, &vtable, &f->record);
    kube_watch_start(f->record.watch);
    g_assert_cmpuint(f->record.begins, ==, 0); /* not from within start */
}

void close_fixture(struct fixture *f)
{
    kube_watch_free(f->record.watch);
    kube_client_unref(f->client);
    fake_api_close(&f->api);
    g_string_free(f->record.log, TRUE);
}
