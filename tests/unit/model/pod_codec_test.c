/* SPDX-License-Identifier: Apache-2.0
 *
 * Assignments as annotations. Expected texts are those of scheduler.md
 * sections 4.1 - 4.3 and appendix A and of vendors.md sections 3 and 9.
 */
#include "model/pod_codec.h"

#include <stdlib.h>
#include <string.h>

#include "model/mig_allocation.h"
#include "model/quantity.h"
#include "tests/unit/model/families.h"
#include "tests/unit/seed.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define NOW INT64_C(1705054796123456789)

/* ---- device strings ---- */

static const struct {
    const char *name, *text;
    const char *want; /* "slot/uuid/type/mib/cores ..."; NULL = refused */
    const char *why;
} strings[] = {
    {"two containers", "GPU-a,NVIDIA,3000,30:GPU-b,NVIDIA,3000,30:;GPU-a,NVIDIA,5000,0:;",
     "0/GPU-a/NVIDIA/3000/30 0/GPU-b/NVIDIA/3000/30 1/GPU-a/NVIDIA/5000/0 ", NULL},
    {"an empty slot in front", ";GPU-a,NVIDIA,1,2:;", "1/GPU-a/NVIDIA/1/2 ", NULL},
    {"consumed by the agent", ";;", "", NULL},
    {"nothing at all", "", "", NULL},
    {"an empty slot behind", "GPU-a,NVIDIA,1,2:;;", "0/GPU-a/NVIDIA/1/2 ", NULL},
    {"no separator at the end", "GPU-a,NVIDIA,1,2", "0/GPU-a/NVIDIA/1/2 ", NULL},
    {"pieces without a comma are ignored", "rubbish:GPU-a,NVIDIA,1,2:;", "0/GPU-a/NVIDIA/1/2 ", NULL},
    {"further fields are ignored", "GPU-a,NVIDIA,1,2,extra,5:;", "0/GPU-a/NVIDIA/1/2 ", NULL},
    {"the largest numbers", "a,T,2147483647,2147483647:;", "0/a/T/2147483647/2147483647 ", NULL},
    {"three fields", "uuid,type,100:;", NULL, "fewer than four fields"},
    {"memory below zero", "a,T,-1,0:;", NULL, "memory"},
    {"cores below zero", "a,T,1,-5:;", NULL, "cores"},
    {"memory beyond 31 bits", "a,T,2147483648,0:;", NULL, "memory"},
    {"memory beyond everything", "a,T,99999999999999999999999999,0:;", NULL, "memory"},
    {"memory that is no number", "a,T,NaN,0:;", NULL, "memory"},
    {"memory that is missing", "a,T,,0:;", NULL, "memory"},
    {"no UUID", ",T,1,0:;", NULL, "UUID"},
    {"a control character", "a\nb,T,1,0:;", NULL, "UUID"},
};

static void device_strings_are_read(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++) {
        struct pod_codec_device devices[4];
        g_autofree char *why = NULL;
        GString *got = g_string_new(NULL);
        g_test_message("%s", strings[i].name);
        int n = pod_codec_parse(strings[i].text, strlen(strings[i].text), devices, 4, &why);
        g_assert_true((n < 0) == (strings[i].want == NULL));
        g_assert_true((n < 0) == (why != NULL));
        for (int d = 0; d < n; d++)
            g_string_append_printf(got, "%d/%.*s/%.*s/%d/%d ", devices[d].slot, devices[d].uuid_len,
                                   devices[d].uuid, devices[d].type_len, devices[d].type, devices[d].mem_mib,
                                   devices[d].cores);
        if (strings[i].want)
            g_assert_cmpstr(got->str, ==, strings[i].want);
        else
            g_assert_nonnull(strstr(why, strings[i].why));
        g_string_free(got, TRUE);
    }
}

