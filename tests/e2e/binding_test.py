# SPDX-License-Identifier: Apache-2.0
"""One pod, one decision, one write."""
import time

from hami import USER
from kit import note, test
from nodes import node, nvidia
from pods import annotation, cards, container, devices, job, pod


def set_aside(w, name, **more):
    """A pod that kube-scheduler cannot place by itself, so that the test asks the extender about it."""
    return w.create(pod(name, spec={"nodeSelector": {"no": "such-node"}}, **more))


def ask_filter(w, p, *nodes):
    return w.hami.ask("filter", {"Pod": p, "Nodes": None, "NodeNames": list(nodes)})


def ask_bind(w, p, node, uid=None):
    m = p["metadata"]
    return w.hami.ask("bind", {"PodName": m["name"], "PodNamespace": m["namespace"], "PodUID": uid or m["uid"], "Node": node})["Error"]


@test("binding: a pod is bound in one write that carries its assignment")
def _(w):
    w.node("gpu-1", nvidia)
    since = w.plane.audit_position()
    p = w.place("one", gpus=1, mem=3000, cores=30)
    (uuid, kind, mem, cores), = devices(p)[0]
    assert uuid in ("GPU-gpu-1-0", "GPU-gpu-1-1") and (kind, mem, cores) == ("NVIDIA", 3000, 30), devices(p)
    assert annotation(p, "hami.io/vgpu-node") == p["spec"]["nodeName"] == "gpu-1"
    assert annotation(p, "hami.io/vgpu-devices-to-allocate") == annotation(p, "hami.io/vgpu-devices-allocated")
    assert abs(int(annotation(p, "hami.io/vgpu-time")) - time.time()) < 300
    assert w.requests(since, "one", USER) == [(USER, "create", "binding")], w.requests(since, "one")


@test("binding: a hundred pods cost a hundred writes and no reads")
def _(w):
    for i in range(4):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", cards=8))
    since, start = w.plane.audit_position(), time.monotonic()
    names = [f"p{i}" for i in range(100)]
    w.create(*(pod(name, gpus=1, mem=1000, cores=3) for name in names))
    w.all_bound(names)
    note(f"100 pods bound within {time.monotonic() - start:.1f} s of kubectl create")
    done = w.requests(since, user=USER)
    assert done == [(USER, "create", "binding")] * 100, {what: done.count(what) for what in set(done)}
    w.nothing_is_given_twice()


@test("binding: what stood in the pod's annotations stays")
def _(w):
    w.node("gpu-1", nvidia)
    p = w.place("one", gpus=1, mem=3000, annotations={"example.com/mine": "kept", "hami.io/gpu-scheduler-policy": "binpack"})
    assert annotation(p, "example.com/mine") == "kept" and annotation(p, "hami.io/gpu-scheduler-policy") == "binpack"


@test("binding: asking again changes nothing and reserves nothing twice")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=10000))
    p = set_aside(w, "asked", gpus=1, mem=5000, cores=10)
    since = w.plane.audit_position()
    answers = [ask_filter(w, p, "gpu-1") for _ in range(5)]
    assert all(a == answers[0] for a in answers) and answers[0]["NodeNames"] == ["gpu-1"] and not answers[0]["Error"], answers
    assert w.requests(since, user=USER) == []
    assert not annotation(w.get("asked"), "hami.io/vgpu-node")
    w.place("beside", gpus=1, mem=5000, cores=10)  # of the 10000 MiB exactly half are spoken for


@test("binding: a reservation is given back when its pod is deleted")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=10000))
    p = set_aside(w, "asked", gpus=1, mem=8000)
    assert ask_filter(w, p, "gpu-1")["NodeNames"] == ["gpu-1"]
    w.delete("asked")
    w.place("next", gpus=1, mem=8000)


@test("binding: a pod is bound once, and only under its own UID")
def _(w):
    w.node("gpu-1", nvidia)
    p = set_aside(w, "asked", gpus=1, mem=3000)
    assert ask_filter(w, p, "gpu-1")["NodeNames"] == ["gpu-1"]
    assert ask_bind(w, p, "gpu-1", uid="00000000-0000-0000-0000-000000000000")
    assert not w.get("asked")["spec"].get("nodeName")
    assert ask_bind(w, p, "gpu-1") == ""
    first = annotation(w.get("asked"), "hami.io/vgpu-devices-allocated")
    ask_bind(w, p, "gpu-1")
    assert annotation(w.get("asked"), "hami.io/vgpu-devices-allocated") == first


