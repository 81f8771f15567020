/* SPDX-License-Identifier: Apache-2.0
 *
 * What agents write about a node. Expected texts and figures are those of
 * scheduler.md sections 3.2 - 3.4 and 3.7 and of vendors.md sections 2.2, 3 and 9.
 */
#include "model/node_codec.h"

#include <stdlib.h>
#include <string.h>

#include "model/quantity.h"
#include "tests/unit/model/families.h"
#include "tests/unit/seed.h"

#define A100_PROFILES                                                                                        \
    "[{\"name\":\"1g.5gb\",\"memoryMB\":4864,\"core\":15,\"sliceCount\":1,\"placements\":[{\"start\":6,"     \
    "\"size\":1},{\"start\":0,\"size\":1}]}]"

struct text_row {
    const char *name, *family, *text;
    const char *want; /* the canonical text; NULL = refused */
    const char *why;  /* part of the reason */
};

static const struct text_row rows[] = {
    /* colon */
    {"seven fields are an old agent's", "DCU",
     "a,4,16384,100,DCU-X,0,true:", "a,4,16384,100,DCU-X,0,true,0,hami-core:", NULL},
    {"nine fields", "DCU", "GPU-1,10,7680,100,NVIDIA-Tesla P4,0,true,1,hami-core:",
     "GPU-1,10,7680,100,NVIDIA-Tesla P4,0,true,1,hami-core:", NULL},
    {"two devices come in the order of their index", "DCU",
     "b,1,2,3,T,0,false,1,hami-core:a,1,2,3,T,0,T,0,hami-core:",
     "a,1,2,3,T,0,true,0,hami-core:b,1,2,3,T,0,false,1,hami-core:", NULL},
    {"the last colon may be missing", "MR-V100", "a,1,2,3,T,0,1:b,1,2,3,T,0,f",
     "a,1,2,3,T,0,true,0,hami-core:b,1,2,3,T,0,false,0,hami-core:", NULL},
    {"an unknown NUMA node", "DCU", "a,1,2,3,T,-1,true,0,:", "a,1,2,3,T,-1,true,0,:", NULL},
    {"only separators are no devices", "DCU", "::", "", NULL},
    {"an empty segment between devices", "DCU", "a,1,2,3,T,0,true::b,1,2,3,T,0,true:",
     "a,1,2,3,T,0,true,0,hami-core:b,1,2,3,T,0,true,0,hami-core:", NULL},
    {"Go's other words for healthy", "DCU", "a,1,2,3,T,0,t:b,1,2,3,T,0,TRUE:c,1,2,3,T,0,True:",
     "a,1,2,3,T,0,true,0,hami-core:b,1,2,3,T,0,true,0,hami-core:c,1,2,3,T,0,true,0,hami-core:", NULL},
    {"Go's words for unhealthy", "DCU", "a,1,2,3,T,0,0:b,1,2,3,T,0,F:c,1,2,3,T,0,False:d,1,2,3,T,0,FALSE:",
     "a,1,2,3,T,0,false,0,hami-core:b,1,2,3,T,0,false,0,hami-core:"
     "c,1,2,3,T,0,false,0,hami-core:d,1,2,3,T,0,false,0,hami-core:",
     NULL},
    {"eight fields", "DCU", "a,4,16384,100,DCU-X,0,true,0:", NULL, "8 fields"},
    {"no colon", "DCU", "a,4,16384,100,DCU-X,0,true", NULL, "no colon"},
    {"nothing", "DCU", "", NULL, "no colon"},
    {"a segment without commas", "DCU", "a,4,1,1,X,0,true:rubbish:", NULL,
     "device 1: \"rubbish\" has no commas"},
    {"memory below zero", "DCU", "a,4,-1,100,X,0,true:", NULL, "device 0: devmem -1 is negative"},
    {"memory that is no number", "DCU", "a,4,NaN,100,X,0,true:", NULL, "devmem \"NaN\" is not an integer"},
    {"memory with a fraction", "DCU", "a,4,1.5,100,X,0,true:", NULL, "devmem \"1.5\" is not an integer"},
    {"memory beyond 31 bits", "DCU", "a,4,2147483648,100,X,0,true:", NULL, "devmem 2147483648 is not within"},
    {"memory beyond 64 bits", "DCU", "a,4,99999999999999999999,100,X,0,true:", NULL, "is not an integer"},
    {"a blank in a number", "DCU", "a, 4,1,100,X,0,true:", NULL, "count \" 4\" is not an integer"},
    {"a NUMA node that is no number", "DCU", "a,4,1,100,X,zero,true:", NULL,
     "numa \"zero\" is not an integer"},
    {"health in a case that Go does not know", "DCU", "a,4,1,100,X,0,tRUE:", NULL, "health \"tRUE\""},
    {"health of another kind", "DCU", "a,4,1,100,X,0,yes:", NULL, "health \"yes\""},
    {"an index below zero", "DCU", "a,4,1,100,X,0,true,-1,hami-core:", NULL, "index -1 is negative"},
    {"two devices with one id", "DCU", "a,1,2,3,T,0,true:a,1,2,3,T,0,true:", NULL, "have the same id a"},
    {"no id", "DCU", ",1,2,3,T,0,true:", NULL, "id is missing"},
    /* JSON */
    {"what an NVIDIA agent writes", "NVIDIA",
     "[{\"id\":\"GPU-0\",\"index\":1,\"count\":10,\"devmem\":81920,\"devcore\":100,\"type\":\"NVIDIA-A100\","
     "\"numa\":1,\"mode\":\"mig\",\"migProfiles\":" A100_PROFILES ",\"health\":true}]",
     "[{\"id\":\"GPU-0\",\"index\":1,\"count\":10,\"devmem\":81920,\"devcore\":100,\"type\":\"NVIDIA-A100\","
     "\"numa\":1,\"mode\":\"mig\",\"migProfiles\":" A100_PROFILES ",\"health\":true}]",
     NULL},
    {"empty members are left out", "NVIDIA",
     "[{\"id\":\"GPU-0\",\"index\":0,\"count\":0,\"devmem\":0,\"devcore\":0,\"type\":\"\",\"numa\":0,"
     "\"mode\":\"\","
     "\"migProfiles\":[],\"health\":false}]",
     "[{\"id\":\"GPU-0\"}]", NULL},
    {"keys in any case, unknown ones and null", "NVIDIA",
     "[{\"ID\":\"GPU-0\",\"DevMem\":5,\"count\":null,\"migtemplate\":[[1]],\"devicevendor\":\"NVIDIA\",\"x\":"
     "{}}]",
     "[{\"id\":\"GPU-0\",\"devmem\":5}]", NULL},
    {"of two members the last one counts", "NVIDIA", "[{\"id\":\"a\",\"devmem\":5,\"devmem\":6}]",
     "[{\"id\":\"a\",\"devmem\":6}]", NULL},
    {"escapes come back as they are written", "NVIDIA",
     "[{\"id\":\"a\",\"type\":\"\\u003cB\\u0026\\\"\\\\\"}]",
     "[{\"id\":\"a\",\"type\":\"\\u003cB\\u0026\\\"\\\\\"}]", NULL},
    {"an empty array is no devices", "NVIDIA", "[]", "[]", NULL},
    {"null is no devices", "NVIDIA", "null", "[]", NULL},
    {"an Ascend network", "Ascend910B3",
     "[{\"id\":\"A-1\",\"count\":4,\"devmem\":65536,\"devcore\":20,\"type\":\"Ascend910B3\",\"health\":true,"
     "\"custominfo\":{\"NetworkID\":0}}]",
     "[{\"id\":\"A-1\",\"count\":4,\"devmem\":65536,\"devcore\":20,\"type\":\"Ascend910B3\",\"health\":true,"
     "\"custominfo\":{\"NetworkID\":0}}]",
     NULL},
    {"Biren's cores are always 100", "Biren", "[{\"id\":\"card_0\",\"devcore\":7}]",
     "[{\"id\":\"card_0\",\"devcore\":100}]", NULL},
    {"another family's mode does not matter", "AMD", "[{\"id\":\"a\",\"mode\":\"spx\"}]", "[{\"id\":\"a\"}]",
     NULL},
    {"JSON memory below zero", "NVIDIA", "[{\"id\":\"a\"},{\"id\":\"b\",\"devmem\":-1}]", NULL,
     "device 1: devmem -1 is negative"},
    {"JSON memory beyond 31 bits", "NVIDIA", "[{\"id\":\"a\",\"devmem\":2147483648}]", NULL,
     "devmem 2147483648 is not within"},
    {"JSON memory beyond 64 bits", "NVIDIA", "[{\"id\":\"a\",\"devmem\":1e400}]", NULL,
     "devmem 1e400 is not an integer"},
    {"JSON memory that is text", "NVIDIA", "[{\"id\":\"a\",\"devmem\":\"5\"}]", NULL,
     "devmem \"5\" is not an integer"},
    {"NaN", "NVIDIA", "[{\"id\":\"a\",\"devmem\":NaN}]", NULL, "device 0"},
    {"an id that is a number", "NVIDIA", "[{\"id\":5}]", NULL, "id 5 is not a string"},
    {"JSON without an id", "NVIDIA", "[{\"devmem\":5}]", NULL, "device 0: id is missing"},
    {"an id that would break the pods' annotation", "NVIDIA", "[{\"id\":\"a,b\"}]", NULL, "holds a comma"},
    {"a mode that nobody knows", "NVIDIA", "[{\"id\":\"a\",\"mode\":\"mog\"}]", NULL, "mode mog is none of"},
    {"the same id twice", "NVIDIA", "[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"a\"}]", NULL,
     "devices 0 and 2 have the same id a"},
    {"a placement beyond the card", "NVIDIA",
     "[{\"id\":\"a\",\"migProfiles\":[{\"name\":\"1g\",\"placements\":[{\"start\":15,\"size\":2}]}]}]", NULL,
     "a placement of size 2 at 15"},
    {"a placement of nothing", "NVIDIA",
     "[{\"id\":\"a\",\"migProfiles\":[{\"name\":\"1g\",\"placements\":[{\"start\":1}]}]}]", NULL,
     "a placement of size 0"},
    {"a profile without a name", "NVIDIA", "[{\"id\":\"a\",\"migProfiles\":[{\"core\":1}]}]", NULL,
     "MIG profile name is missing"},
    {"profiles that are no array", "NVIDIA", "[{\"id\":\"a\",\"migProfiles\":{}}]", NULL,
     "migProfiles is not an array"},
    {"a device that is no object", "NVIDIA", "[5]", NULL, "it is not an object"},
    {"a register that is no array", "NVIDIA", "{}", NULL, "not an array"},
    {"something behind the register", "NVIDIA", "[]]", NULL, "something follows"},
    {"a register that ends early", "NVIDIA", "[{\"id\":\"a\"}", NULL, "closing bracket is missing"},
    {"cards that follow from the capacity", "MLU", "[]", NULL, "capacity"},
};