static void too_many_devices_and_slots_are_refused(void)
{
    struct pod_codec_device devices[2];
    g_autofree char *why = NULL, *why_slot = NULL, *none = NULL;
    GString *slots = g_string_new(NULL);
    g_assert_cmpint(pod_codec_parse("a,T,1,1:b,T,1,1:c,T,1,1:;", 25, devices, 2, &why), ==, -1);
    g_assert_nonnull(strstr(why, "more than 2"));
    for (int i = 0; i < POD_SLOTS_MAX; i++)
        g_string_append_c(slots, ';');
    g_assert_cmpint(pod_codec_parse(slots->str, slots->len, devices, 2, &none), ==, 0);
    g_string_append(slots, "a,T,1,1:;");
    g_assert_cmpint(pod_codec_parse(slots->str, slots->len, devices, 2, &why_slot), ==, -1);
    g_assert_nonnull(strstr(why_slot, "container 64"));
    g_string_free(slots, TRUE);
}

/* ---- writing ---- */

/* A node of four cards of a family; what a pod holds; its annotations. */
struct scene {
    const struct family *family;
    struct card cards[4];
    struct node_spec node;
    struct pod_request pod;
    struct pod_grant grant;
    GHashTable *annotations;
};

static void put(const char *key, const char *value, void *data)
{
    struct scene *s = data;
    if (!g_hash_table_insert(s->annotations, g_strdup(key), g_strdup(value)))
        g_error("%s was written twice", key);
}

static const char *get(const char *key, void *data)
{
    return g_hash_table_lookup(((struct scene *)data)->annotations, key);
}

static void scene_init(struct scene *s, const char *word, unsigned n_slots)
{
    static const char *const uuids[] = {"GPU-a", "GPU-b", "GPU-c", "GPU-d"};
    static const char *const names[] = {"one", "two", "three", "four"};
    *s = (struct scene){.family = family(word), .node = {.name = "node67", .n_cards = 4}};
    for (uint16_t i = 0; i < 4; i++)
        s->cards[i] = (struct card){.uuid = uuids[i],
                                    .type = "AMD Instinct MI300X",
                                    .mem_bytes = MIB(65536),
                                    .cores = 100,
                                    .slots = 10,
                                    .index = i,
                                    .family = s->family->id,
                                    .group = i + 10,
                                    .healthy = true};
    s->node.cards = s->cards;
    s->pod.n_slots = (uint8_t)n_slots;
    for (unsigned i = 0; i < n_slots; i++) {
        s->pod.slot_name[i] = names[i];
        s->pod.slot_kind[i] = SLOT_APP;
    }
    s->annotations = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static struct card_grant *give(struct scene *s, unsigned slot, unsigned card, uint64_t mib, uint32_t cores)
{
    struct card_grant *g = &s->grant.grants[s->grant.n++];
    *g = (struct card_grant){.mem_bytes = MIB(mib),
                             .cores = cores,
                             .card = (uint16_t)card,
                             .slices = 1,
                             .slot = (uint8_t)slot,
                             .shape = CARD_NO_SHAPE};
    return g;
}

static void ask(struct scene *s, unsigned slot, bool whole)
{
    s->pod.requests[s->pod.n_requests++] =
        (struct card_request){.family = s->family->id, .slot = (uint8_t)slot, .whole = whole};
}

static void write_all(struct scene *s)
{
    pod_codec_write(families(), &s->node, &s->pod, &s->grant, NOW, put, s);
}

static void assert_value(struct scene *s, const char *key, const char *want)
{
    g_test_message("%s", key);
    g_assert_cmpstr(get(key, s), ==, want);
}

static void clear(struct scene *s)
{
    g_hash_table_unref(s->annotations);
}

static void every_assignment_says_node_and_time(void)
{
    struct scene s;
    scene_init(&s, "NVIDIA", 1);
    give(&s, 0, 0, 3000, 30);
    write_all(&s);
    assert_value(&s, "hami.io/vgpu-node", "node67");
    assert_value(&s, "hami.io/vgpu-time", "1705054796");
    assert_value(&s, "hami.io/bind-phase", "allocating");
    assert_value(&s, "hami.io/bind-time", "1705054796");
    assert_value(&s, "hami.io/vgpu-devices-to-allocate", "GPU-a,NVIDIA,3000,30:;");
    assert_value(&s, "hami.io/vgpu-devices-allocated", "GPU-a,NVIDIA,3000,30:;");
    assert_value(&s, "hami.io/vgpu-mig-allocations", NULL);
    g_assert_cmpuint(g_hash_table_size(s.annotations), ==, 6); /* nothing of other families */
    clear(&s);
}

static void a_container_without_a_card_is_an_empty_slot(void)
{
    struct scene s;
    scene_init(&s, "NVIDIA", 3); /* the card's type is no family word: B1 */
    give(&s, 1, 0, 3000, 30);
    give(&s, 1, 1, 3000, 30);
    give(&s, 2, 0, 5000, 0);
    write_all(&s);
    assert_value(&s, "hami.io/vgpu-devices-allocated",
                 ";GPU-a,NVIDIA,3000,30:GPU-b,NVIDIA,3000,30:;GPU-a,NVIDIA,5000,0:;");
    clear(&s);
}

/* TestPodDevicesCoding: in the reference a trailing separator is one more slot, which is written too, so a
 * text grows each time (4.2). The containers are the slots here: what is read and written again is what it
 * was. */
static void a_text_does_not_grow_when_it_is_written_again(void)
{
    static const char *const texts[] = {";GPU-a,NVIDIA,3000,30:;;", ";GPU-a,NVIDIA,3000,30:;;;",
                                        ";GPU-a,NVIDIA,3000,30:"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct scene s;
        unsigned unknown;
        g_autofree char *why = NULL;
        scene_init(&s, "NVIDIA", 3);
        put("hami.io/vgpu-devices-allocated", texts[i], &s);
        g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &s.grant, &unknown, &why));
        g_hash_table_remove_all(s.annotations);
        write_all(&s);
        assert_value(&s, "hami.io/vgpu-devices-allocated", ";GPU-a,NVIDIA,3000,30:;;");
        clear(&s);
    }
}

