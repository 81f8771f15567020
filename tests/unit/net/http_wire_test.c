/* SPDX-License-Identifier: Apache-2.0
 *
 * What the HTTP server does with the bytes themselves: ways to send a body,
 * bounds of a head, large answers, clients that leave, and what TLS agrees on.
 */
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/socket.h>

#include "../wait.h"
#include "net/http_server.h"

/* Bare sockets wake no main loop. */
#define LOOK(condition) WAIT_LOOKING(condition, 5)

#define LARGE (32u << 20)
#define PIECE (100u << 10)

struct fixture {
    HttpServer *server;
    GSocketConnection *client;
    GString *heard;
    bool ended; /* by the server */
    struct http_responder *kept;
    unsigned pieces;
    bool gone;
};

static void on_echo(const struct http_request *r, struct http_responder *responder, void *data)
{
    (void)data;
    http_respond(responder, 200, NULL, r->body, r->body_len);
}

static void on_keep(const struct http_request *r, struct http_responder *responder, void *data)
{
    (void)r;
    ((struct fixture *)data)->kept = responder;
}

static bool more(GString *piece, void *data)
{
    struct fixture *f = data;
    g_string_set_size(piece, PIECE);
    memset(piece->str, 'x', PIECE);
    return ++f->pieces * (size_t)PIECE < LARGE;
}

static void on_gone(void *data)
{
    ((struct fixture *)data)->gone = true;
}

static void on_large(const struct http_request *r, struct http_responder *responder, void *data)
{
    (void)r;
    http_respond_pieces(responder, 200, NULL, &(struct http_pieces){more, on_gone, data, false});
}

static void on_packed(const struct http_request *r, struct http_responder *responder, void *data)
{
    (void)r;
    http_respond_pieces(responder, 200, NULL, &(struct http_pieces){more, on_gone, data, true});
}

static const struct http_route routes[] = {
    {"POST", "/echo", 100000, on_echo, false},
    {"GET", "/keep", 0, on_keep, false},
    {"GET", "/large", 0, on_large, false},
    {"GET", "/packed", 0, on_packed, false},
};

static void dial(struct fixture *f)
{
    GError *error = NULL;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_enable_proxy(client, FALSE);
    f->client =
        g_socket_client_connect_to_host(client, "127.0.0.1", http_server_port(f->server), NULL, &error);
    g_assert_no_error(error);
    g_socket_set_blocking(g_socket_connection_get_socket(f->client), FALSE);
}

static void open_server(struct fixture *f, const struct http_server_options *options,
                        const struct tls_pem *identity)
{
    GError *error = NULL;
    memset(f, 0, sizeof *f);
    f->server = http_server_new(routes, G_N_ELEMENTS(routes), options, f);
    if (identity)
        http_server_set_tls(f->server, identity, NULL, &error);
    g_assert_no_error(error);
    http_server_listen(f->server, "127.0.0.1:0", &error);
    g_assert_no_error(error);
    f->heard = g_string_new(NULL);
    dial(f);
}

static void close_server(struct fixture *f)
{
    g_clear_object(&f->client);
    http_server_free(f->server);
    g_string_free(f->heard, TRUE);
}

static GSocket *socket_of(struct fixture *f)
{
    return g_socket_connection_get_socket(f->client);
}

static void say(struct fixture *f, const char *text)
{
    size_t len = strlen(text);
    g_assert_cmpint(g_socket_send(socket_of(f), text, len, NULL, NULL), ==, (gssize)len);
}

static bool hear(struct fixture *f, const char *end)
{
    char buffer[4096];
    gssize n;
    g_autoptr(GError) error = NULL;
    while ((n = g_socket_receive(socket_of(f), buffer, sizeof buffer, NULL, &error)) > 0)
        g_string_append_len(f->heard, buffer, n);
    f->ended |= n == 0 || !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
    return f->ended || (end && strstr(f->heard->str, end));
}