static char *format(const struct family *f, const struct card_list *list)
{
    return f->inventory == FAMILY_INV_COLON ? node_codec_format_colon(list->cards, list->n)
                                            : node_codec_format_json(f, list->cards, list->n);
}

static void registers_are_read_and_written(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct text_row *row = &rows[i];
        g_autofree char *why = NULL, *text = NULL;
        struct card_list *list =
            node_codec_parse(family(row->family), "n", row->text, strlen(row->text), &why);
        g_test_message("%s", row->name);
        if (list)
            text = format(family(row->family), list);
        g_assert_cmpstr(text, ==, row->want);
        g_assert_true((why != NULL) == (row->want == NULL));
        if (row->why && !strstr(why, row->why))
            g_error("%s: \"%s\" does not say \"%s\"", row->name, why, row->why);
        card_list_free(list);
    }
}

static void more_cards_than_a_node_may_have_are_refused(void)
{
    GString *colon = g_string_new(NULL), *json = g_string_new("[");
    for (int i = 0; i <= CARD_PER_NODE; i++) {
        g_string_append_printf(colon, "u%d,1,1,1,T,0,true:", i);
        g_string_append_printf(json, "%s{\"id\":\"u%d\"}", i ? "," : "", i);
    }
    g_string_append_c(json, ']');
    const struct {
        const char *family;
        const GString *text;
    } cases[] = {{"DCU", colon}, {"NVIDIA", json}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *why = NULL;
        g_assert_null(
            node_codec_parse(family(cases[i].family), "n", cases[i].text->str, cases[i].text->len, &why));
        g_assert_nonnull(strstr(why, "more than 128 devices"));
    }
    g_string_free(colon, TRUE);
    g_string_free(json, TRUE);
}

