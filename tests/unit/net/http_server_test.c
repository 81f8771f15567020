/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP server against libsoup's client and against bare sockets, for what
 * no proper client does.
 */
#include <libsoup/soup.h>
#include <string.h>

#include "../wait.h"
#include "net/http_server.h"
#include "net/tls.h"

struct seen {
    unsigned calls;
    char *peer;
    struct http_responder *kept;
};

static void on_echo(const struct http_request *r, struct http_responder *responder, void *data)
{
    struct seen *seen = data;
    seen->calls++;
    g_assert_cmpuint(strlen(r->body), ==, r->body_len);
    g_free(seen->peer);
    seen->peer = g_strdup(r->peer);
    g_autofree char *text = g_strdup_printf("%s %s?%s [%s] %s", r->method, r->path, r->query ? r->query : "",
                                            r->content_type ? r->content_type : "", r->body);
    http_header(responder, "X-One", "1");
    http_respond(responder, 200, "application/json", text, strlen(text));
}

static void on_keep(const struct http_request *r, struct http_responder *responder, void *data)
{
    struct seen *seen = data;
    (void)r;
    seen->calls++;
    seen->kept = responder;
}

static void on_drop(const struct http_request *r, struct http_responder *responder, void *data)
{
    (void)r, (void)data;
    http_drop(responder);
}

static const struct http_route routes[] = {
    {"POST", "/echo", 1000, on_echo, false}, {"PUT", "/echo", 1000, on_echo, false},
    {"GET", "/get", 0, on_echo, false},      {"GET", "/under/*", 0, on_echo, false},
    {"GET", "/keep", 0, on_keep, false},     {"GET", "/drop", 0, on_drop, false},
};

struct fixture {
    HttpServer *server;
    SoupSession *session;
    struct seen seen;
    const char *scheme;
    GTlsDatabase *trust;
    GTlsCertificate *certificate; /* the client's */
};

static void open_quiet(struct fixture *f, const struct http_server_options *options)
{
    memset(f, 0, sizeof *f);
    f->scheme = "http";
    f->server = http_server_new(routes, G_N_ELEMENTS(routes), options, &f->seen);
    f->session = soup_session_new_with_options("proxy-resolver", NULL, NULL);
}

static void listen_on(struct fixture *f)
{
    GError *error = NULL;
    http_server_listen(f->server, "127.0.0.1:0", &error);
    g_assert_no_error(error);
}

static void open_fixture(struct fixture *f, const struct http_server_options *options)
{
    open_quiet(f, options);
    listen_on(f);
}