/* What is said, in up to two parts with `between` heard before the second, and
 * what is heard. */
static const struct {
    const char *name, *say, *between, *then, *hear;
    bool ends;
} talks[] = {
    {"a_body_in_chunks",
     "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
     NULL, NULL, "\r\n\r\nabcdefg", false},
    {"a_body_that_waits_for_leave",
     "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 100 ",
     "abc", "\r\n\r\nabc", false},
    {"a_body_that_gets_no_leave",
     "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100001\r\n\r\n", NULL, NULL,
     "HTTP/1.1 413 ", true},
    {"another_coding", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n", NULL, NULL,
     "HTTP/1.1 400 ", true},
    {"two_lengths",
     "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     NULL, NULL, "HTTP/1.1 400 ", true},
    {"a_NUL_in_the_path", "POST /%00echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", NULL, NULL,
     "HTTP/1.1 400 ", false},
    {"two_at_once",
     "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naPOST /echo HTTP/1.1\r\nHost: "
     "x\r\nContent-Length: "
     "2\r\n\r\nbc",
     NULL, NULL, "\r\n\r\nbc", false},
};

static void test_talk(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fixture f;
    open_server(&f, NULL, NULL);
    say(&f, talks[i].say);
    if (talks[i].between)
        LOOK(hear(&f, talks[i].between));
    if (talks[i].then)
        say(&f, talks[i].then);
    LOOK(hear(&f, talks[i].hear));
    g_assert_nonnull(strstr(f.heard->str, talks[i].hear));
    if (talks[i].ends)
        LOOK(hear(&f, NULL));
    g_assert_cmpint(f.ended, ==, talks[i].ends);
    close_server(&f);
}

static void test_head_beyond_its_bound_is_refused(void)
{
    struct fixture f;
    g_autofree char *filler = g_strnfill(40000, 'x');
    g_autofree char *text = g_strdup_printf("GET /keep HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", filler);
    open_server(&f, NULL, NULL);
    say(&f, text);
    LOOK(hear(&f, NULL));
    g_assert_null(f.kept);
    g_assert_null(strstr(f.heard->str, " 200 "));
    close_server(&f);
}

static bool is_last_chunk(const GString *text)
{
    static const char last[] = "\r\n0\r\n\r\n";
    size_t len = sizeof last - 1;
    return text->len >= len && memcmp(text->str + text->len - len, last, len) == 0;
}

/* More than the kernel's buffers take is not made before it is read. */
static void test_large_answer_is_made_as_it_is_read(void)
{
    struct fixture f;
    open_server(&f, &(struct http_server_options){.request_ms = 300}, NULL);
    say(&f, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    LOOK(http_server_counters(f.server).slow_clients == 1);
    g_assert_cmpuint(f.pieces, <, LARGE / PIECE / 2);
    LOOK(f.gone && http_server_counters(f.server).connections == 0);
    g_clear_object(&f.client);
    dial(&f);
    f.gone = false;
    f.pieces = 0;
    say(&f, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    LOOK(hear(&f, NULL) || is_last_chunk(f.heard));
    g_assert_false(f.ended);
    g_assert_cmpuint(f.heard->len, >, LARGE);
    LOOK(f.gone);
    close_server(&f);
}

/* Packed for who asks, and only where the answer may be; a thousand times less is kept than is said. */
static const struct {
    const char *name, *path, *accept, *coding, *vary;
} packings[] = {
    {"asked_for", "/packed", "Accept-Encoding: gzip\r\n", "Content-Encoding: gzip\r\n",
     "Vary: Accept-Encoding\r\n"},
    {"not_asked_for", "/packed", "", NULL, "Vary: Accept-Encoding\r\n"},
    {"refused", "/packed", "Accept-Encoding: gzip;q=0, deflate\r\n", NULL, "Vary: Accept-Encoding\r\n"},
    {"of_a_path_that_never_is", "/large", "Accept-Encoding: gzip\r\n", NULL, NULL},
};

static void test_packing(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fixture f;
    g_autofree char *request =
        g_strdup_printf("GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", packings[i].path, packings[i].accept);
    open_server(&f, NULL, NULL);
    say(&f, request);
    LOOK(hear(&f, NULL) || is_last_chunk(f.heard));
    g_assert_cmpint(strstr(f.heard->str, "Content-Encoding") != NULL, ==, packings[i].coding != NULL);
    g_assert_true(!packings[i].coding || strstr(f.heard->str, packings[i].coding));
    g_assert_cmpint(strstr(f.heard->str, "Vary") != NULL, ==, packings[i].vary != NULL);
    g_assert_true(!packings[i].vary || strstr(f.heard->str, packings[i].vary));
    g_assert_cmpuint(f.pieces * (size_t)PIECE, >=, LARGE);
    if (packings[i].coding)
        g_assert_cmpuint(f.heard->len, <, LARGE / 50);
    else
        g_assert_cmpuint(f.heard->len, >, LARGE);
    close_server(&f);
}

static void test_client_that_leaves_is_seen(void)
{
    struct fixture f;
    open_server(&f, NULL, NULL);
    say(&f, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n");
    LOOK(f.kept);
    g_assert_false(http_is_gone(f.kept));
    g_io_stream_close(G_IO_STREAM(f.client), NULL, NULL);
    g_assert_true(http_is_gone(f.kept)); /* at once, */
    LOOK(http_server_counters(f.server).connections == 0);
    g_assert_true(http_is_gone(f.kept)); /* and afterwards */
    http_drop(f.kept);
    close_server(&f);
}

static void test_answered_too_late_is_gone(void)
{
    struct fixture f;
    open_server(&f, &(struct http_server_options){.answer_ms = 30}, NULL);
    say(&f, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n");
    LOOK(hear(&f, "HTTP/1.1 503 "));
    g_assert_true(http_is_gone(f.kept));
    http_drop(f.kept);
    close_server(&f);
}

/* ---- TLS ------------------------------------------------------------------- */

static void make_identity(struct tls_pem *ret)
{
    static const char *const names[] = {"127.0.0.1", NULL};
    g_auto(TlsPem) ca = {0};
    GError *error = NULL;
    g_assert_true(tls_make_ca("ca", 10 * TLS_DAY_S, &ca, &error) &&
                  tls_make_server(&ca, "one", names, 10 * TLS_DAY_S, ret, &error));
}

struct session {
    gnutls_session_t tls;
    gnutls_certificate_credentials_t credentials;
    int rc;
};

static void session_open(struct session *s, struct fixture *f, const char *priorities)
{
    static char h2[] = "h2", http[] = "http/1.1";
    gnutls_datum_t protocols[] = {{(unsigned char *)h2, 2}, {(unsigned char *)http, 8}};
    gnutls_init(&s->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
    gnutls_certificate_allocate_credentials(&s->credentials);
    gnutls_credentials_set(s->tls, GNUTLS_CRD_CERTIFICATE, s->credentials);
    g_assert_cmpint(gnutls_priority_set_direct(s->tls, priorities, NULL), ==, 0);
    gnutls_alpn_set_protocols(s->tls, protocols, 2, 0);
    gnutls_transport_set_int(s->tls, g_socket_get_fd(socket_of(f)));
    LOOK((s->rc = gnutls_handshake(s->tls)) == 0 || gnutls_error_is_fatal(s->rc));
}

static void session_close(struct session *s)
{
    gnutls_deinit(s->tls);
    gnutls_certificate_free_credentials(s->credentials);
}

static const struct {
    const char *name, *priorities;
    bool ok;
} versions[] = {
    {"tls_1_3", "NORMAL:-VERS-ALL:+VERS-TLS1.3", true},
    {"tls_1_2", "NORMAL:-VERS-ALL:+VERS-TLS1.2", true},
    {"tls_1_1", "NORMAL:-VERS-ALL:+VERS-TLS1.1", false},
};

static void test_version(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fixture f;
    struct session s;
    g_auto(TlsPem) identity = {0};
    gnutls_datum_t chosen = {0};
    make_identity(&identity);
    open_server(&f, NULL, &identity);
    session_open(&s, &f, versions[i].priorities);
    g_assert_cmpint(s.rc == 0, ==, versions[i].ok);
    if (versions[i].ok) {
        g_assert_cmpint(gnutls_alpn_get_selected_protocol(s.tls, &chosen), ==, 0);
        g_assert_true(chosen.size == 8 &&
                      memcmp(chosen.data, "http/1.1", 8) == 0); /* HTTP/2 is not offered */
    } else {
        LOOK(http_server_counters(f.server).refused_handshakes == 1);
    }
    session_close(&s);
    close_server(&f);
}

/* The server's sending, counted (linked with --wrap). */
static unsigned sent;
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    sent++;
    return __real_sendmsg(fd, message, flags);
}

static void test_tls_answer_comes_as_one(void)
{
    static const char request[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    struct fixture f;
    struct session s;
    char buffer[4096];
    g_auto(TlsPem) identity = {0};
    make_identity(&identity);
    open_server(&f, NULL, &identity);
    session_open(&s, &f, "NORMAL");
    g_assert_cmpint(s.rc, ==, 0);
    for (int i = 0; i < 3; i++) {
        unsigned before = sent;
        ssize_t n;
        g_string_truncate(f.heard, 0);
        g_assert_cmpint(gnutls_record_send(s.tls, request, sizeof request - 1), ==, sizeof request - 1);
        while (!strstr(f.heard->str, "\r\n\r\nabc")) {
            LOOK((n = gnutls_record_recv(s.tls, buffer, sizeof buffer)) != GNUTLS_E_AGAIN);
            g_assert_cmpint(n, >, 0);
            g_string_append_len(f.heard, buffer, n);
        }
        g_assert_cmpuint(sent - before, ==, 1);
    }
    session_close(&s);
    close_server(&f);
}

static void test_tls_carries_a_large_answer(void)
{
    static const char request[] = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    struct fixture f;
    struct session s;
    char buffer[32768];
    size_t total = 0;
    ssize_t n;
    g_auto(TlsPem) identity = {0};
    make_identity(&identity);
    open_server(&f, NULL, &identity);
    session_open(&s, &f, "NORMAL");
    gnutls_record_send(s.tls, request, sizeof request - 1);
    while (total < LARGE) {
        LOOK((n = gnutls_record_recv(s.tls, buffer, sizeof buffer)) != GNUTLS_E_AGAIN);
        g_assert_cmpint(n, >, 0);
        total += (size_t)n;
    }
    LOOK(f.gone);
    session_close(&s);
    close_server(&f);
}

static void add_rows(const char *group, size_t i, const char *name, GTestDataFunc test)
{
    g_autofree char *path = g_strdup_printf("/net/http_wire/%s/%s", group, name);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/net/http_wire/" #name, test_##name)
    for (size_t i = 0; i < G_N_ELEMENTS(talks); i++)
        add_rows("talk", i, talks[i].name, test_talk);
    ADD(head_beyond_its_bound_is_refused);
    ADD(large_answer_is_made_as_it_is_read);
    for (size_t i = 0; i < G_N_ELEMENTS(packings); i++)
        add_rows("packing", i, packings[i].name, test_packing);
    ADD(client_that_leaves_is_seen);
    ADD(answered_too_late_is_gone);
    for (size_t i = 0; i < G_N_ELEMENTS(versions); i++)
        add_rows("version", i, versions[i].name, test_version);
    ADD(tls_answer_comes_as_one);
    ADD(tls_carries_a_large_answer);
    return g_test_run();
}
