/* SPDX-License-Identifier: Apache-2.0 */
#include "pods.h"

static void parse(const char *quoted, struct pod_object *ret)
{
    static struct family_set *set;
    static struct pod_reader *reader;
    static GPtrArray *texts; /* objects borrow from them */
    const char *why = NULL;
    if (!set) {
        set = pods_families();
        reader = pod_reader_new(set);
        texts = g_ptr_array_new();
    }
    char *text = pods_text(quoted);
    g_ptr_array_add(texts, text);
    if (!pod_object_parse(reader, text, strlen(text), ret, &why))
        g_error("no pod (%s): %s", why, quoted);
}

static void members_come_in_any_order(void)
{
    static const char *const rows[] = {
        "{'metadata':{'uid':'u','name':'n','namespace':'ns','resourceVersion':'7',"
        "'labels':{'scheduling.x-k8s.io/pod-group':'g'},'deletionTimestamp':'2026-01-01T00:00:00Z'},"
        "'spec':{'priority':-5,'nodeName':'node','schedulerName':'s','runtimeClassName':'r','schedulingGates'"
        ":[{}],"
        "'initContainers':[{'name':'i'}],'containers':[{'name':'a'},{'name':'b'}]},"
        "'status':{'phase':'Running','initContainerStatuses':[{'name':'i','state':{'terminated':{'exitCode':"
        "0}}}]}}",
        "{'status':{'initContainerStatuses':[{'state':{'terminated':{'reason':'x','exitCode':0}},'name':'i'}]"
        ","
        "'phase':'Running'},'spec':{'containers':[{'name':'a'},{'name':'b'}],'initContainers':[{'name':'i'}],"
        "'schedulingGates':[{'name':'x'}],'runtimeClassName':'r','schedulerName':'s','nodeName':'node','"
        "priority':-5},"
        "'metadata':{'deletionTimestamp':'x','labels':{'scheduling.x-k8s.io/pod-group':'g'},"
        "'resourceVersion':'7','namespace':'ns','name':'n','uid':'u'},'kind':'Pod'}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct pod_object p;
        parse(rows[i], &p);
        g_assert_cmpstr(p.uid, ==, "u");
        g_assert_cmpstr(p.name, ==, "n");
        g_assert_cmpstr(p.namespace_, ==, "ns");
        g_assert_cmpstr(p.resource_version, ==, "7");
        g_assert_cmpstr(p.pod_group, ==, "g");
        g_assert_cmpstr(p.node, ==, "node");
        g_assert_cmpstr(p.scheduler, ==, "s");
        g_assert_cmpstr(p.runtime_class, ==, "r");
        g_assert_cmpint(p.priority, ==, -5);
        g_assert_cmpint(p.phase, ==, POD_RUNNING);
        g_assert_true(p.deleting && p.gated && p.inits_done);
        g_assert_cmpuint(p.n_containers, ==, 3);
        g_assert_cmpuint(p.n_init, ==, 1);
        g_assert_cmpstr(p.containers[0].name, ==, "i");
        g_assert_true(p.containers[0].init && !p.containers[1].init);
        g_assert_cmpstr(p.containers[2].name, ==, "b");
        pod_object_clear(&p);
    }
}

static void what_is_absent_or_null_is_empty(void)
{
    static const char *const rows[] = {
        "{}",
        "{'metadata':null,'spec':null,'status':null}",
        ("{'metadata':{'annotations':null,'labels':null,'deletionTimestamp':null},"
         "'spec':{'containers':null,'initContainers':[],'schedulingGates':[],'nodeName':null},'status':{}}"),
        "{'metadata':[],'spec':'x','status':7}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct pod_object p;
        parse(rows[i], &p);
        g_test_message("%s", rows[i]);
        g_assert_cmpstr(p.uid, ==, "");
        g_assert_cmpstr(p.node, ==, "");
        g_assert_cmpint(p.phase, ==, POD_PENDING);
        g_assert_false(p.deleting || p.gated);
        g_assert_cmpuint(p.n_containers + p.n_annotations, ==, 0);
        pod_object_clear(&p);
    }
}

