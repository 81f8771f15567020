/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that are kept, and closed by the server when the next request has
 * just been given one.
 */
#include "tests/unit/kube/ask.h"

static void empty(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    fake_answer(r, 200, "{}");
}

static void test_every_method_keeps_it(void)
{
    static const char *const methods[] = {"GET", "POST", "PATCH", "DELETE", "PUT", "POST"};
    struct fake_api api;
    fake_api_open(&api, empty, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        struct answer a =
            ask(client, (struct kube_request){.method = methods[i], .path = "/x", .body = "{}"});
        g_assert_no_error(a.error);
        answer_clear(&a);
    }
    g_assert_cmpuint(g_hash_table_size(api.sockets), ==, 1);
    fake_api_close(&api);
}

/* The connection was kept and is closed under the next request: libsoup would
 * repeat a DELETE by itself. */
static void lose_second(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (r->number == 2)
        fake_reset(r);
    else
        fake_answer(r, 200, "{}");
}

static void test_delete_is_not_repeated(void)
{
    struct fake_api api;
    fake_api_open(&api, lose_second, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    answer_clear(&a);
    a = ask(client, (struct kube_request){.method = "DELETE", .path = "/x"});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE);
    g_assert_cmpuint(api.requests, ==, 2);
    answer_clear(&a);
    fake_api_close(&api);
}

/* Two kept connections, one of which is reset between the choice of it and the
 * first byte: libsoup's "starting" is emitted just there. */
enum { KEPT = 2 };

struct kept {
    GSocket *server[KEPT]; /* the server's end of it */
    guint64 id[KEPT];      /* what libsoup calls it */
    unsigned starts;       /* of the request under test */
};

static const char *const kept_paths[KEPT] = {"/0", "/1"};

static void note_sockets(struct fake_api *api, const struct fake_request *r)
{
    struct kept *kept = api->data;
    for (int i = 0; i < KEPT; i++)
        if (strcmp(r->path, kept_paths[i]) == 0)
            kept->server[i] = soup_server_message_get_socket(r->message);
    fake_answer(r, 200, "{}");
}

static gboolean on_starting(GSignalInvocationHint *hint, guint n, const GValue *values, void *data)
{
    (void)hint, (void)n;
    struct kept *kept = data;
    SoupMessage *message = g_value_get_object(&values[0]);
    const char *path = g_uri_get_path(soup_message_get_uri(message));
    guint64 id = soup_message_get_connection_id(message);
    bool first = strcmp(path, "/x") == 0 && kept->starts++ == 0;
    for (int i = 0; i < KEPT; i++)
        if (strcmp(path, kept_paths[i]) == 0)
            kept->id[i] = id;
        else if (first && kept->id[i] == id)
            fake_reset_socket(kept->server[i]);
    return TRUE;
}

static void fill(KubeClient *client)
{
    struct answer answers[KEPT] = {0};
    for (int i = 0; i < KEPT; i++)
        kube_request_async(client, &(struct kube_request){.method = "GET", .path = kept_paths[i]}, NULL,
                           on_answer, &answers[i]);
    for (int i = 0; i < KEPT; i++) {
        wait_for(&answers[i].done);
        g_assert_no_error(answers[i].error);
        answer_clear(&answers[i]);
    }
}

static void test_get_goes_out_on_another_one(void)
{
    struct kept kept = {0};
    struct fake_api api;
    g_type_class_unref(g_type_class_ref(SOUP_TYPE_MESSAGE)); /* it has its signals now */
    guint starting = g_signal_lookup("starting", SOUP_TYPE_MESSAGE);
    gulong hook = g_signal_add_emission_hook(starting, 0, on_starting, &kept, NULL);
    fake_api_open(&api, note_sockets, &kept);
    g_autoptr(KubeClient) client = fake_api_client(&api, &(struct kube_client_options){.attempts = 1});
    fill(client);
    g_assert_cmpuint(g_hash_table_size(api.sockets), ==, KEPT);
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    g_assert_no_error(a.error);
    g_assert_cmpuint(kept.starts, ==, 2);
    g_assert_cmpuint(api.requests, ==, KEPT + 1);
    g_assert_cmpuint(g_hash_table_size(api.sockets), ==, KEPT);
    answer_clear(&a);
    g_signal_remove_emission_hook(starting, hook);
    fake_api_close(&api);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/kept/" #name, test_##name)
    ADD(every_method_keeps_it);
    ADD(delete_is_not_repeated);
    ADD(get_goes_out_on_another_one);
    return g_test_run();
}
