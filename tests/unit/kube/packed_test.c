/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers that a server or a proxy packed: unpacked within bounds, refused
 * where they would hold events back.
 */
#include "tests/unit/kube/ask.h"

/* So many zeros, packed; caller unrefs. */
static GBytes *pack_zeros(size_t len)
{
    g_autofree char *zeros = g_malloc0(len);
    g_autoptr(GZlibCompressor) gzip = g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP, 9);
    g_autoptr(GInputStream) plain = g_memory_input_stream_new_from_data(zeros, (gssize)len, NULL);
    g_autoptr(GInputStream) in = g_converter_input_stream_new(plain, G_CONVERTER(gzip));
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();
    g_output_stream_splice(out, in, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, NULL);
    return g_memory_output_stream_steal_as_bytes(G_MEMORY_OUTPUT_STREAM(out));
}

static void say_packed(const struct fake_request *r)
{
    soup_message_headers_replace(soup_server_message_get_response_headers(r->message), "Content-Encoding",
                                 "gzip");
}

static void packed(struct fake_api *api, const struct fake_request *r)
{
    g_autoptr(GBytes) bytes = pack_zeros(GPOINTER_TO_SIZE(api->data));
    say_packed(r);
    soup_server_message_set_status(r->message, 200, NULL);
    soup_message_body_append_bytes(soup_server_message_get_response_body(r->message), bytes);
}

static void packed_in_parts(struct fake_api *api, const struct fake_request *r)
{
    GBytes *bytes = api->data;
    say_packed(r);
    fake_stream(api, r, "");
    /* With the headers, so that it lies in a buffer already. */
    fake_send_bytes(api, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes) / 2);
}

static void test_waiting_for_the_rest_of_an_answer_costs_nothing(void)
{
    struct fake_api api;
    struct answer a = {0};
    g_autoptr(GBytes) bytes = pack_zeros(1000000);
    const char *at = g_bytes_get_data(bytes, NULL);
    size_t len = g_bytes_get_size(bytes);
    fake_api_open(&api, packed_in_parts, bytes);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    kube_request_async(client, &(struct kube_request){.method = "GET", .path = "/x"}, NULL, on_answer, &a);
    wait_count(&api.requests, 1);
    wait_ms(20);
    g_assert_cmpuint(wait_ms(100), <, 10);
    fake_send_bytes(&api, at + len / 2, len - len / 2);
    fake_end(&api);
    wait_for(&a.done);
    g_assert_no_error(a.error);
    g_assert_cmpuint(g_bytes_get_size(a.body), ==, 1000000);
    answer_clear(&a);
    fake_api_close(&api);
}

static void test_packed_answers_are_bounded_unpacked(void)
{
    struct fake_api api;
    fake_api_open(&api, packed, GSIZE_TO_POINTER(100000));
    g_autoptr(KubeClient) client =
        fake_api_client(&api, &(struct kube_client_options){.answer_max = 1u << 20});
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    g_assert_no_error(a.error);
    g_assert_cmpuint(g_bytes_get_size(a.body), ==, 100000);
    answer_clear(&a);
    api.data = GSIZE_TO_POINTER(20u << 20);
    a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_TOO_LARGE);
    answer_clear(&a);
    fake_api_close(&api);
}

/* A proxy that packs what was not asked for would hold events back. */
static void packs_streams(struct fake_api *api, const struct fake_request *r)
{
    SoupMessageHeaders *asked = soup_server_message_get_request_headers(r->message);
    g_assert_null(soup_message_headers_get_list(asked, "Accept-Encoding"));
    say_packed(r);
    fake_stream(api, r, "\x1f\x8b\x08");
}

static void on_stream(GObject *source, GAsyncResult *result, void *data)
{
    struct answer *a = data;
    (void)source;
    g_assert_null(kube_stream_finish(result, &a->error));
    a->done = true;
}

static void test_packed_stream_is_refused(void)
{
    struct fake_api api;
    struct answer a = {0};
    fake_api_open(&api, packs_streams, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    kube_stream_async(client, &(struct kube_request){.method = "GET", .path = "/x"}, NULL, on_stream, &a);
    wait_for(&a.done);
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_PROTOCOL);
    answer_clear(&a);
    fake_api_close(&api);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/packed/" #name, test_##name)
    ADD(packed_answers_are_bounded_unpacked);
    ADD(packed_stream_is_refused);
    ADD(waiting_for_the_rest_of_an_answer_costs_nothing);
    return g_test_run();
}
