/* SPDX-License-Identifier: Apache-2.0
 *
 * See fake_api.h.
 */
#include "tests/unit/kube/fake_api.h"

#include <string.h>
#include <sys/socket.h>

#define PATIENCE_US (10 * G_USEC_PER_SEC)

uint32_t no_jitter(uint32_t below, void *data)
{
    (void)below, (void)data;
    return 0;
}

static gboolean on_late(void *data)
{
    *(bool *)data = true;
    return G_SOURCE_REMOVE;
}

static void wait_while(bool (*open)(const void *), const void *data)
{
    bool late = false;
    guint id = g_timeout_add(PATIENCE_US / 1000, on_late, &late);
    while (open(data) && !late)
        g_main_context_iteration(NULL, TRUE);
    g_assert_false(late);
    g_source_remove(id);
}

static bool is_false(const void *flag)
{
    return !*(const bool *)flag;
}

void wait_for(const bool *flag)
{
    wait_while(is_false, flag);
}

unsigned wait_ms(unsigned ms)
{
    bool late = false;
    unsigned turns = 0;
    g_timeout_add(ms, on_late, &late);
    while (!late) {
        g_main_context_iteration(NULL, TRUE);
        turns++;
    }
    return turns;
}

struct goal {
    const unsigned *count;
    unsigned n;
};

static bool is_below(const void *data)
{
    const struct goal *goal = data;
    return *goal->count < goal->n;
}

void wait_count(const unsigned *count, unsigned n)
{
    struct goal goal = {count, n};
    wait_while(is_below, &goal);
}

/* A stream whose client went away. */
static void on_finished(struct fake_api *api, SoupServerMessage *message)
{
    g_ptr_array_remove(api->streams, message);
}

static void on_request(SoupServer *server, SoupServerMessage *message, const char *path, GHashTable *query,
                       void *data)
{
    struct fake_api *api = data;
    (void)server, (void)path, (void)query;
    GUri *uri = soup_server_message_get_uri(message);
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    g_autoptr(GBytes) body = soup_message_body_flatten(soup_server_message_get_request_body(message));
    g_autofree char *text = g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body));
    const char *authorization = soup_message_headers_get_one(headers, "Authorization");
    struct fake_request r = {.message = message,
                             .method = soup_server_message_get_method(message),
                             .path = g_uri_get_path(uri),
                             .query = g_uri_get_query(uri) ? g_uri_get_query(uri) : "",
                             .body = text,
                             .authorization = authorization ? authorization : "",
                             .number = ++api->requests};
    g_hash_table_add(api->sockets, g_object_ref(soup_server_message_get_socket(message)));
    g_signal_connect_swapped(message, "finished", G_CALLBACK(on_finished), api);
    api->handle(api, &r);
}

void fake_api_open(struct fake_api *api, void (*handle)(struct fake_api *, const struct fake_request *),
                   void *data)
{
    GError *error = NULL;
    *api = (struct fake_api){.handle = handle, .data = data};
    api->server = g_object_new(SOUP_TYPE_SERVER, "raw-paths", TRUE, NULL);
    api->sockets = g_hash_table_new_full(NULL, NULL, g_object_unref, NULL);
    api->streams = g_ptr_array_new_with_free_func(g_object_unref);
    soup_server_add_handler(api->server, NULL, on_request, api, NULL);
    soup_server_listen_local(api->server, 0, SOUP_SERVER_LISTEN_IPV4_ONLY, &error);
    g_assert_no_error(error);
}

void fake_api_close(struct fake_api *api)
{
    soup_server_disconnect(api->server);
    g_object_unref(api->server);
    g_ptr_array_unref(api->streams);
    g_hash_table_unref(api->sockets);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

KubeConfig *fake_api_config(const struct fake_api *api)
{
    GSList *uris = soup_server_get_uris(api->server);
    KubeConfig *config = g_new0(struct kube_config, 1);
    config->server = g_strdup_printf("http://127.0.0.1:%d", g_uri_get_port(uris->data));
    config->source = g_strdup("test");
    config->namespace = g_strdup("default");
    g_slist_free_full(uris, (GDestroyNotify)g_uri_unref);
    return config;
}

KubeClient *fake_api_client(const struct fake_api *api, const struct kube_client_options *options)
{
    GError *error = NULL;
    struct kube_client_options o = options ? *options : (struct kube_client_options){0};
    o.jitter = o.jitter ? o.jitter : no_jitter;
    KubeClient *client = kube_client_new(fake_api_config(api), &o, &error);
    g_assert_no_error(error);
    return client;
}

void fake_answer(const struct fake_request *r, unsigned status, const char *json)
{
    soup_server_message_set_status(r->message, status, NULL);
    soup_server_message_set_response(r->message, "application/json", SOUP_MEMORY_COPY, json, strlen(json));
}

void fake_status(const struct fake_request *r, unsigned status, const char *reason, const char *retry_after)
{
    g_autofree char *json = g_strdup_printf("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
                                            "\"status\":\"Failure\",\"message\":\"the %s text\","
                                            "\"reason\":\"%s\",\"code\":%u}\n",
                                            reason, reason, status);
    if (retry_after)
        soup_message_headers_replace(soup_server_message_get_response_headers(r->message), "Retry-After",
                                     retry_after);
    fake_answer(r, status, json);
}

void fake_reset_socket(GSocket *socket)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    g_socket_close(socket, NULL);
}

void fake_reset(const struct fake_request *r)
{
    fake_reset_socket(soup_server_message_get_socket(r->message));
}

void fake_stream(struct fake_api *api, const struct fake_request *r, const char *text)
{
    soup_server_message_set_status(r->message, 200, NULL);
    soup_message_headers_set_encoding(soup_server_message_get_response_headers(r->message),
                                      SOUP_ENCODING_CHUNKED);
    soup_message_body_set_accumulate(soup_server_message_get_response_body(r->message), FALSE);
    g_ptr_array_add(api->streams, g_object_ref(r->message));
    if (text[0])
        fake_send(api, text);
}

static SoupServerMessage *newest(struct fake_api *api)
{
    g_assert_cmpuint(api->streams->len, >, 0);
    return api->streams->pdata[api->streams->len - 1];
}

static void send_to(SoupServerMessage *message, const void *bytes, size_t len)
{
    soup_message_body_append(soup_server_message_get_response_body(message), SOUP_MEMORY_COPY, bytes, len);
    soup_server_message_unpause(message);
}

void fake_send(struct fake_api *api, const char *text)
{
    send_to(newest(api), text, strlen(text));
}

void fake_send_bytes(struct fake_api *api, const void *bytes, size_t len)
{
    send_to(newest(api), bytes, len);
}

void fake_send_all(struct fake_api *api, const char *text)
{
    for (guint i = 0; i < api->streams->len; i++)
        send_to(api->streams->pdata[i], text, strlen(text));
}

void fake_end(struct fake_api *api)
{
    SoupServerMessage *message = newest(api);
    soup_message_body_complete(soup_server_message_get_response_body(message));
    soup_server_message_unpause(message);
    g_ptr_array_remove(api->streams, message);
}

void fake_break(struct fake_api *api)
{
    SoupServerMessage *message = newest(api);
    fake_reset_socket(soup_server_message_get_socket(message));
    g_ptr_array_remove(api->streams, message);
}