static void cards_know_their_group(void)
{
    static const char vastai[] =
        "[{\"id\":\"a\",\"custominfo\":{\"AIC\":\"x\",\"DeviceStrategy\":\"die\"}},"
        "{\"id\":\"b\",\"index\":1,\"custominfo\":{\"AIC\":\"y\"}},"
        "{\"id\":\"c\",\"index\":2,\"custominfo\":{\"AIC\":\"x\"}},{\"id\":\"d\",\"index\":3}]";
    static const char modules[] = "[{\"id\":\"a\"},{\"id\":\"b\",\"index\":1},{\"id\":\"c\",\"index\":5}]";
    g_autofree char *why = NULL;
    struct card_list *list = node_codec_parse(family("Vastai"), "n", vastai, strlen(vastai), &why);
    g_assert_nonnull(list);
    g_assert_true(list->die_mode);
    g_assert_cmpint(list->cards[0].group, ==, list->cards[2].group);
    g_assert_cmpint(list->cards[0].group, !=, list->cards[1].group);
    g_assert_cmpint(list->cards[3].group, ==, -1);
    card_list_free(list);
    list = node_codec_parse(family("Ascend910C"), "n", modules, strlen(modules), &why);
    g_assert_nonnull(list);
    g_assert_false(list->die_mode);
    g_assert_cmpint(list->cards[0].group, ==, 0);
    g_assert_cmpint(list->cards[1].group, ==, 0);
    g_assert_cmpint(list->cards[2].group, ==, 2);
    g_assert_cmpuint(list->cards[0].aux[0], ==, 20); /* aiCore and aiCPU of the chip table */
    g_assert_cmpuint(list->cards[0].aux[1], ==, 7);
    card_list_free(list);
}