/* TestPodDevicesCoding: an empty list is one empty slot in the reference; a family without cards has no key
 * (4.2). */
static void a_pod_without_cards_has_no_list(void)
{
    struct scene s;
    scene_init(&s, "NVIDIA", 2);
    write_all(&s);
    assert_value(&s, "hami.io/vgpu-devices-to-allocate", NULL);
    assert_value(&s, "hami.io/vgpu-devices-allocated", NULL);
    clear(&s);
}

static void mlu_writes_both_spellings_and_a_profile(void) /* vector 3 of vendors.md section 9 */
{
    struct scene s;
    scene_init(&s, "MLU", 1);
    give(&s, 0, 0, 20 * 256, 10);
    write_all(&s);
    assert_value(&s, "CAMBRICON_DSMLU_ASSIGNED", "false");
    assert_value(&s, "CAMBRICON_DSMLU_ASSIGHED", "false");
    assert_value(&s, "CAMBRICON_DSMLU_PROFILE", "0_10_20");
    assert_value(&s, "hami.io/cambricon-mlu-devices-to-allocate", "GPU-a,MLU,5120,10:;");
    assert_value(&s, "hami.io/cambricon-mlu-devices-allocated", "GPU-a,MLU,5120,10:;");
    clear(&s);
}

static void ascend_writes_the_templates_name(void)
{
    struct scene s;
    scene_init(&s, "Ascend310P", 2);
    give(&s, 0, 0, 3072, 0)->shape = 0; /* vir01 */
    give(&s, 1, 1, 21527, 0);
    write_all(&s);
    assert_value(&s, "huawei.com/Ascend310P",
                 "[{\"UUID\":\"GPU-a\",\"temp\":\"vir01\"},{\"UUID\":\"GPU-b\"}]");
    assert_value(&s, "predicate-time", "1705054796");
    assert_value(&s, "hami.io/Ascend310P-devices-to-allocate",
                 "GPU-a,Ascend310P,3072,0:;GPU-b,Ascend310P,21527,0:;");
    clear(&s);
}

static void ascend_soft_slices_have_memory_and_cores(void)
{
    struct scene s;
    scene_init(&s, "Ascend910B3", 1);
    s.pod.soft = true;
    give(&s, 0, 0, 28672, 40);
    give(&s, 0, 1, 28672, 0);
    write_all(&s);
    assert_value(&s, "huawei.com/Ascend910B3",
                 "[{\"UUID\":\"GPU-a\",\"memory\":28672,\"core\":40},{\"UUID\":\"GPU-b\",\"memory\":28672}]");
    clear(&s);
}