static void close_fixture(struct fixture *f)
{
    soup_session_abort(f->session);
    g_object_unref(f->session);
    http_server_free(f->server);
    g_clear_object(&f->trust);
    g_clear_object(&f->certificate);
    g_free(f->seen.peer);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

struct answer {
    bool done;
    GBytes *body;
    GError *error;
    SoupMessage *message;
    unsigned status;
};

static void on_answer(GObject *session, GAsyncResult *result, void *data)
{
    struct answer *a = data;
    a->body = soup_session_send_and_read_finish(SOUP_SESSION(session), result, &a->error);
    a->status = soup_message_get_status(a->message);
    a->done = true;
}

static void begin(struct fixture *f, struct answer *a, const char *method, const char *path, const char *body)
{
    g_autofree char *url =
        g_strdup_printf("%s://127.0.0.1:%u%s", f->scheme, http_server_port(f->server), path);
    memset(a, 0, sizeof *a);
    a->message = soup_message_new(method, url);
    if (body) {
        g_autoptr(GBytes) bytes = g_bytes_new(body, strlen(body));
        soup_message_set_request_body_from_bytes(a->message, "text/x", bytes);
    }
    soup_message_set_tls_client_certificate(a->message, f->certificate);
    soup_session_send_and_read_async(f->session, a->message, G_PRIORITY_DEFAULT, NULL, on_answer, a);
}

static void answer_clear(struct answer *a)
{
    g_clear_pointer(&a->body, g_bytes_unref);
    g_clear_error(&a->error);
    g_clear_object(&a->message);
}

static void assert_answer(struct fixture *f, const char *method, const char *path, const char *body,
                          unsigned status, const char *expected)
{
    struct answer a;
    begin(f, &a, method, path, body);
    WAIT(a.done);
    g_assert_no_error(a.error);
    size_t len = g_bytes_get_size(a.body);
    g_autofree char *text = g_strndup(len ? g_bytes_get_data(a.body, NULL) : "", len);
    g_assert_cmpuint(a.status, ==, status);
    g_assert_cmpstr(text, ==, expected);
    answer_clear(&a);
}

static void test_request_reaches_its_handler(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    assert_answer(&f, "POST", "/echo?a=b%20c", "body", 200, "POST /echo?a=b%20c [text/x] body");
    assert_answer(&f, "GET", "/under/a%20b", NULL, 200, "GET /under/a b? [] ");
    assert_answer(&f, "HEAD", "/get", NULL, 200, "");
    g_assert_cmpuint(http_server_counters(f.server).requests, ==, 3);
    g_assert_cmpuint(http_server_counters(f.server).connections, <=, 2);
    close_fixture(&f);
}

static const struct {
    const char *name, *method, *path;
    unsigned status;
    const char *text;
} misses[] = {
    {"unknown_path", "GET", "/nothing", 404, "no such path: /nothing\n"},
    {"prefix_itself", "GET", "/under", 404, "no such path: /under\n"},
    {"longer_path", "GET", "/get/x", 404, "no such path: /get/x\n"},
    {"other_method", "DELETE", "/echo", 405, "/echo takes POST, PUT, not DELETE\n"},
    {"dropped", "GET", "/drop", 500, "no answer\n"},
};

static void test_miss_is_explained(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fixture f;
    open_fixture(&f, NULL);
    assert_answer(&f, misses[i].method, misses[i].path, NULL, misses[i].status, misses[i].text);
    close_fixture(&f);
}

static void test_connections_are_kept(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    for (int i = 0; i < 5; i++)
        assert_answer(&f, "GET", i % 2 ? "/get" : "/nothing", NULL, i % 2 ? 200 : 404,
                      i % 2 ? "GET /get? [] " : "no such path: /nothing\n");
    g_assert_cmpuint(http_server_counters(f.server).connections, ==, 1);
    close_fixture(&f);
}

static void test_body_up_to_its_bound(void)
{
    struct fixture f;
    g_autofree char *fits = g_strnfill(1000, 'x');
    g_autofree char *over = g_strnfill(1001, 'x');
    g_autofree char *far_over = g_strnfill(1000000, 'x');
    g_autofree char *expected = g_strdup_printf("POST /echo? [text/x] %s", fits);
    open_fixture(&f, NULL);
    assert_answer(&f, "POST", "/echo", fits, 200, expected);
    assert_answer(&f, "POST", "/echo", over, 413, "the body has 1001 bytes; /echo takes 1000\n");
    assert_answer(&f, "POST", "/echo", far_over, 413, "the body has 1000000 bytes; /echo takes 1000\n");
    g_assert_cmpuint(http_server_counters(f.server).refused_bodies, ==, 2);
    g_assert_cmpuint(f.seen.calls, ==, 1);
    close_fixture(&f);
}

static void test_answer_may_come_later(void)
{
    struct fixture f;
    struct answer a;
    open_fixture(&f, NULL);
    begin(&f, &a, "GET", "/keep", NULL);
    WAIT(f.seen.kept);
    assert_answer(&f, "GET", "/get", NULL, 200, "GET /get? [] "); /* others are served meanwhile */
    http_respond(f.seen.kept, 202, NULL, "late", 4);
    WAIT(a.done);
    g_assert_cmpuint(a.status, ==, 202);
    answer_clear(&a);
    close_fixture(&f);
}

static void test_answer_that_does_not_come_is_503(void)
{
    struct fixture f;
    open_fixture(&f, &(struct http_server_options){.answer_ms = 50});
    assert_answer(&f, "GET", "/keep", NULL, 503, "no answer in time; try again\n");
    http_respond(f.seen.kept, 200, NULL, "too late", 8); /* nothing comes of it */
    g_assert_cmpuint(http_server_counters(f.server).slow_answers, ==, 1);
    close_fixture(&f);
}

static void test_answer_to_a_client_that_left(void)
{
    struct fixture f;
    struct answer a;
    open_fixture(&f, NULL);
    begin(&f, &a, "GET", "/keep", NULL);
    WAIT(f.seen.kept);
    soup_session_abort(f.session);
    WAIT(a.done);
    answer_clear(&a);
    http_respond(f.seen.kept, 200, NULL, "x", 1);
    WAIT(http_server_counters(f.server).connections == 0);
    close_fixture(&f);
}

static void test_answer_to_a_server_that_is_gone(void)
{
    struct fixture f;
    struct answer a;
    open_fixture(&f, NULL);
    begin(&f, &a, "GET", "/keep", NULL);
    WAIT(f.seen.kept);
    http_server_free(g_steal_pointer(&f.server));
    http_respond(f.seen.kept, 200, NULL, "x", 1);
    WAIT(a.done);
    answer_clear(&a);
    close_fixture(&f);
}

/* A client without manners. */
static GSocketConnection *dial(struct fixture *f)
{
    GError *error = NULL;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_enable_proxy(client, FALSE);
    GSocketConnection *c =
        g_socket_client_connect_to_host(client, "127.0.0.1", http_server_port(f->server), NULL, &error);
    g_assert_no_error(error);
    g_socket_set_blocking(g_socket_connection_get_socket(c), FALSE);
    return c;
}

static void say(GSocketConnection *c, const char *text)
{
    g_socket_send(g_socket_connection_get_socket(c), text, strlen(text), NULL, NULL);
}

static bool is_closed(GSocketConnection *c)
{
    char buf[4096];
    g_autoptr(GError) error = NULL;
    gssize n;
    while ((n = g_socket_receive(g_socket_connection_get_socket(c), buf, sizeof buf, NULL, &error)) > 0)
        ;
    return n == 0 || !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static gboolean wake(void *data)
{
    (void)data;
    return G_SOURCE_CONTINUE;
}

static const struct {
    const char *name, *text;
} slow[] = {
    {"silence", ""},
    {"half_a_request_line", "POST /ec"},
    {"half_the_headers", "POST /echo HTTP/1.1\r\nHost: x\r\n"},
    {"half_the_body", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"},
    {"silence_after_a_request", "GET /get HTTP/1.1\r\nHost: x\r\n\r\n"},
};

static void test_slow_client_is_cut(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fixture f;
    open_fixture(&f, &(struct http_server_options){.request_ms = 60, .idle_ms = 80});
    guint id = g_timeout_add(10, wake, NULL);
    g_autoptr(GSocketConnection) c = dial(&f);
    say(c, slow[i].text);
    WAIT(is_closed(c));
    g_assert_cmpuint(http_server_counters(f.server).slow_clients, ==, 1);
    WAIT(http_server_counters(f.server).connections == 0);
    g_source_remove(id);
    close_fixture(&f);
}

/* A byte now and then does not buy time. */
static gboolean drip(void *data)
{
    say(data, "a");
    return G_SOURCE_CONTINUE;
}

static void test_dripping_client_is_cut(void)
{
    struct fixture f;
    open_fixture(&f, &(struct http_server_options){.request_ms = 100});
    g_autoptr(GSocketConnection) c = dial(&f);
    say(c, "GET /");
    guint id = g_timeout_add(10, drip, c);
    gint64 begin_us = g_get_monotonic_time();
    WAIT(is_closed(c));
    g_assert_cmpint(g_get_monotonic_time() - begin_us, <, 2 * G_USEC_PER_SEC);
    g_source_remove(id);
    close_fixture(&f);
}

static void test_endless_body_is_cut(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    g_autoptr(GSocketConnection) c = dial(&f);
    g_autofree char *block = g_strnfill(65536, 'x');
    g_autofree char *chunk = g_strdup_printf("10000\r\n%s\r\n", block);
    say(c, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    guint id = g_timeout_add(1, wake, NULL);
    size_t at = 0, len = strlen(chunk);
    while (!is_closed(c)) {
        gssize n = g_socket_send(g_socket_connection_get_socket(c), chunk + at, len - at, NULL, NULL);
        at = n > 0 ? (at + (size_t)n) % len : at;
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpuint(http_server_counters(f.server).refused_bodies, ==, 1);
    g_assert_cmpuint(f.seen.calls, ==, 0);
    g_source_remove(id);
    close_fixture(&f);
}

static const char *const broken[] = {
    "\r\n\r\n",
    "GET\r\n\r\n",
    "GET /get HTTP/1.1\r\n\r\n",
    "GET /get HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "\x16\x03\x01\x02",
    "GET /%00get HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /under/../get HTTP/1.1\r\nHost: x\r\n\r\n"};

static void test_broken_requests_harm_nobody(void)
{
    struct fixture f;
    open_fixture(&f, &(struct http_server_options){.request_ms = 100, .idle_ms = 100});
    guint id = g_timeout_add(10, wake, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autoptr(GSocketConnection) c = dial(&f);
        say(c, broken[i]);
        WAIT(is_closed(c));
    }
    assert_answer(&f, "GET", "/get", NULL, 200, "GET /get? [] ");
    g_source_remove(id);
    close_fixture(&f);
}

/* libsoup 3.2 by itself keeps them for ever. */
static void test_client_that_leaves_between_requests_is_let_go(void)
{
    static const char *const farewells[] = {"", "G"}; /* between two, or within the next */
    for (size_t i = 0; i < G_N_ELEMENTS(farewells); i++) {
        struct fixture f;
        open_fixture(&f, NULL);
        g_autoptr(GSocketConnection) c = dial(&f);
        say(c, "GET /get HTTP/1.1\r\nHost: x\r\n\r\n");
        WAIT(f.seen.calls == 1);
        say(c, farewells[i]);
        g_io_stream_close(G_IO_STREAM(c), NULL, NULL);
        WAIT(http_server_counters(f.server).connections == 0);
        close_fixture(&f);
    }
}

static void test_too_many_connections_make_room(void)
{
    struct fixture f;
    GSocketConnection *idle[4];
    open_fixture(&f, &(struct http_server_options){.connections_max = 4});
    for (size_t i = 0; i < 4; i++)
        idle[i] = dial(&f);
    WAIT(http_server_counters(f.server).connections == 4);
    assert_answer(&f, "GET", "/get", NULL, 200, "GET /get? [] ");
    g_assert_true(is_closed(idle[0]));
    g_assert_false(is_closed(idle[3]));
    g_assert_cmpuint(http_server_counters(f.server).refused_connections, ==, 1);
    for (size_t i = 0; i < 4; i++)
        g_object_unref(idle[i]);
    close_fixture(&f);
}

static const struct {
    const char *address;
    bool anywhere, ok;
} addresses[] = {
    {"127.0.0.1:0", false, true}, {"localhost:0", false, true},
    {"0.0.0.0:0", false, false},  {":0", false, false},
    {"0.0.0.0:0", true, true},    {":0", true, true},
    {"8080", true, false},        {"host:1", true, false},
    {"127.0.0.1:", true, false},  {"127.0.0.1:66000", true, false},
    {"::1:80", true, false},
};

static void test_plain_listens_on_loopback_only(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(HttpServer) server = http_server_new(
            routes, 1, &(struct http_server_options){.plain_anywhere = addresses[i].anywhere}, NULL);
        bool ok = http_server_listen(server, addresses[i].address, &error);
        g_test_message("%s", addresses[i].address);
        g_assert_cmpint(ok, ==, addresses[i].ok);
        g_assert_cmpint(ok, ==, error == NULL);
    }
}

/* TLS. */
struct identities {
    struct tls_pem ca, other_ca, server, server2, client, stranger, no_client;
};

static void make_identities(struct identities *i)
{
    static const char *const names[] = {"127.0.0.1", "localhost", NULL};
    GError *error = NULL;
    g_assert_true(tls_make_ca("ca", 10 * TLS_DAY_S, &i->ca, &error));
    g_assert_true(tls_make_ca("other", 10 * TLS_DAY_S, &i->other_ca, &error));
    g_assert_true(tls_make_server(&i->ca, "one", names, 10 * TLS_DAY_S, &i->server, &error));
    g_assert_true(tls_make_server(&i->ca, "two", names, 10 * TLS_DAY_S, &i->server2, &error));
    g_assert_true(tls_make_client(&i->ca, "system:kube-scheduler", NULL, 10 * TLS_DAY_S, &i->client, &error));
    g_assert_true(tls_make_client(&i->other_ca, "stranger", NULL, 10 * TLS_DAY_S, &i->stranger, &error));
    g_assert_true(tls_make_server(&i->ca, "server", names, 10 * TLS_DAY_S, &i->no_client, &error));
    g_assert_no_error(error);
}

static void clear_identities(struct identities *i)
{
    struct tls_pem *all[] = {&i->ca,     &i->other_ca, &i->server,   &i->server2,
                             &i->client, &i->stranger, &i->no_client};
    for (size_t k = 0; k < G_N_ELEMENTS(all); k++)
        tls_pem_clear(all[k]);
}

static void set_server(struct fixture *f, const struct tls_pem *pem, const struct tls_pem *client_ca)
{
    GError *error = NULL;
    http_server_set_tls(f->server, pem, client_ca ? client_ca->cert : NULL, &error);
    g_assert_no_error(error);
}

static void new_session(struct fixture *f, const struct tls_pem *ca, const struct tls_pem *client)
{
    GError *error = NULL;
    g_clear_object(&f->session);
    g_clear_object(&f->trust);
    g_clear_object(&f->certificate);
    f->scheme = "https";
    f->trust = tls_anchors(ca->cert, &error);
    g_assert_no_error(error);
    f->session = soup_session_new_with_options("tls-database", f->trust, "proxy-resolver", NULL, NULL);
    if (client)
        f->certificate = tls_certificate(client, &error);
    g_assert_no_error(error);
}

static void test_certificate_is_replaced_live(void)
{
    struct fixture f;
    struct identities i = {0};
    struct answer a;
    open_quiet(&f, NULL);
    make_identities(&i);
    set_server(&f, &i.server, NULL);
    listen_on(&f);
    new_session(&f, &i.ca, NULL);
    assert_answer(&f, "GET", "/get", NULL, 200, "GET /get? [] ");
    begin(&f, &a, "GET", "/keep", NULL);
    WAIT(f.seen.kept);
    set_server(&f, &i.server2, NULL);
    http_respond(f.seen.kept, 200, NULL, "x", 1); /* what is under way is not disturbed */
    WAIT(a.done);
    g_assert_no_error(a.error);
    answer_clear(&a);
    new_session(&f, &i.ca, NULL);
    begin(&f, &a, "GET", "/get", NULL);
    WAIT(a.done);
    g_assert_no_error(a.error);
    g_autofree char *pem = NULL;
    g_object_get(soup_message_get_tls_peer_certificate(a.message), "certificate-pem", &pem, NULL);
    g_assert_cmpstr(pem, ==, i.server2.cert);
    answer_clear(&a);
    clear_identities(&i);
    close_fixture(&f);
}

static void test_client_certificate_is_asked_for(void)
{
    struct fixture f;
    struct identities i = {0};
    open_quiet(&f, NULL);
    make_identities(&i);
    set_server(&f, &i.server, &i.ca);
    listen_on(&f);
    new_session(&f, &i.ca, &i.client);
    assert_answer(&f, "GET", "/get", NULL, 200, "GET /get? [] ");
    g_assert_cmpstr(f.seen.peer, ==, "system:kube-scheduler");
    const struct tls_pem *refused[] = {NULL, &i.stranger, &i.no_client};
    for (size_t k = 0; k < G_N_ELEMENTS(refused); k++) {
        struct answer a;
        new_session(&f, &i.ca, refused[k]);
        begin(&f, &a, "GET", "/get", NULL);
        WAIT(a.done);
        g_assert_nonnull(a.error);
        answer_clear(&a);
    }
    g_assert_cmpuint(f.seen.calls, ==, 1);
    g_assert_cmpuint(http_server_counters(f.server).refused_handshakes, >=, 3);
    soup_session_abort(f.session);
    WAIT(http_server_counters(f.server).connections == 0);
    clear_identities(&i);
    close_fixture(&f);
}

static void test_handshake_that_does_not_come_is_cut(void)
{
    struct fixture f;
    struct identities i = {0};
    open_quiet(&f, &(struct http_server_options){.request_ms = 60});
    make_identities(&i);
    set_server(&f, &i.server, NULL);
    listen_on(&f);
    guint id = g_timeout_add(10, wake, NULL);
    g_autoptr(GSocketConnection) c = dial(&f);
    WAIT(is_closed(c));
    WAIT(http_server_counters(f.server).connections == 0);
    g_source_remove(id);
    clear_identities(&i);
    close_fixture(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/net/http_server/" #name, test_##name)
    ADD(request_reaches_its_handler);
    for (size_t i = 0; i < G_N_ELEMENTS(misses); i++) {
        g_autofree char *path = g_strdup_printf("/net/http_server/miss/%s", misses[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_miss_is_explained);
    }
    ADD(connections_are_kept);
    ADD(body_up_to_its_bound);
    ADD(answer_may_come_later);
    ADD(answer_that_does_not_come_is_503);
    ADD(answer_to_a_client_that_left);
    ADD(answer_to_a_server_that_is_gone);
    for (size_t i = 0; i < G_N_ELEMENTS(slow); i++) {
        g_autofree char *path = g_strdup_printf("/net/http_server/slow/%s", slow[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_slow_client_is_cut);
    }
    ADD(dripping_client_is_cut);
    ADD(endless_body_is_cut);
    ADD(broken_requests_harm_nobody);
    ADD(client_that_leaves_between_requests_is_let_go);
    ADD(too_many_connections_make_room);
    ADD(plain_listens_on_loopback_only);
    ADD(certificate_is_replaced_live);
    ADD(client_certificate_is_asked_for);
    ADD(handshake_that_does_not_come_is_cut);
    return g_test_run();
}