static void profiles_of_equal_cards_are_kept_once(void)
{
    static const char text[] = "[{\"id\":\"a\",\"migProfiles\":" A100_PROFILES
                               "},{\"id\":\"b\",\"migProfiles\":" A100_PROFILES "},{\"id\":\"c\"}]";
    g_autofree char *why = NULL;
    struct card_list *list = node_codec_parse(family("NVIDIA"), "n", text, strlen(text), &why);
    g_assert_nonnull(list);
    g_assert_true(list->cards[0].shapes == list->cards[1].shapes);
    g_assert_null(list->cards[2].shapes);
    g_assert_cmpuint(list->cards[0].shapes->shapes[0].mem_bytes, ==, 4864 * QUANTITY_MIB);
    g_assert_cmpuint(list->cards[0].shapes->shapes[0].placements[0].start, ==, 6);
    card_list_free(list);
}

static void metax_inventories_are_read(void)
{
    static const char text[] = "[{\"uuid\":\"GPU-m0\",\"bdf\":\"0000:01:00.0\",\"model\":\"MXC500\","
                               "\"totalDevCount\":16,\"totalCompute\":100,"
                               "\"totalVRam\":65536,\"numa\":1,\"healthy\":true,\"qosPolicy\":\"fixed-"
                               "share\",\"linkZone\":2},{\"uuid\":\"GPU-m1\"}]";
    static const char *const refused[] = {"[{\"uuid\":\"\"}]", "[{\"uuid\":\"a\",\"qosPolicy\":\"best\"}]",
                                          "{}", "[{\"uuid\":\"a\"}", "[{\"uuid\":\"a\",\"totalVRam\":-5}]"};
    g_autofree char *why = NULL;
    struct card_list *list = node_codec_parse(family("Metax-SGPU"), "n", text, strlen(text), &why);
    g_assert_nonnull(list);
    g_assert_cmpuint(list->n, ==, 2);
    const struct card *c = &list->cards[0];
    g_assert_cmpstr(c->uuid, ==, "GPU-m0");
    g_assert_cmpuint(c->slots, ==, 16);
    g_assert_cmpuint(c->cores, ==, 100);
    g_assert_cmpuint(c->mem_bytes, ==, 65536 * QUANTITY_MIB);
    g_assert_cmpint(c->numa, ==, 1);
    g_assert_cmpint(c->qos, ==, CARD_QOS_FIXED_SHARE);
    g_assert_cmpint(c->group, ==, 2);
    g_assert_true(c->healthy);
    g_assert_false(list->cards[1].healthy);
    g_assert_cmpint(list->cards[1].group, ==, -1);
    g_assert_cmpint(list->cards[1].index, ==, 1);
    card_list_free(list);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *reason = NULL;
        g_test_message("%s", refused[i]);
        g_assert_null(node_codec_parse(family("Metax-SGPU"), "n", refused[i], strlen(refused[i]), &reason));
        g_assert_nonnull(reason);
    }
}