static void metax_writes_a_list_by_container(void)
{
    struct scene s;
    scene_init(&s, "Metax-SGPU", 3);
    give(&s, 1, 0, 4096, 60);
    give(&s, 1, 1, 4096, 60);
    give(&s, 2, 2, 2048, 0);
    write_all(&s);
    assert_value(&s, "metax-tech.com/gpu-devices-allocated",
                 "[[],[{\"uuid\":\"GPU-a\",\"compute\":60,\"vRam\":4096},{\"uuid\":\"GPU-b\",\"compute\":60,"
                 "\"vRam\":4096}],"
                 "[{\"uuid\":\"GPU-c\",\"vRam\":2048}]]");
    assert_value(&s, "metax-tech.com/predicate-time", "1705054796123456789");
    assert_value(&s, "hami.io/metax-sgpu-devices-allocated",
                 ";GPU-a,Metax-SGPU,4096,60:GPU-b,Metax-SGPU,4096,60:;GPU-c,Metax-SGPU,2048,0:;");
    clear(&s);
}

static void moore_threads_writes_each_card_once(void)
{
    struct scene s;
    scene_init(&s, "Mthreads", 2);
    give(&s, 0, 0, 49152, 16);
    give(&s, 0, 3, 49152, 16);
    give(&s, 1, 3, 512, 1);
    write_all(&s);
    assert_value(&s, "mthreads.com/gpu-index", "0,3");
    assert_value(&s, "mthreads.com/predicate-node", "node67");
    assert_value(&s, "mthreads.com/predicate-time", "1705054796123456789");
    assert_value(&s, "hami.io/mthreads-vgpu-devices-to-allocate", NULL);
    assert_value(&s, "hami.io/mthreads-vgpu-devices-allocated",
                 "GPU-a,Mthreads,49152,16:GPU-d,Mthreads,49152,16:;GPU-d,Mthreads,512,1:;");
    clear(&s);
}

static struct card_shapes *drs_profiles(void)
{
    static const struct card_shape profiles[] = {
        {.name = "1g.6gb", .id = "0", .mem_bytes = MIB(6144), .cores = 17, .slices = 1},
        {.name = "3g.24gb", .id = "2", .mem_bytes = MIB(24576), .cores = 50, .slices = 3}};
    struct card_shapes *shapes = g_malloc0(sizeof *shapes + sizeof profiles);
    shapes->n = 2;
    memcpy(shapes->shapes, profiles, sizeof profiles);
    return shapes;
}

static void enflame_writes_profiles_by_container_name(void)
{
    struct scene s;
    g_autofree struct card_shapes *shapes = drs_profiles();
    scene_init(&s, "Enflame", 3);
    for (int i = 0; i < 4; i++)
        s.cards[i].shapes = shapes;
    struct card_grant *g = give(&s, 1, 2, 24576, 50);
    g->shape = 1;
    g->slices = 3;
    give(&s, 2, 3, 6144, 17)->shape = 0;
    write_all(&s);
    assert_value(&s, "hami.io/enflame-vgpu-devices-allocated",
                 ";GPU-c,Enflame,24576,50:;GPU-d,Enflame,6144,17:;");
    assert_value(&s, "enflame.com/gcu-assigned", "false");
    assert_value(&s, "enflame.com/gcu-assigned-time", "1705054796123456789");
    assert_value(&s, "enflame.com/gcu-assigned-index", "2");
    assert_value(&s, "enflame.com/gcu-assigned-id", "2");
    assert_value(&s, "enflame.com/gcu-assigned-minor", "12");
    assert_value(&s, "enflame.com/gcu-request-size", "3");
    assert_value(
        &s, "assigned-containers",
        "{\"three\":{\"allocated\":false,\"request\":1,\"profileID\":\"0\",\"profileName\":\"1g.6gb\"},"
        "\"two\":{\"allocated\":false,\"request\":3,\"profileID\":\"2\",\"profileName\":\"3g.24gb\"}}");
    clear(&s);
}