static void only_resources_and_annotations_of_ours_are_kept(void)
{
    struct pod_object p;
    parse("{'metadata':{'annotations':{'a':'1','hami.io/vgpu-node':'n1','hami.io/vgpu-node':'n2','hami.io/"
          "other':'3',"
          "'nvidia.com/use-gputype':'A\\u00e9\\n','predicate-time':'5'}},"
          "'spec':{'containers':[{'name':'c','resources':{"
          "'requests':{'cpu':'1','nvidia.com/gpu':'1','memory':'4Gi','nvidia.com/gpucores':null},"
          "'limits':{'nvidia.com/gpumem':'\\u0034k','nvidia.com/gpu':2,'nvidia.com/gpux':'1'}}}]}}",
          &p);
    g_assert_cmpuint(p.n_annotations, ==, 3);
    g_assert_cmpstr(pod_object_annotation(&p, "hami.io/vgpu-node"), ==, "n2");
    g_assert_cmpstr(pod_object_annotation(&p, "nvidia.com/use-gputype"), ==, "A\u00e9\n");
    g_assert_cmpstr(pod_object_annotation(&p, "predicate-time"), ==, "5"); /* Ascend writes it */
    g_assert_null(pod_object_annotation(&p, "a"));
    const struct pod_container *c = &p.containers[0];
    g_assert_cmpuint(c->n_resources, ==, 3);
    for (unsigned i = 0; i < c->n_resources; i++) {
        const struct pod_resource *r = &c->resources[i];
        if (strcmp(r->name, "nvidia.com/gpu") == 0)
            g_assert_true(json_text_is(r->limit, "2") && json_text_is(r->request, "1"));
        else if (strcmp(r->name, "nvidia.com/gpumem") == 0)
            g_assert_true(json_text_is(r->limit, "4k") && !r->request.at);
        else
            g_assert_true(!r->limit.at && !r->request.at);
    }
    pod_object_clear(&p);
}

static void containers_say_what_concerns_isolation(void)
{
    struct pod_object p;
    parse("{'spec':{'initContainers':[{'restartPolicy':'Always','name':'s'},{'name':'i','restartPolicy':'"
          "OnFailure'}],"
          "'containers':[{'name':'p','securityContext':{'runAsUser':0,'privileged':true}},"
          "{'name':'v','env':[{'value':'all','name':'NVIDIA_VISIBLE_DEVICES'}]},"
          "{'name':'w','env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'},"
          "{'name':'NVIDIA_VISIBLE_DEVICES','valueFrom':{'fieldRef':{}}}]},"
          "{'name':'x','restartPolicy':'Always','env':null,'securityContext':null},"
          "{'name':'y','env':[{'name':'NVIDIA_VISIBLE_DEVICES','valueFrom':null,'value':'GPU-1,2'}]},"
          "{'name':'z','env':[{'name':'NVIDIA_VISIBLE_DEVICES','value':'all'},"
          "{'name':'NVIDIA_VISIBLE_DEVICES','value':'void'}]}]}}",
          &p);
    g_assert_true(p.containers[0].sidecar && p.containers[0].init);
    g_assert_false(p.containers[1].sidecar);
    g_assert_true(p.containers[2].privileged);
    g_assert_true(p.containers[3].visible == POD_VISIBLE_ALL && !p.containers[3].privileged);
    g_assert_cmpint(p.containers[4].visible, ==, POD_VISIBLE_ELSEWHERE); /* the last one counts */
    g_assert_false(p.containers[5].sidecar);                             /* an ordinary container is none */
    g_assert_cmpint(p.containers[5].visible, ==, POD_VISIBLE_NOTHING);
    g_assert_cmpint(p.containers[6].visible, ==, POD_VISIBLE_NAMED);
    g_assert_cmpstr(p.containers[6].visible_named, ==, "GPU-1,2");
    g_assert_cmpint(p.containers[7].visible, ==, POD_VISIBLE_NOTHING);
    pod_object_clear(&p);
}