static void enflame_inventories_are_read(void)
{
    static const char text[] =
        "{\"devices\":[{\"index\":\"1\",\"minor\":\"7\",\"capacity\":6},{\"index\":0,\"capacity\":\"4\"}],"
        "\"profiles\":{\"6g.48gb\":\"3\",\"1g.6gb\":\"0\",\"3g.24gb\":\"2\",\"odd\":\"9\"}}";
    static const char *const refused[] = {"[]",
                                          "{\"devices\":{}}",
                                          "{\"devices\":[{\"index\":\"x\"}]}",
                                          "{\"devices\":[{\"capacity\":-1}]}",
                                          "{\"devices\":[{\"index\":0},{\"index\":0}]}",
                                          "{\"profiles\":[]}",
                                          "{\"profiles\":{\"1g.6gb\":5}}"};
    g_autofree char *why = NULL;
    struct card_list *list = node_codec_parse(family("Enflame"), "node-1", text, strlen(text), &why);
    g_assert_nonnull(list);
    g_assert_cmpuint(list->n, ==, 2);
    g_assert_cmpstr(list->cards[0].uuid, ==, "node-1-enflame-drs-0");
    g_assert_cmpuint(list->cards[0].slots, ==, 4);
    g_assert_cmpint(list->cards[0].group, ==, 0); /* the minor number is the index where none is said */
    g_assert_cmpstr(list->cards[1].uuid, ==, "node-1-enflame-drs-1");
    g_assert_cmpint(list->cards[1].group, ==, 7);
    g_assert_cmpuint(list->cards[1].mem_bytes, ==, 48 * 1024 * QUANTITY_MIB);
    const struct card_shapes *s = list->cards[1].shapes;
    g_assert_cmpuint(s->n, ==, 3);
    g_assert_cmpstr(s->shapes[0].name, ==, "1g.6gb");
    g_assert_cmpuint(s->shapes[0].cores, ==, 17); /* ceil(100 / 6) */
    g_assert_cmpstr(s->shapes[1].id, ==, "2");
    g_assert_cmpuint(s->shapes[1].cores, ==, 50);
    g_assert_cmpuint(s->shapes[2].slices, ==, 6);
    card_list_free(list);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *reason = NULL;
        g_test_message("%s", refused[i]);
        g_assert_null(node_codec_parse(family("Enflame"), "n", refused[i], strlen(refused[i]), &reason));
        g_assert_nonnull(reason);
    }
}

struct amount {
    const char *resource;
    uint64_t n;
};

static uint64_t amount(const char *resource, void *data)
{
    for (const struct amount *a = data; a->resource; a++)
        if (strcmp(a->resource, resource) == 0)
            return a->n;
    return 0;
}