static void kunlun_writes_indices(void)
{
    struct scene s;
    scene_init(&s, "kunlun", 1);
    give(&s, 0, 1, 98304, 100);
    give(&s, 0, 2, 98304, 100);
    write_all(&s);
    assert_value(&s, "BAIDU_COM_DEVICE_IDX", "1,2");
    assert_value(&s, "hami.io/kunlun-allocated", "GPU-b,kunlun,98304,100:GPU-c,kunlun,98304,100:;");
    clear(&s);
}

static void neuron_devices_are_numbered(void)
{
    struct scene s;
    scene_init(&s, "AWSNeuron", 1);
    ask(&s, 0, true);
    for (unsigned i = 2; i < 4; i++) {
        s.cards[i].cores = 3;
        give(&s, 0, i, 0, 3);
    }
    write_all(&s);
    assert_value(&s, "AWS_NEURON_IDS", "2,3");
    assert_value(&s, "NEURON_RESOURCE_TYPE", NULL);
    assert_value(&s, "NEURON_ALLOCATED", "false");
    assert_value(&s, "NEURON_ALLOC_TIME", "1705054796123456789");
    assert_value(&s, "aws.amazon.com/predicate-node", "node67");
    assert_value(&s, "hami.io/aws-neuron-devices-allocated", "GPU-c,AWSNeuron,0,3:GPU-d,AWSNeuron,0,3:;");
    clear(&s);
}

static void neuron_cores_are_numbered_across_devices(void)
{
    struct scene s;
    scene_init(&s, "AWSNeuron", 1);
    ask(&s, 0, false);
    s.cards[1].cores = s.cards[2].cores = 3;
    give(&s, 0, 1, 0, 2);
    give(&s, 0, 2, 0, 3);
    write_all(&s);
    assert_value(&s, "AWS_NEURON_IDS", "3,4,5");
    assert_value(&s, "NEURON_RESOURCE_TYPE", "aws.amazon.com/neuroncore");
    clear(&s);
}

static void amd_writes_the_product(void)
{
    struct scene s;
    scene_init(&s, "AMD", 1);
    give(&s, 0, 0, 1024, 152);
    write_all(&s);
    assert_value(&s, "hami.io/amd-devices-to-allocate", "GPU-a,AMD Instinct MI300X,1024,152:;");
    clear(&s);
}

static bool is_same(const struct card_grant *a, const struct card_grant *b)
{
    return a->mem_bytes == b->mem_bytes && a->cores == b->cores && a->card == b->card && a->slot == b->slot &&
           a->slices == b->slices && a->flags == b->flags && a->shape == b->shape &&
           a->mig_start == b->mig_start && a->mig_size == b->mig_size &&
           memcmp(a->aux, b->aux, sizeof a->aux) == 0;
}

static void mig_places_are_written_and_restored(void)
{
    static const char want[] =
        "[{\"containerIndex\":1,\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":\"3g.24gb\","
        "\"placement\":{\"start\":4,\"size\":4}},{\"containerIndex\":1,\"deviceIndex\":1,"
        "\"gpuUUID\":\"GPU-a\",\"profile\":\"1g.6gb\",\"placement\":{\"start\":3,\"size\":1}}]";
    struct scene s;
    struct pod_grant back;
    unsigned unknown;
    g_autofree char *why = NULL;
    g_autofree struct card_shapes *shapes = drs_profiles();
    scene_init(&s, "NVIDIA", 2);
    s.cards[0].shapes = shapes;
    s.cards[0].mode = CARD_MIG;
    for (unsigned i = 0; i < 2; i++) {
        struct card_grant *g = give(&s, 1, 0, i ? 6144 : 24576, i ? 17 : 50);
        g->shape = (uint8_t)(1 - i);
        g->mig_start = i ? 3 : 4;
        g->mig_size = i ? 1 : 4;
    }
    write_all(&s);
    assert_value(&s, "hami.io/vgpu-mig-allocations", want);
    g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_cmpuint(back.n, ==, 2);
    for (unsigned i = 0; i < back.n; i++)
        g_assert_true(is_same(&back.grants[i], &s.grant.grants[i]));
    clear(&s);
}

/* TestGetNodesUsageRestoresUnconsumedMigReservations: the reference keeps one entry of the two and adds what
 * is left of the places; here each device has its own. */
