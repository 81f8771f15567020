/* SPDX-License-Identifier: Apache-2.0
 *
 * What it costs to learn a pod from its JSON, which the scheduler does for
 * every pod of a cluster when it starts, and what admission of one costs:
 *
 *     bench-read-pod POD.json...
 *
 * A figure per file; the targets are for pods of 3 KB.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/measure.h"
#include "vendor/admit.h"
#include "vendor/config.h"

#define ROUNDS 25
#define BEST (ROUNDS / 10) /* of sorted rounds: neighbours on the machine only add time */

struct bench {
    const struct family_set *set;
    const struct pod_reader *reader;
    char *text;
    size_t len;
};

static const struct pod_defaults defaults = {.node_policy = "binpack", .card_policy = "spread"};

static void parse(const struct bench *b)
{
    struct pod_object pod;
    const char *why;
    if (!pod_object_parse(b->reader, b->text, b->len, &pod, &why))
        g_error("no pod: %s", why);
    pod_object_clear(&pod);
}

static void parse_request(const struct bench *b)
{
    struct pod_object pod;
    struct pod_request request;
    const char *fault;
    g_autofree char *why = NULL;
    if (!pod_object_parse(b->reader, b->text, b->len, &pod, &fault))
        g_error("no pod: %s", fault);
    if (vendor_request_parse(b->set, &pod, &defaults, &request, NULL, &why))
        pod_request_clear(&request);
    pod_object_clear(&pod);
}

static void admit(const struct bench *b)
{
    const struct admit_policy policy = {
        .scheduler_name = "hami-scheduler", .trusted = true, .defaults = defaults};
    struct admit_result result;
    vendor_admit_text(b->set, b->reader, &policy, b->text, b->len, "default", &result);
    admit_result_clear(&result);
}

static double one_us(const struct bench *b, void (*f)(const struct bench *b))
{
    enum { TIMES = 1000 };
    double us[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        double start = now_ns();
        for (int i = 0; i < TIMES; i++)
            f(b);
        us[r] = (now_ns() - start) / TIMES / 1000;
    }
    qsort(us, ROUNDS, sizeof *us, by_value);
    return us[BEST];
}

static void measure(struct bench *b, const char *path)
{
    g_autofree char *name = g_path_get_basename(path);
    GError *error = NULL;
    if (!g_file_get_contents(path, &b->text, &b->len, &error))
        g_error("%s", error->message);
    printf("%s, %zu bytes\n", name, b->len);
    printf("pod object read                     target <= 10 us  read %.2f us\n", one_us(b, parse));
    printf("pod object and request read         target <= 15 us  read %.2f us\n", one_us(b, parse_request));
    printf("pod read, judged and patched        target <= 50 us  took %.2f us\n", one_us(b, admit));
    g_free(b->text);
}

int main(int argc, char **argv)
{
    static const struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    GError *error = NULL;
    g_autoptr(FamilySet) set = vendor_config_parse(NULL, 0, &all, NULL, &error);
    if (!set || argc < 2) {
        fprintf(stderr, "%s\n", error ? error->message : "bench-read-pod POD.json...");
        return 2;
    }
    g_autoptr(PodReader) reader = pod_reader_new(set);
    struct bench b = {.set = set, .reader = reader};
    for (int i = 1; i < argc; i++)
        measure(&b, argv[i]);
    return 0;
}