static const struct {
    const char *name, *family;
    struct amount amounts[3];
    uint32_t n;
    const char *last; /* its id */
    uint64_t mib;
    uint32_t cores, slots;
    int numa_first, numa_last;
} capacities[] = {
    {"MLU: 100 vcores are a card",
     "MLU",
     {{"cambricon.com/mlu.smlu.vcore", 200}, {"cambricon.com/mlu.smlu.vmemory", 192}},
     2,
     "n-cambricon-mlu-1",
     24576,
     100,
     100,
     0,
     0},
    {"MLU: a broken hundred is one more",
     "MLU",
     {{"cambricon.com/mlu.smlu.vcore", 101}},
     2,
     "n-cambricon-mlu-1",
     0,
     100,
     100,
     0,
     0},
    {"Moore Threads: 16 cores are a card",
     "Mthreads",
     {{"mthreads.com/sgpu-core", 32}, {"mthreads.com/sgpu-memory", 192}},
     2,
     "n-mthreads-1",
     49152,
     16,
     100,
     0,
     0},
    {"MetaX: whole cards", "Metax-GPU", {{"metax-tech.com/gpu", 8}}, 8, "n-metax-7", 65536, 100, 1, 0, 0},
    {"GCU: whole cards", "GCU", {{"enflame.com/gcu", 1}}, 1, "n-GCU-0", 100, 100, 1, 0, 0},
    {"Kunlunxin: two wings", "kunlun", {{"kunlunxin.com/xpu", 8}}, 8, "n-kunlun-7", 98304, 100, 100, 0, 1},
    {"Neuron: two cores each",
     "AWSNeuron",
     {{"aws.amazon.com/neuron", 6}, {"aws.amazon.com/neuroncore", 12}},
     6,
     "n-AWSNeuron-5",
     0,
     3,
     2,
     0,
     0},
    {"Neuron: trn2 has eight",
     "AWSNeuron",
     {{"aws.amazon.com/neuron", 16}, {"aws.amazon.com/neuroncore", 128}},
     16,
     "n-AWSNeuron-15",
     0,
     255,
     8,
     0,
     0},
};

static void capacity_makes_cards(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(capacities); i++) {
        g_autofree char *why = NULL;
        struct amount amounts[3];
        memcpy(amounts, capacities[i].amounts, sizeof amounts);
        struct card_list *list =
            node_codec_from_capacity(family(capacities[i].family), "n", amount, amounts, &why);
        g_test_message("%s", capacities[i].name);
        g_assert_nonnull(list);
        g_assert_cmpuint(list->n, ==, capacities[i].n);
        const struct card *last = &list->cards[list->n - 1];
        g_assert_cmpstr(last->uuid, ==, capacities[i].last);
        g_assert_cmpuint(last->mem_bytes / QUANTITY_MIB, ==, capacities[i].mib);
        g_assert_cmpuint(last->cores, ==, capacities[i].cores);
        g_assert_cmpuint(last->slots, ==, capacities[i].slots);
        g_assert_cmpint(list->cards[0].numa, ==, capacities[i].numa_first);
        g_assert_cmpint(last->numa, ==, capacities[i].numa_last);
        g_assert_true(last->healthy);
        g_assert_cmpint(last->group, ==, -1);
        card_list_free(list);
    }
}

static void impossible_capacity_is_refused(void)
{
    struct amount many[] = {{"metax-tech.com/gpu", UINT64_MAX}, {NULL, 0}};
    struct amount large[] = {
        {"cambricon.com/mlu.smlu.vcore", 1}, {"cambricon.com/mlu.smlu.vmemory", UINT64_MAX}, {NULL, 0}};
    struct amount none[] = {{NULL, 0}};
    g_autofree char *why = NULL, *why_large = NULL;
    g_assert_null(node_codec_from_capacity(family("Metax-GPU"), "n", amount, many, &why));
    g_assert_nonnull(strstr(why, "at most 128"));
    g_assert_null(node_codec_from_capacity(family("MLU"), "n", amount, large, &why_large));
    g_assert_nonnull(strstr(why_large, "more than 2147483647 MiB"));
    struct card_list *list = node_codec_from_capacity(family("AWSNeuron"), "n", amount, none, &why);
    g_assert_nonnull(list);
    g_assert_cmpuint(list->n, ==, 0);
    card_list_free(list);
}