static void both_instances_of_a_card_are_restored(void)
{
    struct scene s;
    struct pod_grant back;
    unsigned unknown;
    g_autofree char *why = NULL;
    scene_init(&s, "NVIDIA", 1);
    s.cards[0].mode = CARD_MIG;
    put("hami.io/vgpu-devices-allocated", "GPU-a,NVIDIA,5120,14:GPU-a,NVIDIA,5120,14:;", &s);
    put("hami.io/vgpu-mig-allocations",
        "[{\"containerIndex\":0,\"deviceIndex\":1,\"gpuUUID\":\"GPU-a\",\"profile\":\"1g.5gb\","
        "\"placement\":{\"start\":5,\"size\":1}},{\"containerIndex\":0,\"deviceIndex\":0,\"gpuUUID\":\"GPU-"
        "a\","
        "\"profile\":\"1g.5gb\",\"placement\":{\"start\":6,\"size\":1}}]",
        &s);
    g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_cmpuint(back.n, ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpuint(back.grants[i].card, ==, 0);
        g_assert_cmpint(back.grants[i].mig_start, ==, i ? 5 : 6);
        g_assert_cmpint(back.grants[i].mig_size, ==, 1);
    }
    clear(&s);
}

static void a_mig_card_without_a_usable_place_is_taken_whole(void)
{
    static const char *const texts[] = {NULL, "rubbish", "[]",
                                        "[{\"containerIndex\":0,\"deviceIndex\":0,\"gpuUUID\":\"GPU-other\","
                                        "\"profile\":\"p\",\"placement\":{\"start\":0,\"size\":1}}]"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct scene s;
        struct pod_grant back;
        unsigned unknown;
        g_autofree char *why = NULL;
        scene_init(&s, "NVIDIA", 1);
        s.cards[0].mode = CARD_MIG;
        put("hami.io/vgpu-devices-allocated", "GPU-a,NVIDIA,3000,30:;", &s);
        if (texts[i])
            put("hami.io/vgpu-mig-allocations", texts[i], &s);
        g_test_message("%s", texts[i] ? texts[i] : "absent");
        g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
        g_assert_cmpint(back.grants[0].mig_start, ==, 0);
        g_assert_cmpint(back.grants[0].mig_size, ==, 16);
        clear(&s);
    }
}

/* ---- restoring ---- */

static void cards_that_went_away_are_counted(void)
{
    struct scene s;
    struct pod_grant back;
    unsigned unknown;
    g_autofree char *why = NULL;
    scene_init(&s, "NVIDIA", 1);
    s.cards[3].family++; /* the same UUID of another family is another card */
    put("hami.io/vgpu-devices-allocated", "GPU-z,NVIDIA,1,1:GPU-b,NVIDIA,2,3:GPU-d,NVIDIA,1,1:;", &s);
    g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_cmpuint(unknown, ==, 2);
    g_assert_cmpuint(back.n, ==, 1);
    g_assert_cmpuint(back.grants[0].card, ==, 1);
    clear(&s);
}