static void init_containers_are_over_when_all_but_sidecars_ended_well(void)
{
    static const struct {
        const char *name, *statuses;
        bool done;
    } rows[] = {
        {"none yet", "", false},
        {"one of two", "{'name':'a','state':{'terminated':{'exitCode':0}}}", false},
        {"both, the sidecar runs",
         "{'name':'a','state':{'terminated':{'exitCode':0}}},{'name':'s','state':{'running':{}}},"
         "{'name':'b','state':{'terminated':{'exitCode':0}}}",
         true},
        {"one failed",
         "{'name':'a','state':{'terminated':{'exitCode':0}}},{'name':'b','state':{'terminated':{'exitCode':1}"
         "}}",
         false},
        {"one waits",
         "{'name':'a','state':{'terminated':{'exitCode':0}}},{'name':'b','state':{'waiting':{}}}", false},
        {"without a code",
         "{'name':'a','state':{'terminated':{}}},{'name':'b','state':{'terminated':{'exitCode':0}}}", false},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct pod_object p;
        g_autofree char *text = g_strdup_printf(
            "{'status':{'initContainerStatuses':[%s]},'spec':{'containers':[{'name':'m'}],'initContainers':"
            "[{'name':'a'},{'name':'s','restartPolicy':'Always'},{'name':'b'}]}}",
            rows[i].statuses);
        parse(text, &p);
        g_test_message("%s", rows[i].name);
        g_assert_cmpint(p.inits_done, ==, rows[i].done);
        pod_object_clear(&p);
    }
}

static void what_is_no_pod_is_refused(void)
{
    g_autoptr(FamilySet) set = pods_families();
    g_autoptr(PodReader) reader = pod_reader_new(set);
    static const char *const rows[] = {
        "",
        "null",
        "[]",
        "'pod'",
        "{",
        "{'spec':{}}x",
        "{'metadata':{'name':'\\ud800'}}",
        "{'metadata':{'name':'a\xff'}}",
        "{'metadata':{'name':'a\\u0000b'}}",
        "{'spec':{'containers':[{'resources':{'limits':{'nvidia.com/gpu':{}}}}]}}",
        "{'spec':{'containers':[{'resources':{'limits':{'nvidia.com/gpu':true}}}]}}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct pod_object p;
        const char *why = NULL;
        g_autofree char *text = pods_text(rows[i]);
        g_test_message("row %zu", i); /* not all are UTF-8 */
        g_assert_false(pod_object_parse(reader, text, strlen(text), &p, &why));
        g_assert_nonnull(why);
        g_assert_null(p.arena);
    }
}

static void containers_are_limited(void)
{
    g_autoptr(FamilySet) set = pods_families();
    g_autoptr(PodReader) reader = pod_reader_new(set);
    for (int beyond = 0; beyond <= 1; beyond++) {
        GString *text = g_string_new("{'spec':{'containers':[{}");
        struct pod_object p;
        const char *why = NULL;
        for (int i = 1; i < POD_CONTAINERS_MAX + beyond; i++)
            g_string_append(text, ",{}");
        g_string_append(text, "]}}");
        g_strdelimit(text->str, "'", '"');
        g_assert_cmpint(pod_object_parse(reader, text->str, text->len, &p, &why), ==, !beyond);
        pod_object_clear(&p);
        g_string_free(text, TRUE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/pod-object/" #name, name)
    TEST(members_come_in_any_order);
    TEST(what_is_absent_or_null_is_empty);
    TEST(only_resources_and_annotations_of_ours_are_kept);
    TEST(containers_say_what_concerns_isolation);
    TEST(init_containers_are_over_when_all_but_sidecars_ended_well);
    TEST(what_is_no_pod_is_refused);
    TEST(containers_are_limited);
    return g_test_run();
}
