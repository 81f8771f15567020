/* SPDX-License-Identifier: Apache-2.0
 *
 * What judges the scheduler must itself be right: the checker finds each kind
 * of wrong assignment, the cluster is the one that was specified, and a replay
 * loses and invents nothing.
 */
#include <glib/gstdio.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "fake.h"

#define PODS "/api/v1/namespaces/bench/pods"
#define NODE "gpu-node-00000.pool.internal"

/* The JSON that replay printed last; *ret_status its exit status. Further arguments up to NULL. */
static json_t *replay(int *ret_status, ...) G_GNUC_NULL_TERMINATED;
static json_t *replay(int *ret_status, ...)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_autofree char *out = NULL;
    GError *error = NULL;
    va_list rest;
    g_ptr_array_add(args, (char *)(uintptr_t)g_getenv("HAMI_REPLAY"));
    va_start(rest, ret_status);
    for (char *a; (a = va_arg(rest, char *));)
        g_ptr_array_add(args, a);
    va_end(rest);
    g_ptr_array_add(args, NULL);
    g_spawn_sync(NULL, (char **)args->pdata, NULL, 0, NULL, NULL, &out, NULL, ret_status, &error);
    g_assert_no_error(error);
    char *last = strrchr(g_strchomp(out), '\n');
    return json_loads(last ? last + 1 : out, 0, NULL);
}