static void a_malformed_annotation_restores_nothing(void)
{
    struct scene s;
    struct pod_grant back;
    unsigned unknown;
    g_autofree char *why = NULL;
    scene_init(&s, "NVIDIA", 1);
    put("hami.io/vgpu-devices-allocated", "GPU-a,NVIDIA,-5,1:;", &s);
    g_assert_false(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_nonnull(strstr(why, "hami.io/vgpu-devices-allocated: a device's memory"));
    clear(&s);
}

static void templates_and_profiles_are_found_again(void)
{
    struct scene s;
    struct pod_grant back;
    unsigned unknown;
    g_autofree char *why = NULL;
    g_autofree struct card_shapes *shapes = drs_profiles();
    scene_init(&s, "Ascend910B2", 2);
    put("hami.io/Ascend910B2-devices-allocated", "GPU-a,Ascend910B2,32768,0:;GPU-b,Ascend910B2,65536,0:;",
        &s);
    g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_cmpuint(back.grants[0].aux[0], ==, 12); /* vir12_3c_32g */
    g_assert_cmpuint(back.grants[0].aux[1], ==, 3);
    g_assert_cmpuint(back.grants[0].shape, ==, 2);
    g_assert_cmpuint(back.grants[1].aux[0], ==, 24); /* a whole card */
    g_assert_cmpuint(back.grants[1].aux[1], ==, 6);
    put("huawei.com/vnpu-mode", "hami-core", &s);
    g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_cmpuint(back.grants[0].aux[0], ==, 0);
    clear(&s);
    scene_init(&s, "Enflame", 1);
    s.cards[0].shapes = shapes;
    put("hami.io/enflame-vgpu-devices-allocated", "GPU-a,Enflame,24576,50:;", &s);
    g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
    g_assert_cmpuint(back.grants[0].slices, ==, 3);
    clear(&s);
}

static void metax_classes_come_from_the_pods_annotations(void)
{
    static const struct {
        const char *class_, *qos;
        int cores, flags;
    } cases[] = {
        {"online", NULL, 0, CARD_GRANT_ONLINE},
        {"offline", "burst-share", 50, CARD_GRANT_OFFLINE | CARD_QOS_BURST_SHARE << CARD_GRANT_QOS_SHIFT},
        {NULL, "best-effort", 50, CARD_QOS_BEST_EFFORT << CARD_GRANT_QOS_SHIFT},
        {NULL, "best-effort", 100, 0}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct scene s;
        struct pod_grant back;
        unsigned unknown;
        g_autofree char *why = NULL;
        g_autofree char *text = g_strdup_printf("GPU-a,Metax-SGPU,1,%d:;", cases[i].cores);
        scene_init(&s, "Metax-SGPU", 1);
        put("hami.io/metax-sgpu-devices-allocated", text, &s);
        if (cases[i].class_)
            put("metax-tech.com/sgpu-app-class", cases[i].class_, &s);
        if (cases[i].qos)
            put("metax-tech.com/sgpu-qos-policy", cases[i].qos, &s);
        g_assert_true(pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why));
        g_assert_cmpint(back.grants[0].flags, ==, cases[i].flags);
        clear(&s);
    }
}

/* ---- MIG allocations ---- */

static void mig_allocations_are_read(void)
{
    static const char whole[] =
        "[{\"containerIndex\":0,\"deviceIndex\":1,\"gpuUUID\":\"GPU-a\",\"profile\":\"1g.5gb\","
        "\"placement\":{\"start\":6,\"size\":1},\"migUUID\":\"MIG-1\",\"gpuInstanceID\":7,"
        "\"computeInstanceID\":0}]";
    static const struct {
        const char *text, *why;
    } refused[] = {
        {"{}", "not an array"},
        {"[", "ends early"},
        {"[5]", "entry 0"},
        {"[{\"containerIndex\":-1}]", "containerIndex -1 is negative"},
        {"[{\"deviceIndex\":-1}]", "deviceIndex -1 is negative"},
        {"[{\"gpuUUID\":\"\",\"profile\":\"p\",\"placement\":{\"size\":1}}]", "gpuUUID is missing"},
        {"[{\"gpuUUID\":\"a\",\"placement\":{\"size\":1}}]", "profile is missing"},
        {"[{\"gpuUUID\":\"a\",\"profile\":\"p\",\"placement\":{\"start\":1}}]", "placement.size is 0"},
        {"[{\"gpuUUID\":\"a\",\"profile\":\"p\"}]", "placement.size is 0"},
        {"[{\"gpuUUID\":\"a\",\"profile\":\"p\",\"placement\":{\"start\":15,\"size\":2}}]",
         "beyond the card"},
        {"[{\"gpuUUID\":\"a\",\"profile\":\"p\",\"placement\":{\"size\":1},\"migUUID\":\"m\"}]",
         "belong together"},
        {"[{\"gpuUUID\":\"a\",\"profile\":\"p\",\"placement\":{\"size\":1},\"gpuInstanceID\":1,"
         "\"computeInstanceID\":1}]",
         "belong together"},
        {"[{\"gpuUUID\":\"a\",\"profile\":\"p\",\"placement\":{\"size\":1}},{\"gpuUUID\":\"b\",\"profile\":"
         "\"p\",\"placement\":{\"size\":1}}]",
         "already"},
        {"[]]", "follows"},
    };
    struct mig_allocations a;
    g_autofree char *why = NULL;
    g_assert_true(mig_allocation_parse(whole, strlen(whole), &a, &why));
    g_assert_cmpuint(a.n, ==, 1);
    g_assert_cmpuint(a.rows[0].compute_instance, ==, 0); /* an instance's number may be 0 */
    g_assert_cmpuint(a.rows[0].gpu_instance, ==, 7);
    g_autofree char *again = mig_allocation_format(a.rows, a.n);
    g_assert_cmpstr(again, ==, whole);
    mig_allocations_clear(&a);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *reason = NULL;
        g_test_message("%s", refused[i].text);
        g_assert_false(mig_allocation_parse(refused[i].text, strlen(refused[i].text), &a, &reason));
        g_assert_nonnull(strstr(reason, refused[i].why));
        g_assert_cmpuint(a.n, ==, 0);
    }
}