static void pair_scores_are_read(void)
{
    static const struct {
        const char *text;
        int ab, ba; /* -1 = refused */
        const char *why;
    } cases[] = {
        {"[{\"uuid\":\"a\",\"score\":{\"b\":50,\"x\":1}},{\"uuid\":\"b\",\"score\":{\"a\":60}}]", 50, 60,
         NULL},
        {"[{\"uuid\":\"a\",\"score\":{\"b\":1800}}]", 1800, 0, NULL},
        {"[]", 0, 0, NULL},
        {"[{\"uuid\":\"stranger\",\"score\":{\"a\":1}},{\"uuid\":\"b\"}]", 0, 0, NULL},
        /* TestFit_TopologyNegativeScores: the reference adds them up; no link scores below 0 (3.4) */
        {"[{\"uuid\":\"a\",\"score\":{\"b\":-1}}]", -1, -1, "not an integer within 0 and 65535"},
        {"[{\"uuid\":\"a\",\"score\":{\"b\":70000}}]", -1, -1, NULL},
        {"[{\"uuid\":\"a\",\"score\":{\"b\":1.5}}]", -1, -1, NULL},
        {"[{\"uuid\":\"a\",\"score\":[]}]", -1, -1, NULL},
        {"{}", -1, -1, NULL},
        {"[{\"uuid\":\"a\"}", -1, -1, NULL},
        {"[5]", -1, -1, NULL},
    };
    const struct card cards[] = {{.uuid = "a"}, {.uuid = "b"}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *why = NULL;
        g_autofree uint16_t *table =
            node_codec_parse_scores(cases[i].text, strlen(cases[i].text), cards, 2, &why);
        g_test_message("%s", cases[i].text);
        g_assert_true((table == NULL) == (cases[i].ab < 0));
        g_assert_true((why != NULL) == (table == NULL));
        if (cases[i].why && !strstr(why, cases[i].why))
            g_error("\"%s\" does not say \"%s\"", why, cases[i].why);
        if (table) {
            g_assert_cmpint(table[1], ==, cases[i].ab);
            g_assert_cmpint(table[2], ==, cases[i].ba);
        }
    }
}

static void handshakes_are_read(void)
{
    static const struct {
        const char *text;
        enum handshake kind;
        int64_t seconds;
    } cases[] = {
        {"Requesting_2026-11-26 08:15:00", HANDSHAKE_REQUESTING, 1795680900},
        {"Requesting_2024-02-29 23:59:59", HANDSHAKE_REQUESTING, 1709251199},
        {"Requesting_2026.11.26 08:15:00", HANDSHAKE_REQUESTING, 1795680900}, /* old releases */
        {"Requesting_1970-01-01 00:00:00", HANDSHAKE_REQUESTING, 0},
        {"Requesting", HANDSHAKE_REQUESTING, HANDSHAKE_NO_TIME},
        {"Requesting_soon", HANDSHAKE_REQUESTING, HANDSHAKE_NO_TIME},
        {"Requesting_2026-13-26 08:15:00", HANDSHAKE_REQUESTING, HANDSHAKE_NO_TIME},
        {"Requesting_2026-11-26 08:15:00Z", HANDSHAKE_REQUESTING, HANDSHAKE_NO_TIME},
        {"Requesting_2026-11-26T08:15:00", HANDSHAKE_REQUESTING, HANDSHAKE_NO_TIME},
        {"Reported_2026.11.26 08:15:00", HANDSHAKE_REPORTED, HANDSHAKE_NO_TIME},
        {"Reported 2026-11-26 08:15:00.1 +0000 UTC", HANDSHAKE_REPORTED, HANDSHAKE_NO_TIME},
        {"anything", HANDSHAKE_REPORTED, HANDSHAKE_NO_TIME},
        {"Deleted_2026-11-26 08:15:00", HANDSHAKE_DELETED, HANDSHAKE_NO_TIME},
        {"", HANDSHAKE_NONE, HANDSHAKE_NO_TIME},
        {NULL, HANDSHAKE_NONE, HANDSHAKE_NO_TIME},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        int64_t seconds = 5;
        g_test_message("%s", cases[i].text ? cases[i].text : "absent");
        g_assert_cmpint(node_codec_parse_handshake(cases[i].text, &seconds), ==, cases[i].kind);
        g_assert_cmpint(seconds, ==, cases[i].seconds);
    }
}