static gint64 number(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    g_assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* The ids of the node's cards. */
static char **cards(struct fake *f)
{
    json_t *node = fake_call(f, 200, "GET", "/api/v1/nodes/" NODE, "", "");
    json_t *list = json_loads(fake_annotation(node, "hami.io/node-nvidia-register"), 0, NULL);
    GStrvBuilder *b = g_strv_builder_new();
    for (size_t i = 0; i < json_array_size(list); i++)
        g_strv_builder_add(b, json_string_value(json_object_get(json_array_get(list, i), "id")));
    json_decref(list);
    json_decref(node);
    char **ids = g_strv_builder_end(b);
    g_strv_builder_unref(b);
    g_assert_cmpuint(g_strv_length(ids), ==, 8);
    return ids;
}

struct pod {
    unsigned gpus, mem_mib, cores;
    const char *assigned; /* $0 ... $7 are the cards; NULL: no annotation */
    const char *node;     /* what the annotation says; NULL: the right one */
};

static void bind(struct fake *f, char **ids, const char *name, const struct pod *p)
{
    g_autofree char *pod = g_strdup_printf(
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":"
        "{"
        "\"nvidia.com/gpu\":\"%u\",\"nvidia.com/gpumem\":\"%u\",\"nvidia.com/gpucores\":\"%u\"}}}]}}",
        name, p->gpus, p->mem_mib, p->cores);
    g_autofree char *path = g_strdup_printf(PODS "/%s/binding", name);
    g_autoptr(GString) assigned = g_string_new(p->assigned ? p->assigned : "");
    for (unsigned i = 0; i < 8; i++) {
        char word[3] = {'$', (char)('0' + i), 0};
        g_string_replace(assigned, word, ids[i], 0);
    }
    g_autofree char *binding =
        g_strdup_printf("{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"hami.io/vgpu-node\":\"%s\","
                        "\"hami.io/vgpu-devices-allocated\":\"%s\"}},\"target\":{\"name\":\"" NODE "\"}}",
                        name, p->node ? p->node : NODE, assigned->str);
    fake_done(f, 201, "POST", PODS, "application/json", pod);
    fake_done(f, 201, "POST", path, "application/json", binding);
}

/* Cards: 143 771 MiB, 100 cores, 10 slots. */
static void check_finds_each_kind_of_wrong_assignment(void)
{
    static const struct {
        const char *what;
        int violations;
        struct pod pods[12];
    } rows[] = {
        {"all is well",
         0,
         {{1, 71885, 50, "$0,NVIDIA,71885,50:;", 0},
          {1, 71886, 50, "$0,NVIDIA,71886,50:;", 0},
          {2, 10, 5, "$1,NVIDIA,10,5:$2,NVIDIA,10,5:;", 0}}},
        {"one MiB too much",
         1,
         {{1, 71886, 10, "$0,NVIDIA,71886,10:;", 0}, {1, 71886, 10, "$0,NVIDIA,71886,10:;", 0}}},
        {"one core too much", 1, {{1, 10, 50, "$3,NVIDIA,10,50:;", 0}, {1, 10, 51, "$3,NVIDIA,10,51:;", 0}}},
        {"eleven slots of ten",
         1,
         {{1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0},
          {1, 1, 1, "$0,NVIDIA,1,1:;", 0}}},
        {"no assignment", 1, {{1, 10, 10, NULL, 0}}},
        {"assignment on another node", 1, {{1, 10, 10, "$0,NVIDIA,10,10:;", "other"}}},
        {"a card that is not there", 1, {{1, 10, 10, "GPU-none,NVIDIA,10,10:;", 0}}},
        {"one card for two", 1, {{2, 10, 10, "$0,NVIDIA,10,10:;", 0}}},
        {"the same card twice", 1, {{2, 10, 10, "$0,NVIDIA,10,10:$0,NVIDIA,10,10:;", 0}}},
        {"less memory than asked for", 1, {{1, 11, 10, "$0,NVIDIA,10,10:;", 0}}},
        {"fewer cores than asked for", 1, {{1, 10, 11, "$0,NVIDIA,10,10:;", 0}}},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct fake f;
        int status;
        fake_start(&f, "--nodes", "1", "--pods-per-card", "0", NULL);
        g_auto(GStrv) ids = cards(&f);
        for (unsigned k = 0; rows[i].pods[k].gpus; k++) {
            g_autofree char *name = g_strdup_printf("p%u", k);
            bind(&f, ids, name, &rows[i].pods[k]);
        }
        g_test_message("%s", rows[i].what);
        json_t *found = replay(&status, "check", "--api", f.url, NULL);
        g_assert_cmpint(number(found, "violation_count"), ==, rows[i].violations);
        g_assert_cmpint(status != 0, ==, rows[i].violations != 0);
        json_decref(found);
        fake_stop(&f);
    }
}

static void a_generated_cluster_has_no_violation(void)
{
    struct fake f;
    int status;
    fake_start(&f, "--nodes", "50", "--seed", "3", NULL);
    json_t *found = replay(&status, "check", "--api", f.url, NULL);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(number(found, "bound"), ==, 800);
    json_decref(found);
    fake_stop(&f);
}

/* performance.md 10.3: 8 cards of 143 771 MiB, 10 slots, 100 cores; two pods a card, of which 20 % hold all
 * of a card, 30 % a half, 50 % a quarter. */
static void the_generated_cluster_is_as_specified(void)
{
    struct fake f;
    unsigned shares[101] = {0}, cards = 0;
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    fake_start(&f, "--nodes", "100", "--seed", "5", NULL);
    json_t *nodes = fake_call(&f, 200, "GET", "/api/v1/nodes", "", ""),
           *pods = fake_call(&f, 200, "GET", "/api/v1/pods", "", "");
    size_t i, k;
    json_t *item, *card;
    json_array_foreach(json_object_get(nodes, "items"), i, item)
    {
        json_t *annotations = json_object_get(json_object_get(item, "metadata"), "annotations");
        json_t *registered = json_loads(
            json_string_value(json_object_get(annotations, "hami.io/node-nvidia-register")), 0, NULL);
        g_assert_cmpuint(json_array_size(registered), ==, 8);
        json_array_foreach(registered, k, card)
        {
            const char *id;
            int count, mem, cores, index = 0, healthy;
            g_assert_cmpint(json_unpack(card, "{s:s, s:i, s:i, s:i, s?i, s:b}", "id", &id, "count", &count,
                                        "devmem", &mem, "devcore", &cores, "index", &index, "health",
                                        &healthy),
                            ==, 0);
            g_assert_true(count == 10 && mem == 143771 && cores == 100 && index == (int)k && healthy);
            g_autofree char *key = g_strdup_printf("%s %s", fake_text_at(item, "metadata/name"), id);
            g_assert_true(g_hash_table_insert(used, g_steal_pointer(&key), GUINT_TO_POINTER(0)));
            cards++;
        }
        json_decref(registered);
    }
    json_array_foreach(json_object_get(pods, "items"), i, item)
    {
        json_t *annotations = json_object_get(json_object_get(item, "metadata"), "annotations");
        const char *text = json_string_value(json_object_get(annotations, "hami.io/vgpu-devices-allocated"));
        g_auto(GStrv) fields = g_strsplit(text, ",", 4);
        g_autofree char *key = g_strdup_printf("%s %s", fake_text_at(item, "spec/nodeName"), fields[0]);
        void *sum;
        g_assert_true(g_hash_table_lookup_extended(used, key, NULL, &sum));
        unsigned cores = (unsigned)g_ascii_strtoull(fields[3], NULL, 10);
        shares[cores]++;
        g_assert_cmpuint(GPOINTER_TO_UINT(sum) + cores, <=, 100);
        g_assert_cmpuint(g_ascii_strtoull(fields[2], NULL, 10), ==, 143771u * cores / 100);
        g_hash_table_replace(used, g_steal_pointer(&key), GUINT_TO_POINTER(GPOINTER_TO_UINT(sum) + cores));
    }
    g_assert_cmpuint(cards, ==, 800);
    g_assert_cmpuint(json_array_size(json_object_get(pods, "items")), ==, 1600);
    g_assert_true(shares[100] == 320 && shares[50] == 480 && shares[25] == 800);
    json_decref(nodes);
    json_decref(pods);
    fake_stop(&f);
}

/* A server with its kubeconfig, and an extender on it. */
static void start_both(struct fake *server, struct fake *extender)
{
    GError *error = NULL;
    char *folder = g_dir_make_tmp("hami-replay-XXXXXX", &error);
    g_assert_no_error(error);
    char *config = g_build_filename(folder, "kubeconfig", NULL);
    fake_start(server, "--nodes", "20", "--kubeconfig", config, NULL);
    fake_start_extender(extender, config);
    g_unlink(config);
    g_rmdir(folder);
    g_free(folder);
    g_free(config);
}

static void every_arrival_is_bound_once_and_leaves(void)
{
    struct fake server, extender;
    int status;
    start_both(&server, &extender);
    json_t *r = replay(&status, "arrive", "--api", server.url, "--extender", extender.url, "--count", "600",
                       "--keep", "100", "--mix", NULL);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(number(r, "bound"), ==, 600);
    g_assert_cmpint(number(r, "lost") + number(r, "gone") + number(r, "unschedulable"), ==, 0);
    json_decref(r);
    json_t *left = fake_call(&server, 200, "GET", PODS, "", "");
    g_assert_cmpuint(json_array_size(json_object_get(left, "items")), ==, 100);
    json_decref(left);
    fake_stop(&extender);
    fake_stop(&server);
}

/* Errors, lost replies and cut connections on every side: still each pod comes to its end. */
static void faults_lose_no_arrival(void)
{
    struct fake server, extender;
    int status;
    start_both(&server, &extender);
    fake_done(&server, 200, "POST", "/control/set?errors=0.1", "", "");
    json_t *r = replay(&status, "arrive", "--api", server.url, "--extender", extender.url, "--count", "300",
                       "--keep", "300", NULL);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(number(r, "bound"), ==, 300);
    g_assert_cmpint(number(r, "late_binds"), >, 0);
    g_assert_cmpint(number(r, "bind_errors"), >, 0);
    json_decref(r);
    fake_done(&server, 200, "POST", "/control/set?errors=0", "", "");
    json_t *left = fake_call(&server, 200, "GET", PODS, "", ""), *pod;
    size_t i;
    g_assert_cmpuint(json_array_size(json_object_get(left, "items")), ==, 300);
    json_array_foreach(json_object_get(left, "items"), i, pod)
    {
        g_assert_cmpstr(fake_text_at(pod, "spec/nodeName"), !=, "");
    }
    json_decref(left);
    fake_stop(&extender);
    fake_stop(&server);
}

/* An extender that is not there: the pods are lost, and that is said. */
static void without_an_extender_arrivals_are_lost(void)
{
    struct fake server;
    int status;
    fake_start(&server, "--nodes", "5", NULL);
    json_t *r = replay(&status, "arrive", "--api", server.url, "--extender", "http://127.0.0.1:1", "--count",
                       "10", "--seconds", "0.5", NULL);
    g_assert_cmpint(status, !=, 0);
    g_assert_cmpint(number(r, "lost"), ==, 10);
    json_decref(r);
    fake_stop(&server);
}

/* performance.md 4.5: kube-scheduler's sample, and the sizes its bodies have at 29-byte names and a 2 KB pod.
 */
static void filter_asks_as_kube_scheduler_does(void)
{
    static const struct {
        const char *nodes;
        int candidates, bytes;
    } rows[] = {{"100", 100, 5000}, {"1000", 420, 14900}, {"5000", 500, 17400}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct fake server, extender;
        int status;
        g_autofree char *folder = g_dir_make_tmp("hami-replay-XXXXXX", NULL),
                        *config = g_build_filename(folder, "kubeconfig", NULL);
        fake_start(&server, "--nodes", rows[i].nodes, "--pods-per-card", "0", "--kubeconfig", config, NULL);
        fake_start_extender(&extender, config);
        json_t *r = replay(&status, "filter", "--api", server.url, "--extender", extender.url, "--count",
                           "20", "--warmup", "0", NULL);
        g_assert_cmpint(number(r, "candidates"), ==, rows[i].candidates);
        g_assert_cmpint(number(r, "request_bytes"), >, rows[i].bytes * 9 / 10);
        g_assert_cmpint(number(r, "request_bytes"), <, rows[i].bytes * 12 / 10);
        g_assert_cmpint(number(r, "fit"), ==, 20);
        json_decref(r);
        g_unlink(config);
        g_rmdir(folder);
        fake_stop(&extender);
        fake_stop(&server);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/replay/" #name, name)
    ADD(check_finds_each_kind_of_wrong_assignment);
    ADD(a_generated_cluster_has_no_violation);
    ADD(the_generated_cluster_is_as_specified);
    ADD(every_arrival_is_bound_once_and_leaves);
    ADD(faults_lose_no_arrival);
    ADD(without_an_extender_arrivals_are_lost);
    ADD(filter_asks_as_kube_scheduler_does);
    return g_test_run();
}
