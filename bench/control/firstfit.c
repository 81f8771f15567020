/* SPDX-License-Identifier: Apache-2.0
 *
 * An extender that decides nothing: the first candidate is the node, a bind is
 * one Binding. What a contract costs when the work behind it is free, so the
 * arm every other extender is compared with.
 *
 *   first-fit --kubeconfig FILE --http_bind 127.0.0.1:PORT
 *
 * Takes the command line of a real one and leaves out what it does not know. One thread per connection.
 */
#include <arpa/inet.h>
#include <glib.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/control/http.h"

static char api_url[96];

struct caller {
    int fd;
    GString *in;
    struct http api;
};

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/* One whole request at the start of c->in. Its body's place and size; 0 when the caller is gone. */
static size_t next_request(struct caller *c, size_t *ret_head)
{
    for (;;) {
        char *end = strstr(c->in->str, "\r\n\r\n");
        if (end) {
            const char *length = strcasestr(c->in->str, "\r\nContent-Length:");
            size_t size = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
            *ret_head = (size_t)(end + 4 - c->in->str);
            if (c->in->len >= *ret_head + size)
                return *ret_head + size;
        }
        char buffer[64 << 10];
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n <= 0)
            return 0;
        g_string_append_len(c->in, buffer, n);
    }
}

/* The first of NodeNames, without reading the rest. */
static void filter(const char *body, GString *out)
{
    const char *names = strstr(body, "\"NodeNames\":[\""), *name = names ? names + 14 : NULL;
    size_t size = name ? strcspn(name, "\"") : 0;
    g_string_printf(out,
                    "{\"Nodes\":null,\"NodeNames\":[\"%.*s\"],\"FailedNodes\":null,"
                    "\"FailedAndUnresolvableNodes\":null,\"Error\":\"%s\"}",
                    (int)size, name ? name : "", name ? "" : "no candidates");
}

static void bind_pod(struct caller *c, const char *body, size_t size, GString *out)
{
    const char *name, *namespace, *uid, *node;
    json_t *args = json_loadb(body, size, 0, NULL);
    int code = -1;
    if (json_unpack(args, "{s:s, s:s, s:s, s:s}", "PodName", &name, "PodNamespace", &namespace, "PodUID",
                    &uid, "Node", &node) == 0) {
        g_autofree char *path = g_strdup_printf("/api/v1/namespaces/%s/pods/%s/binding", namespace, name);
        g_autofree char *binding = g_strdup_printf(
            "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\"},"
            "\"target\":{\"kind\":\"Node\",\"name\":\"%s\"}}",
            name, uid, node);
        code = http_call(&c->api, "POST", path, "application/json", binding, strlen(binding));
    }
    json_decref(args);
    if (code == 201)
        g_string_assign(out, "{\"Error\":\"\"}");
    else
        g_string_printf(out, "{\"Error\":\"binding failed with status %d\"}", code);
}

static void *serve(void *user)
{
    struct caller c = {.fd = GPOINTER_TO_INT(user), .in = g_string_new(NULL)};
    g_autoptr(GString) out = g_string_new(NULL), reply = g_string_new(NULL);
    size_t head, size;
    if (!http_init(&c.api, api_url, "first-fit"))
        return NULL;
    while ((size = next_request(&c, &head))) {
        char kept = c.in->str[size];
        c.in->str[size] = 0;
        g_string_truncate(out, 0);
        bool known = true;
        if (g_str_has_prefix(c.in->str, "POST /filter "))
            filter(c.in->str + head, out);
        else if (g_str_has_prefix(c.in->str, "POST /bind "))
            bind_pod(&c, c.in->str + head, size - head, out);
        else
            known =
                g_str_has_prefix(c.in->str, "GET /readyz ") || g_str_has_prefix(c.in->str, "GET /healthz ");
        c.in->str[size] = kept;
        g_string_erase(c.in, 0, (gssize)size);
        g_string_printf(reply,
                        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        known ? "200 OK" : "404 Not Found", out->len, out->str);
        if (!send_all(c.fd, reply->str, reply->len))
            break;
    }
    http_clear(&c.api);
    g_string_free(c.in, TRUE);
    close(c.fd);
    return NULL;
}

/* The server of a kubeconfig that bench/control/fake-apiserver wrote. */
static bool read_server(const char *path)
{
    g_autofree char *text = NULL;
    const char *server;
    if (!path || !g_file_get_contents(path, &text, NULL, NULL) || !(server = strstr(text, "server: ")))
        return false;
    g_strlcpy(api_url, server + 8, MIN(sizeof api_url, strcspn(server + 8, " \n") + 1));
    return true;
}

static int listen_on(const char *address)
{
    g_auto(GStrv) parts = g_strsplit(address, ":", 2);
    struct sockaddr_in a = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!parts[0] || !parts[1] || inet_pton(AF_INET, parts[0], &a.sin_addr) != 1)
        return -1;
    a.sin_port = htons((uint16_t)strtoul(parts[1], NULL, 10));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 128) == 0 ? fd : -1;
}

static void on_term(int number)
{
    (void)number;
    _exit(0);
}

static void announce(int listener)
{
    struct sockaddr_in a;
    socklen_t size = sizeof a;
    getsockname(listener, (struct sockaddr *)&a, &size);
    g_print("first-fit ready on http://127.0.0.1:%u\n", ntohs(a.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *config = NULL, *address = "127.0.0.1:8080";
    for (int i = 1; i + 1 < argc; i++) {
        config = strcmp(argv[i], "--kubeconfig") == 0 ? argv[i + 1] : config;
        address = strcmp(argv[i], "--http_bind") == 0 ? argv[i + 1] : address;
    }
    int listener = read_server(config) ? listen_on(address) : -1;
    if (listener < 0) {
        g_printerr("first-fit: no server in --kubeconfig %s, or cannot listen on --http_bind %s\n",
                   config ? config : "(none)", address);
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, on_term);
    announce(listener);
    for (;;) {
        int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        g_thread_unref(g_thread_new("caller", serve, GINT_TO_POINTER(fd)));
    }
}