/* ---- any cards survive being written and read ---- */

static const char *pick(GRand *rand, const char *const *words, gint32 n)
{
    return words[g_rand_int_range(rand, 0, n)];
}

static void random_card(GRand *rand, const struct family *f, char *uuid, size_t size, unsigned i,
                        struct card *ret)
{
    static const char *const types[] = {"NVIDIA A100-SXM4-80GB", "DCU-K100", "t <&> \"q\" \\ \xc3\xa9", "x"};
    g_snprintf(uuid, size, "GPU-%08x-%u", g_rand_int(rand), i);
    *ret = (struct card){.uuid = uuid,
                         .type = pick(rand, types, G_N_ELEMENTS(types)),
                         .mem_bytes = (uint64_t)g_rand_int_range(rand, 0, INT32_MAX) * QUANTITY_MIB,
                         .cores = (uint32_t)g_rand_int_range(rand, 0, 1000),
                         .slots = (uint16_t)g_rand_int_range(rand, 0, 100),
                         .group = f->info_group ? g_rand_int_range(rand, -1, 5) : -1,
                         .index = (uint16_t)(i * 3),
                         .family = f->id,
                         .numa = (int16_t)g_rand_int_range(rand, -1, 4),
                         .mode = f->inventory == FAMILY_INV_COLON
                                     ? CARD_HAMI_CORE
                                     : (uint8_t)g_rand_int_range(rand, 0, CARD_MODES),
                         .healthy = g_rand_boolean(rand)};
}

static void assert_same_card(const struct card *a, const struct card *b)
{
    g_assert_cmpstr(a->uuid, ==, b->uuid);
    g_assert_cmpstr(a->type, ==, b->type);
    g_assert_cmpuint(a->mem_bytes, ==, b->mem_bytes);
    g_assert_cmpuint(a->cores, ==, b->cores);
    g_assert_cmpuint(a->slots, ==, b->slots);
    g_assert_cmpint(a->group, ==, b->group);
    g_assert_cmpint(a->index, ==, b->index);
    g_assert_cmpint(a->family, ==, b->family);
    g_assert_cmpint(a->numa, ==, b->numa);
    g_assert_cmpint(a->mode, ==, b->mode);
    g_assert_cmpint(a->healthy, ==, b->healthy);
}

static void any_cards_survive_being_written_and_read(void)
{
    static const char *const words[] = {"NVIDIA", "DCU", "Ascend910B2", "BI-V150"};
    uint32_t seed = test_seed_or(2611);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    for (int round = 0; round < 300; round++) {
        const struct family *f = family(pick(rand, words, G_N_ELEMENTS(words)));
        struct card cards[16];
        char uuids[16][40];
        struct card_list made = {.n = (uint32_t)g_rand_int_range(rand, 1, 16), .cards = cards};
        for (uint32_t i = 0; i < made.n; i++)
            random_card(rand, f, uuids[i], sizeof uuids[i], i, &cards[i]);
        g_autofree char *text = format(f, &made), *why = NULL;
        struct card_list *list = node_codec_parse(f, "n", text, strlen(text), &why);
        if (!list)
            g_error("seed %u: %s: %s", seed, why, text);
        g_assert_cmpuint(list->n, ==, made.n);
        for (uint32_t i = 0; i < made.n; i++)
            assert_same_card(&list->cards[i], &cards[i]);
        g_autofree char *again = format(f, list);
        g_assert_cmpstr(again, ==, text);
        card_list_free(list);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/node-codec/" #name, name)
    TEST(registers_are_read_and_written);
    TEST(more_cards_than_a_node_may_have_are_refused);
    TEST(cards_know_their_group);
    TEST(profiles_of_equal_cards_are_kept_once);
    TEST(metax_inventories_are_read);
    TEST(enflame_inventories_are_read);
    TEST(capacity_makes_cards);
    TEST(impossible_capacity_is_refused);
    TEST(pair_scores_are_read);
    TEST(handshakes_are_read);
    TEST(any_cards_survive_being_written_and_read);
    return g_test_run();
}