@test("binding: a pod is not bound to a node that was not chosen for it")
def _(w):
    w.node("gpu-1", nvidia)
    w.node("gpu-2", nvidia)
    p = set_aside(w, "asked", gpus=1, mem=3000)
    chosen, = ask_filter(w, p, "gpu-1", "gpu-2")["NodeNames"]
    other = {"gpu-1": "gpu-2", "gpu-2": "gpu-1"}[chosen]
    assert ask_bind(w, p, other) != ""
    assert not w.get("asked")["spec"].get("nodeName")


@test("binding: pods without an accelerator are neither changed nor hindered")
def _(w):
    w.node("gpu-1", nvidia)
    plain = w.create(pod("plain"))
    assert plain["spec"]["schedulerName"] == "default-scheduler" and not plain["metadata"].get("annotations")
    since = w.plane.audit_position()
    p = w.place("through", spec={"schedulerName": "hami-scheduler"})
    assert not annotation(p, "hami.io/vgpu-node") and w.requests(since, "through", USER) == []
    assert ask_filter(w, plain, "gpu-1", "elsewhere")["NodeNames"] == ["gpu-1", "elsewhere"]


@test("binding: a container without a card keeps its empty place")
def _(w):
    w.node("gpu-1", nvidia)
    limits = {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 1000}
    p = w.place("three", containers=[container("log"), container("main", limits), container("proxy")])
    given = devices(p)
    assert [len(slot) for slot in given] == [0, 1, 0], given


@test("binding: two cards of one pod are two physical cards")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=3))
    for name in ("a", "b", "c"):
        p = w.place(name, gpus=2, mem=1000)
        assert len(set(cards(p))) == 2, cards(p)
    assert "NodeInsufficientDevice" in w.refused_place("d", gpus=4, mem=1000)


@test("binding: the pods of a Job share the cards and take no more than there is")
def _(w):
    for i in range(2):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", cards=2, mem=10000))
    w.create(job("work", 20, gpus=1, mem=2000, cores=20))

    def of_the_job():
        return w.api.list("pods", w.ns, labelSelector="job-name=work")
    w.eventually(lambda: len(of_the_job()) == 20, "the Job has its pods")
    w.all_bound([p["metadata"]["name"] for p in of_the_job()])
    w.nothing_is_given_twice()
    assert "CardInsufficient" in w.refused_place("one-more", gpus=1, mem=2000, cores=20)


@test("binding: the autoscaler's question about nodes that do not exist yet has no effect")
def _(w):
    w.node("gpu-1", nvidia)
    p = set_aside(w, "asked", gpus=1, mem=3000)
    template = node("template-1", nvidia("template-1"))
    answer = w.hami.ask("filter", {"Pod": p, "Nodes": {"kind": "NodeList", "apiVersion": "v1", "items": [template]}, "NodeNames": None})
    assert [n["metadata"]["name"] for n in answer["Nodes"]["items"]] == ["template-1"] and not answer["Error"], answer
    too_big = {**p, "spec": pod("x", gpus=1, mem=90000)["spec"]}
    answer = w.hami.ask("filter", {"Pod": too_big, "Nodes": {"items": [template]}, "NodeNames": None})
    assert not (answer["Nodes"] or {}).get("items") and "CardInsufficientMemory" in answer["FailedNodes"]["template-1"], answer


@test("binding: malformed questions are answered with what is wrong")
def _(w):
    assert w.hami.ask("filter", {"Pod": None, "Nodes": None, "NodeNames": ["a"]})["Error"]
    assert w.hami.ask("filter", {"NodeNames": ["a"]})["Error"]
    assert w.hami.ask("bind", {"PodName": "nobody", "PodNamespace": w.ns, "PodUID": "no-such", "Node": "a"})["Error"]
    assert w.hami.get("/healthz")[0] == 200 and w.hami.get("/readyz")[0] == 200
    assert w.hami.get("/no-such-page")[0] == 404