/* ---- any grant survives being written and restored ---- */

static void any_grant_survives_being_written_and_restored(void)
{
    static const char *const words[] = {"NVIDIA", "MLU",       "DCU", "BI-V150", "XPU",
                                        "AMD",    "Metax-GPU", "GCU", "Biren"};
    uint32_t seed = test_seed_or(2611);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    for (int round = 0; round < 300; round++) {
        struct scene s;
        struct pod_grant back;
        unsigned unknown;
        g_autofree char *why = NULL;
        scene_init(&s, words[g_rand_int_range(rand, 0, G_N_ELEMENTS(words))], 4);
        s.cards[2].family = s.cards[3].family = family("Vastai")->id; /* two families on one node */
        for (unsigned slot = 0; slot < 4; slot++)
            for (unsigned card = 0; card < 4; card++)
                if (g_rand_boolean(rand))
                    give(&s, slot, card, (uint64_t)g_rand_int_range(rand, 0, INT32_MAX),
                         (uint32_t)g_rand_int_range(rand, 0, INT32_MAX));
        write_all(&s);
        if (!pod_codec_restore(families(), &s.node, get, &s, &back, &unknown, &why))
            g_error("seed %u, round %d: %s", seed, round, why);
        g_assert_cmpuint(unknown, ==, 0);
        /* families come back one after the other within a slot */
        g_assert_cmpuint(back.n, ==, s.grant.n);
        for (unsigned i = 0; i < back.n; i++) {
            unsigned j = 0;
            while (j < s.grant.n && !is_same(&back.grants[i], &s.grant.grants[j]))
                j++;
            if (j == s.grant.n)
                g_error("seed %u, round %d: grant %u is new", seed, round, i);
            g_assert_true(i == 0 || back.grants[i - 1].slot <= back.grants[i].slot);
        }
        clear(&s);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/pod-codec/" #name, name)
    TEST(device_strings_are_read);
    TEST(too_many_devices_and_slots_are_refused);
    TEST(every_assignment_says_node_and_time);
    TEST(a_container_without_a_card_is_an_empty_slot);
    TEST(a_text_does_not_grow_when_it_is_written_again);
    TEST(a_pod_without_cards_has_no_list);
    TEST(mlu_writes_both_spellings_and_a_profile);
    TEST(ascend_writes_the_templates_name);
    TEST(ascend_soft_slices_have_memory_and_cores);
    TEST(metax_writes_a_list_by_container);
    TEST(moore_threads_writes_each_card_once);
    TEST(enflame_writes_profiles_by_container_name);
    TEST(kunlun_writes_indices);
    TEST(neuron_devices_are_numbered);
    TEST(neuron_cores_are_numbered_across_devices);
    TEST(amd_writes_the_product);
    TEST(mig_places_are_written_and_restored);
    TEST(both_instances_of_a_card_are_restored);
    TEST(a_mig_card_without_a_usable_place_is_taken_whole);
    TEST(cards_that_went_away_are_counted);
    TEST(a_malformed_annotation_restores_nothing);
    TEST(templates_and_profiles_are_found_again);
    TEST(metax_classes_come_from_the_pods_annotations);
    TEST(mig_allocations_are_read);
    TEST(any_grant_survives_being_written_and_restored);
    return g_test_run();
}
