#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wire contract of the reference's scheduler, case by case (scheduler.md; each test names its section). Where ours
differs on purpose, ours is asserted and docs/moving-from-hami.md says so. docs/tests-cluster.md is the index."""
import json
import re
import ssl
import threading
import time

import kit
from contract import (DEVICES, annotations_of, capacity_node, cards_of, event_of, local_ago, mark, mlu, mlu_node, quota, world)
from kit import call, gpu, node, pod, slice_of, test


# ---- 1.1 HTTP


@test("1.1 every answer of filter and bind is 200 with all keys, JSON")
def _(build):
    with world(build, node("a")) as (w, s):
        for path, body, keys in (("/filter", b"{not-json", {"Nodes", "NodeNames", "FailedNodes", "FailedAndUnresolvableNodes", "Error"}),
                                 ("/bind", b"{not-json", {"Error"})):
            a = s.post(path, body)
            assert a.status == 200 and set(a.json) == keys and a.json["Error"], (path, a.text)
        for method, path, status in (("GET", "/filter", 405), ("GET", "/bind", 405), ("POST", "/healthz", 405), ("POST", "/prioritize", 404),
                                     ("GET", "/debug/pprof/", 404), ("GET", "/healthz", 200), ("GET", "/readyz", 200)):
            a = call(s.port, method, path, b"{}" if method == "POST" else None)
            assert a.status == status, (method, path, a.status)
        assert call(s.metrics_port, "GET", "/metrics").status == 200 and call(s.metrics_port, "GET", "/filter").status == 404


@test("1.1 a body of blanks ends where an object should begin, however long it is")
def _(build):
    """TestMaxRequestSize, TestMaxRequestSizeBind: 200 and EOF in Error; ours reads larger bodies than 1 MiB, since 15 000 names are."""
    with world(build, node("a")) as (w, s):
        for path in ("/filter", "/bind"):
            for size in (1, 1 << 20):
                a = s.post(path, b" " * size)
                assert a.status == 200 and "EOF" in a.json["Error"], (path, size, a.status, a.text)
        a = s.post("/bind", b" " * ((1 << 20) + 1))
        assert a.status == 413, (a.status, a.text)
        p = w.create(pod("p", slice_of(mem=1)))
        names = ["a"] + [f"a-node-with-a-rather-long-name-{i:06}" for i in range(40000)]
        assert len(json.dumps(names)) > 1 << 20
        assert s.filter(p, names)["NodeNames"] == ["a"]


@test("1.1 NodeNames null finds no node and answers")
def _(build):
    """B16: the reference crashes."""
    with world(build, node("a")) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        for body in ({"Pod": p}, {"Pod": p, "NodeNames": None, "Nodes": None}, {"Pod": p, "NodeNames": []}):
            f = s.post("/filter", body).json
            assert f["NodeNames"] is None and f["Error"] == "", f


@test("1.1 a pod without cards gets its list back as it came, in either mode")
def _(build):
    """B16: with Nodes the reference answers with none."""
    with world(build, node("a")) as (w, s):
        p = w.create(pod("p", {"cpu": 1}))
        assert s.filter(p, ["z", "a"])["NodeNames"] == ["z", "a"]
        nodes = {"items": [{"metadata": {"name": "z"}}]}
        a = s.post("/filter", {"Pod": p, "Nodes": nodes}).json
        assert a["Nodes"] == nodes and a["Error"] == "", a


@test("1.1 filter waits until everything is known, and a caller that left is forgotten")
def _(build):
    """TestPredicateRoute_CacheNotSynced. Ours has no text to say to somebody who is gone."""
    w = kit.World(build, [node("a")])
    try:
        w.api("POST", "/control/set?errors=1&seed=1")
        s = w.start(wait=None)
        p = pod("p", slice_of(mem=1), uid="u")
        body = json.dumps({"Pod": p, "NodeNames": ["a"]}).encode()
        import socket
        c = socket.create_connection(("127.0.0.1", s.port))
        c.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        c.close()
        answers = []
        t = threading.Thread(target=lambda: answers.append(s.filter(p, ["a"])))
        t.start()
        w.api("POST", "/control/set?errors=0")
        t.join(kit.LIMIT_S)
        assert answers and answers[0]["NodeNames"] == ["a"], answers
    finally:
        w.close()


# ---- 1.3 flags


@test("1.3 --node-label-selector: only nodes with all the labels are looked at")
def _(build):
    def labelled(name, **labels):
        n = node(name)
        n["metadata"]["labels"] = labels
        return n
    with world(build, labelled("both", gpu="on", zone="z1"), labelled("one", gpu="on"), labelled("other", gpu="on", zone="z2"), labelled("none"),
               flags=["--node-label-selector", "gpu=on, zone=z1"]) as (w, s):
        p = w.create(pod("p", slice_of(mem=50000)))
        failed = s.filter(p, ["both", "one", "other", "none"])["FailedNodes"]
        assert failed == {"both": "2/2 CardInsufficientMemory", "one": "node unregistered", "other": "node unregistered", "none": "node unregistered"}, failed
        assert s.metric("hami_scheduler_nodes") == 1
        w.api("PATCH", "/api/v1/nodes/both", {"metadata": {"labels": {"zone": None}}}, "application/merge-patch+json")
        s.process.line("event=node-removed node=both")  # B8: the reference never evicts it
        w.api("PATCH", "/api/v1/nodes/one", {"metadata": {"labels": {"zone": "z1"}}}, "application/merge-patch+json")
        s.until("hami_scheduler_nodes", 1)
        assert s.filter(w.create(pod("q", slice_of(mem=1))), ["both", "one"])["NodeNames"] == ["one"]


@test("1.3 the policies of the command line hold where a pod says nothing")
def _(build):
    for flags, first, second in ((["--node-scheduler-policy", "binpack"], "a", "a"), (["--node-scheduler-policy", "spread"], "a", "b")):
        with world(build, node("a"), node("b"), flags=flags) as (w, s):
            for name, where in (("p", first), ("q", second)):
                now = s.place(pod(name, slice_of(mem=1000, cores=10)), ["a", "b"])
                assert now["spec"]["nodeName"] == where, (flags, name, now["spec"]["nodeName"])
    for policy, same in (("binpack", True), ("spread", False)):
        with world(build, node("a"), flags=["--gpu-scheduler-policy", policy]) as (w, s):
            for name in ("p", "q"):
                s.place(pod(name, slice_of(mem=1000, cores=10)), ["a"])
            assert (cards_of(w, "p") == cards_of(w, "q")) == same, (policy, cards_of(w, "p"), cards_of(w, "q"))


# ---- 1.5 events


@test("1.5 events of a success: the fitting nodes with scores, the chosen one last; and the binding")
def _(build):
    with world(build, node("a", cards=1), node("b", cards=1), node("full", cards=1, mem=100), flags=["--events=all"]) as (w, s):
        s.place(pod("first", slice_of(mem=20480, cores=50), annotations={"nvidia.com/use-gpuuuid": "GPU-a-0"}), ["a", "b", "full", "unknown"])
        # 6.5: before the pod is placed a has 1/10 of its slots, 50/100 of its cores and 20480/40960 of its memory in use: 11
        s.place(pod("p", slice_of(mem=1000, cores=10)), ["a", "b", "full", "unknown"])
        e = event_of(w, "p", "FilteringSucceed", "find fit node(a), 2 nodes not fit, 2 nodes fit(b:0.00,a:11.00)")
        assert e["type"] == "Normal" and e["source"]["component"] == "hami-scheduler" and e["involvedObject"]["kind"] == "Pod", e
        assert event_of(w, "p", "BindingSucceed", "Successfully binding node [a] to default/p")["type"] == "Normal"
        s.place(pod("q", slice_of(mem=1000, cores=10), annotations={"hami.io/node-scheduler-policy": "spread"}), ["a", "b"])
        # now a has 2/10, 60/100, 21480/40960: 13.24; the lowest wins
        event_of(w, "q", "FilteringSucceed", "find fit node(b), 0 nodes not fit, 2 nodes fit(a:13.24,b:0.00)")


@test("1.5 events of a failure: a summary, and one per reason code with the nodes sorted")
def _(build):
    many = [f"n{i}" for i in range(7)]
    with world(build, *[node(n, cards=1, mem=1000) for n in reversed(many)], node("p4", cards=1, kind="Tesla P4"), node("two", cards=2), flags=["--events=all"]) as (w, s):
        p = w.create(pod("p", slice_of(mem=2000), annotations={"nvidia.com/nouse-gputype": "P4", "nvidia.com/nouse-gpuuuid": "GPU-two-0,GPU-two-1"}))
        assert s.filter(p, [*reversed(many), "two", "p4", "unknown"])["NodeNames"] is None
        assert event_of(w, "p", "FilteringFailed", "no available node, 10 nodes do not meet")["type"] == "Warning"
        event_of(w, "p", "FilteringFailed", "7 nodes CardInsufficientMemory(n0,n1,n2,n3,n4,n5,n6)")
        event_of(w, "p", "FilteringFailed", "1 nodes CardTypeMismatch(p4)")
        event_of(w, "p", "FilteringFailed", "1 nodes CardUuidMismatch(two)")
        messages = [e["message"] for e in w.api("GET", "/api/v1/namespaces/default/events").json["items"]]
        assert not any("unregistered" in m for m in messages), messages
        q = w.create(pod("q", slice_of(gpus=3)))
        s.filter(q, ["two"])  # NodeInsufficientDevice has no such form: none of its own
        event_of(w, "q", "FilteringFailed", "no available node, 1 nodes do not meet")
        odd = w.create(pod("odd", slice_of(mem="16Gi")))
        s.filter(odd, ["two"])
        event_of(w, "odd", "FilteringFailed", lambda m: "16Gi" in m)
        assert s.bind(q, "two") != ""
        assert event_of(w, "q", "BindingFailed", lambda m: "decided" in m)["type"] == "Warning"


@test("1.5 by default events tell of failures, and of nothing with --events=none")
def _(build):
    for flags, wanted in ((["--events=none"], set()), ([], {"FilteringFailed"})):
        with world(build, node("a", cards=1), flags=flags) as (w, s):
            s.place(pod("p", slice_of(mem=1)), ["a"])
            s.filter(w.create(pod("q", slice_of(mem=50000))), ["a"])
            if wanted:
                event_of(w, "q", "FilteringFailed", lambda m: True)
            assert s.process.end() == 0  # what waits is sent first
            items = w.api("GET", "/api/v1/namespaces/default/events").json["items"]
            assert {e["reason"] for e in items} == wanted, items


# ---- 2.2 the envelope of admission


@test("2.2 a review is answered in its own version, with its uid, 200, and no patch where nothing changes")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        tls = ssl._create_unverified_context()

        def ask(body, content="application/json"):
            return call(s.webhook_port, "POST", "/webhook", body, content, tls)
        for version in ("v1", "v1beta1"):
            a = ask({"apiVersion": "admission.k8s.io/" + version, "kind": "AdmissionReview",
                     "request": {"uid": "abc", "operation": "CREATE", "namespace": "default", "object": pod("p", {"cpu": 1})}})
            r = a.json["response"]
            assert a.status == 200 and a.json["apiVersion"] == "admission.k8s.io/" + version and a.json["kind"] == "AdmissionReview", a.text
            assert r["uid"] == "abc" and r["allowed"] and r["status"]["code"] == 200 and "patch" not in r and "patchType" not in r, r
        good = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "abc", "object": pod("p", slice_of())}}
        for body, content in ((b"", "application/json"), (b"{", "application/json"), (b"[]", "application/json"), ({}, "application/json"),
                              ({"request": {"uid": "x"}}, "application/json"), ({"request": {"uid": "x", "object": 5}}, "application/json"),
                              (json.dumps(good).encode(), "text/plain")):
            a = ask(body, content)
            r = a.json["response"]
            assert a.status == 200 and r["allowed"] is False and r["status"]["code"] == 400 and r["status"]["message"], (body, a.text)
        large = pod("p", slice_of(), annotations={"x": "y" * (7 << 20)})
        try:
            a = ask({**good, "request": {"uid": "abc", "object": large}})
            assert a.status == 413 or a.json["response"]["status"]["code"] == 413, a.text[:200]
        except (ConnectionError, ssl.SSLError):
            pass  # it hung up on the sender, who goes on sending
        for empty in ([], None):
            p = pod("p")
            p["spec"]["containers"] = empty
            r = ask({**good, "request": {"uid": "abc", "object": p}}).json["response"]
            assert not r["allowed"] and r["status"]["code"] == 403 and "no containers" in r["status"]["message"], r


# ---- 3.7 handshake


@test("3.7 a handshake is answered for 60 seconds: 59 healthy, 61 dead unless the kubelet has cards to give")
def _(build):
    """vendors.md section 9, vector 12, without waiting a minute: 57 seconds old it lives, and dies by itself at 60."""
    rows = [  # name, age, allocatable, offered
        ("young", 57, None, True),
        ("old", 61, None, False),
        ("old-zero", 61, "0", False),
        ("old-with-cards", 61, "10", True),
    ]

    def handshaking(name, age, count):
        n = node(name, cards=1, annotations={"hami.io/node-handshake": "Requesting_" + local_ago(age)}, allocatable=False)
        if count is not None:
            n["status"] = {"allocatable": {"nvidia.com/gpu": count}, "capacity": {"nvidia.com/gpu": count}}
        return n
    w = kit.World(build, [handshaking(*r[:3]) for r in rows])
    try:
        s = w.start()
        p = w.create(pod("p", slice_of(mem=50000)))
        failed = s.filter(p, [r[0] for r in rows])["FailedNodes"]
        for name, _, _, offered in rows:
            assert failed[name] == ("1/1 CardInsufficientMemory" if offered else "node unregistered"), (name, failed)
        s.process.line("event=node-unregistered node=young", limit=15)
        assert s.filter(p, ["young"])["FailedNodes"] == {"young": "node unregistered"}
        mark(w, "young", **{"hami.io/node-handshake": "Reported_2026.11.26 10:00:00"})
        s.until("hami_scheduler_nodes", 2)
    finally:
        w.close()


@test("3.7 a handshake that says nothing of time counts as alive")
def _(build):
    rows = {"bare": "Requesting", "odd": "Requesting_soon", "future": "Requesting_" + local_ago(-30), "reported": "Reported 2026-11-26 08:15:00.1 +0000 UTC",
            "empty": ""}
    with world(build, *[node(n, cards=1, annotations={"hami.io/node-handshake": v}, allocatable=False) for n, v in rows.items()]) as (w, s):
        assert s.metric("hami_scheduler_nodes") == len(rows)
        assert all(annotations_of(w, n)["hami.io/node-handshake"] == v for n, v in rows.items()), "written without need"


@test("3.7 --compat-handshake answers a report, in the reference's words")
def _(build):
    with world(build, node("a", annotations={"hami.io/node-handshake": "Reported_2026.11.26 10:00:00"}), flags=["--compat-handshake"]) as (w, s):
        until = time.monotonic() + kit.LIMIT_S
        while not re.fullmatch(r"Requesting_\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", annotations_of(w, "a")["hami.io/node-handshake"]):
            assert time.monotonic() < until, annotations_of(w, "a")
            time.sleep(0.02)


@test("3.3 cards that are registered no more are gone, and none of an empty register is left")
def _(build):
    """B8: the reference keeps them."""
    with world(build, node("a", cards=2)) as (w, s):
        p = w.create(pod("p", slice_of(mem=50000)))
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "2/2 CardInsufficientMemory"}
        mark(w, "a", **{"hami.io/node-nvidia-register": json.dumps([gpu(1, "a")])})
        s.until("hami_scheduler_node_parses_total", 2)
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}
        mark(w, "a", **{"hami.io/node-nvidia-register": "[]"})
        s.process.line("event=node-unregistered node=a")
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "node unregistered"}


@test("3.3 a card with a fault is not given, and is given when it is well again")
def _(build):
    with world(build, node("a", cards=1, health=False)) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "1/1 CardNotHealth"}
        mark(w, "a", **{"hami.io/node-nvidia-register": json.dumps([gpu(0, "a")])})
        s.process.line("event=woken pod=default/p")
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]


@test("3.7 of two families on a node one may die, or be misread, without the other")
def _(build):
    """TestRegisterHealthReconciliationOnDiscoveryError_{Unhealthy,Healthy,HeterogeneousNode,Recovery}, Test_register_StaleDeviceVendorRemoval."""
    n = node("n", cards=1)
    n["metadata"]["annotations"]["hami.io/node-dcu-register"] = "DCU-0,4,65520,100,DCU-K100_AI,0,true,0,hami-core:"
    for side in ("allocatable", "capacity"):
        n["status"][side] = {"nvidia.com/gpu": "10", "hygon.com/dcunum": "4"}
    gpu_pod, dcu_pod = pod("g", slice_of(mem=50000)), pod("d", {"hygon.com/dcunum": 1, "hygon.com/dcumem": 70000})
    with world(build, n) as (w, s):
        g, d = w.create(gpu_pod), w.create(dcu_pod)

        def both(gpus, dcus):
            assert s.filter(g, ["n"])["FailedNodes"] == {"n": gpus}, s.filter(g, ["n"])
            assert s.filter(d, ["n"])["FailedNodes"] == {"n": dcus}, s.filter(d, ["n"])
        full, none = "1/1 CardInsufficientMemory", "NodeInsufficientDevice"
        both(full, full)
        seen = s.metric("hami_scheduler_node_parses_total")
        steps = [  # what happens, NVIDIA's answer, DCU's
            ({"metadata": {"annotations": {"hami.io/node-dcu-register": "rubbish"}}}, full, full),  # kept: malformed
            ({"status": {"allocatable": {"hygon.com/dcunum": "0"}}}, full, none),  # and dead: gone
            ({"status": {"allocatable": {"hygon.com/dcunum": "4"}}, "metadata": {"annotations": {
                "hami.io/node-dcu-register": "DCU-0,4,65520,100,DCU-K100_AI,0,true,0,hami-core:"}}}, full, full),
            ({"status": {"allocatable": {"nvidia.com/gpu": "0"}}}, none, full),
            ({"status": {"allocatable": {"nvidia.com/gpu": "10"}}}, full, full),
            ({"metadata": {"annotations": {"hami.io/node-nvidia-register": None}}}, none, full),
        ]
        for number, (patch, gpus, dcus) in enumerate(steps, 1):
            w.api("PATCH", "/api/v1/nodes/n", patch, "application/merge-patch+json")
            s.until("hami_scheduler_node_parses_total", seen + number)
            both(gpus, dcus)


@test("3.4 pair scores that cannot be read leave the cards in use")
def _(build):
    """The reference gives up the whole node's cards."""
    with world(build, node("a", cards=2, annotations={"hami.io/node-nvidia-score": "[{"})) as (w, s):
        s.process.line("event=scores-malformed node=a")
        s.place(pod("p", slice_of(gpus=2, mem=1), annotations={"hami.io/gpu-scheduler-policy": "topology-aware"}), ["a"])


@test("3.4 topology-aware follows the scores as they change")
def _(build):
    """B4: the reference reads them when the node registers anew."""
    def scores(*pairs):
        return json.dumps([{"uuid": f"GPU-a-{a}", "score": {f"GPU-a-{b}": s for x, b, s in pairs if x == a}} for a in {p[0] for p in pairs}])
    with world(build, node("a", cards=3, annotations={"hami.io/node-nvidia-score": scores((0, 1, 50), (1, 0, 50), (0, 2, 10), (2, 0, 10))})) as (w, s):
        wish = {"hami.io/gpu-scheduler-policy": "topology-aware"}
        s.place(pod("p", slice_of(gpus=2, mem=1), annotations=wish), ["a"])
        assert {"GPU-a-0", "GPU-a-1"} == set(re.findall(r"GPU-a-\d", cards_of(w, "p"))), cards_of(w, "p")
        w.delete("p")
        s.until("hami_scheduler_pods", 0)
        seen = s.metric("hami_scheduler_node_parses_total")
        mark(w, "a", **{"hami.io/node-nvidia-score": scores((0, 1, 50), (1, 0, 50), (0, 2, 100), (2, 0, 100))})
        s.until("hami_scheduler_node_parses_total", seen + 1)
        s.place(pod("q", slice_of(gpus=2, mem=1), annotations=wish), ["a"])
        assert {"GPU-a-0", "GPU-a-2"} == set(re.findall(r"GPU-a-\d", cards_of(w, "q"))), cards_of(w, "q")


@test("3.6 whatever decides about a node's cards is seen when it changes")
def _(build):
    ascend = capacity_node("ascend", annotations={"hami.io/node-register-Ascend910B3": json.dumps(
        [{"id": "A-0", "count": 4, "devmem": 65536, "devcore": 20, "type": "Ascend910B3", "health": True}])}, **{"huawei.com__Ascend910B3": 4})
    soft = pod("soft", {"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-memory": 1000, "huawei.com/Ascend910B3-core": 40},
               annotations={"huawei.com/vnpu-mode": "hami-core"})
    neuron = capacity_node("neuron", **{"aws.amazon.com__neuron": 4, "aws.amazon.com__neuroncore": 8})
    board = capacity_node("board", **{"kunlunxin.com__xpu": 2})
    metax = capacity_node("metax-a", **{"metax-tech.com__gpu": 2}), capacity_node("metax-b", **{"metax-tech.com__gpu": 2})
    cap = {"kunlunxin.com/xpu": "8"}
    rows = [  # pod, candidates, node that changes, how, answer before, answer after
        (soft, ["ascend"], "ascend", {"metadata": {"annotations": {"hami-vnpu-core": "true"}}}, "ModeNotFit", "ascend"),
        (pod("pair", {"aws.amazon.com/neuron": 2}), ["neuron"], "neuron", {"metadata": {"labels": {"node.kubernetes.io/instance-type": "inf2.24xlarge"}}},
         "4/4 ModeNotFit", "neuron"),
        (pod("four", {"kunlunxin.com/xpu": 4}), ["board"], "board", {"status": {"capacity": cap, "allocatable": cap}}, "NodeInsufficientDevice", "board"),
        (pod("few-losses", {"metax-tech.com/gpu": 1}), ["metax-a", "metax-b"], "metax-b", {"metadata": {"annotations": {
            "metax-tech.com/gpu.topology.losses": '{"1":100}'}}}, "metax-a", "metax-b"),
        (pod("high-scores", {"metax-tech.com/gpu": 1}, annotations={"hami.io/node-scheduler-policy": "spread"}), ["metax-a", "metax-b"], "metax-b",
         {"metadata": {"annotations": {"metax-tech.com/gpu.topology.scores": '{"1":1500}'}}}, "metax-a", "metax-b"),
    ]
    with world(build, ascend, neuron, board, *metax, flags=["--enable-ascend"]) as (w, s):
        for p, names, where, patch, before, after in rows:
            p = w.create(p)

            def answer():
                f = s.filter(p, names)
                return f["NodeNames"][0] if f["NodeNames"] else f["FailedNodes"][where]
            assert answer() == before, (p["metadata"]["name"], answer())
            seen = s.metric("hami_scheduler_node_parses_total")
            w.api("PATCH", "/api/v1/nodes/" + where, patch, "application/merge-patch+json")
            s.until("hami_scheduler_node_parses_total", seen + 1)
            assert answer() == after, (p["metadata"]["name"], answer())
            w.delete(p["metadata"]["name"])
            s.until("hami_scheduler_pods", 0)


# ---- 4.1 what is written at bind


@test("4.1 the label follows on demand, and a node name that no label can hold goes without")
def _(build):
    """B18: the reference can never place a pod on such a node."""
    long = "n" * 64
    with world(build, node("a"), node(long), flags=["--compat-label"]) as (w, s):
        s.place(pod("p", slice_of(mem=1)), ["a"])
        until = time.monotonic() + kit.LIMIT_S
        while w.pod("p")["metadata"].get("labels", {}).get("hami.io/vgpu-node") != "a":
            assert time.monotonic() < until, w.pod("p")["metadata"]
            time.sleep(0.02)
        now = s.place(pod("q", slice_of(mem=1)), [long])
        assert now["metadata"]["annotations"]["hami.io/vgpu-node"] == long
        assert s.process.end() == 0
        assert "hami.io/vgpu-node" not in w.pod("q")["metadata"].get("labels", {})


# ---- 1.4 metrics of families with odd units


@test("1.4 AMD's compute units are percent, and raw under the old names")
def _(build):
    """cmd/scheduler/metrics_test.go: 32 of 64 CUs are 50, legacy 32."""
    register = json.dumps([{"id": "AMD-0", "count": 10, "devmem": 65536, "devcore": 64, "type": "AMD Instinct MI300X", "health": True}])
    n = capacity_node("a", annotations={"hami.io/node-amd-register": register}, **{"amd.com__gpu": 10})
    with world(build, n, flags=["--legacy-metrics"]) as (w, s):
        s.place(pod("p", {"amd.com/gpu": 1, "amd.com/gpumem": 1024, "amd.com/gpucores": 50}), ["a"])
        for name, value in (("hami_gpu_core_limit_ratio", 100), ("hami_gpu_core_allocated_ratio", 50), ("hami_vgpu_core_allocated_ratio", 50),
                            ("GPUDeviceCoreLimit", 64), ("GPUDeviceCoreAllocated", 32), ("vGPUCoreAllocated", 32)):
            assert s.metric(name) == value, (name, s.metric(name))


@test("1.4 a card without memory has no ratio; a quota's label says 0 where there is no limit")
def _(build):
    register = json.dumps([gpu(0, "a", mem=0), gpu(1, "a")])
    n = node("a")
    n["metadata"]["annotations"]["hami.io/node-nvidia-register"] = register
    with world(build, n) as (w, s):
        s.place(pod("p", slice_of(mem=1000)), ["a"])
        assert s.metric("hami_node_gpu_memory_allocated_ratio", device_uuid="GPU-a-0") is None
        assert s.metric("hami_node_gpu_memory_allocated_ratio", device_uuid="GPU-a-1") is not None
        assert s.metric("hami_resource_quota_used", namespace="default", quota_name="nvidia.com/gpumem", limit="0") == 1000
        assert s.metric("hami_resource_quota_limit") is None


@test("1.4 MIG instances are shown once the device plugin has made them")
def _(build):
    profiles = [{"name": "1g.5gb", "memoryMB": 4864, "core": 15, "sliceCount": 1, "placements": [{"start": i, "size": 1} for i in range(7)]}]
    with world(build, node("a", cards=1, mode="mig", count=7, migProfiles=profiles), flags=["--legacy-metrics"]) as (w, s):
        s.place(pod("p", slice_of(mem=4000)), ["a"])
        placed = json.loads(w.pod("p")["metadata"]["annotations"]["hami.io/vgpu-mig-allocations"])
        assert placed == [{"containerIndex": 0, "deviceIndex": 0, "gpuUUID": "GPU-a-0", "profile": "1g.5gb", "placement": {"start": 6, "size": 1}}], placed
        assert cards_of(w, "p") == "GPU-a-0,NVIDIA,4864,15:;"
        assert s.metric("hami_node_gpu_mig_instance_info") is None, "no instance is known yet"
        placed[0].update(migUUID="MIG-1", gpuInstanceID=13, computeInstanceID=0)
        w.annotate("/api/v1/namespaces/default/pods/p", **{"hami.io/vgpu-mig-allocations": json.dumps(placed)})
        s.until("hami_node_gpu_mig_instance_info", 1, node="a", device_uuid="GPU-a-0", device_index="0", mig_uuid="MIG-1", profile="1g.5gb",
                gpu_instance_id="13", compute_instance_id="0", placement_start="6", placement_size="1")
        assert s.metric("nodeGPUMigInstance", migname="1g.5gb-13") == 1


# ---- 4.6 init containers and sidecars, through /filter


@test("4.6 init containers one by one, sidecars beside what follows, apps together: through filter and bind")
def _(build):
    gb = lambda n, **more: {**slice_of(mem=n * 1000, cores=10), **more}
    rows = [  # name, init, apps, what the card counts (MiB, slots), the annotation
        ("init-peak", [gb(5), gb(3)], [gb(2)], 5000, 1, "GPU-a-0,NVIDIA,5000,10:;GPU-a-0,NVIDIA,3000,10:;GPU-a-0,NVIDIA,2000,10:;"),
        ("apps-sum", [gb(3)], [gb(2), gb(2)], 4000, 2, "GPU-a-0,NVIDIA,3000,10:;GPU-a-0,NVIDIA,2000,10:;GPU-a-0,NVIDIA,2000,10:;"),
        ("sidecar", [gb(3, restart=True)], [gb(2)], 5000, 2, "GPU-a-0,NVIDIA,3000,10:;GPU-a-0,NVIDIA,2000,10:;"),
        ("init-beside-sidecar", [gb(1, restart=True), gb(6)], [gb(2)], 7000, 2, "GPU-a-0,NVIDIA,1000,10:;GPU-a-0,NVIDIA,6000,10:;GPU-a-0,NVIDIA,2000,10:;"),
        ("init-before-sidecar", [gb(6), gb(1, restart=True)], [gb(2)], 6000, 2, "GPU-a-0,NVIDIA,6000,10:;GPU-a-0,NVIDIA,1000,10:;GPU-a-0,NVIDIA,2000,10:;"),
        ("only-init", [gb(4)], [{}], 4000, 1, "GPU-a-0,NVIDIA,4000,10:;;"),
        ("mesh", [{}], [gb(2), {}], 2000, 1, ";GPU-a-0,NVIDIA,2000,10:;;"),
    ]
    with world(build, node("a", cards=1, mem=7000)) as (w, s):
        for name, init, apps, mib, slots, text in rows:
            s.place(pod(name, *apps, init=init), ["a"])
            assert cards_of(w, name) == text, (name, cards_of(w, name))
            assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == mib << 20, (name, s.metrics())
            assert s.metric("hami_gpu_shared_count", device_uuid="GPU-a-0") == slots, name
            w.delete(name)
            s.until("hami_scheduler_pods", 0)
        for name, init, apps in (("sidecar-too-large", [gb(5, restart=True)], [gb(3)]), ("beside-too-large", [gb(3, restart=True), gb(5)], [gb(1)]),
                                 ("init-too-large", [gb(8)], [gb(1)]), ("apps-too-large", [], [gb(4), gb(4)])):
            f = s.filter(w.create(pod(name, *apps, init=init)), ["a"])
            assert f["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}, (name, f)


@test("4.6 the peak shrinks only when every init container ended well")
def _(build):
    ended = lambda name, code=0: {"name": name, "state": {"terminated": {"exitCode": code}}}
    steps = [  # init container statuses, MiB counted
        ([ended("init0")], 20000),
        ([ended("init0"), {"name": "init1", "state": {"running": {}}}], 20000),
        ([ended("init0"), ended("init1", 1)], 20000),
        ([ended("init0"), ended("init1")], 10000),
        ([ended("init0"), {"name": "init1", "state": {"running": {}}}], 10000),
    ]
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=10000), init=[slice_of(mem=20000), slice_of(mem=100)]), ["a"])
        for statuses, mib in steps:
            seen = s.metric("hami_scheduler_watch_events_total")
            w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"initContainerStatuses": statuses}}, "application/merge-patch+json")
            s.until("hami_scheduler_watch_events_total", seen + 1)
            assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == mib << 20, (statuses, s.metrics())
            assert s.metric("hami_resource_quota_used", namespace="default", quota_name="nvidia.com/gpumem") == mib, statuses


# ---- 4.5 the pod cache


@test("4.5 what is counted of a pod follows its phase, and stays while it is ending")
def _(build):
    """B20: the reference forgets ending pods over a restart."""
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=40960), finalizers=["example.com/wait"]), ["a"])
        w.delete("p")
        assert w.pod("p")["metadata"]["deletionTimestamp"]
        for service in (s, None):
            if service is None:
                s.process.end(9)
                service = w.start()
            f = service.filter(w.create(pod("q", slice_of(mem=1))) if service is s else w.pod("q"), ["a"])
            assert f["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}, f
        w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"phase": "Failed"}}, "application/merge-patch+json")
        service.until("hami_scheduler_pods", 0)


@test("4.5 an assignment that cannot be read harms nobody else")
def _(build):
    """Test_onAddPod_BadDeviceAnnotation; Test_getNodesUsage_StalePodDeviceAllocation: a card that is gone does not poison the others."""
    def bound(name, text):
        p = pod(name, slice_of(mem=100), annotations={DEVICES: text, "hami.io/vgpu-node": "a"})
        p["spec"]["nodeName"] = "a"
        return p
    with world(build, node("a", cards=1), bound("bad", "GPU-a-0,NVIDIA,100:;"), bound("negative", "GPU-a-0,NVIDIA,-5,0:;"), bound("ghost", "GPU-gone,NVIDIA,100,0:;")) as (w, s):
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == 40960 << 20


@test("4.5 a bound pod's cards are believed when they are as many as it asks for")
def _(build):
    """S2: more would be capacity taken from others, fewer somebody's mistake."""
    rows = [("one", 1, "GPU-a-0,NVIDIA,100,0:;", True), ("two-for-one", 1, "GPU-a-0,NVIDIA,100,0:GPU-a-1,NVIDIA,100,0:;", False),
            ("one-for-two", 2, "GPU-a-0,NVIDIA,100,0:;", False), ("two", 2, "GPU-a-0,NVIDIA,100,0:GPU-a-1,NVIDIA,100,0:;", True),
            ("of-two-containers", 1, "GPU-a-0,NVIDIA,100,0:;GPU-a-1,NVIDIA,100,0:;", False)]
    with world(build, node("a", cards=2)) as (w, s):
        for number, (name, gpus, text, believed) in enumerate(rows):
            p = pod(name, slice_of(gpus=gpus, mem=100), annotations={DEVICES: text, "hami.io/vgpu-node": "a"})
            p["spec"]["nodeName"] = "a"
            w.create(p)
            if believed:
                s.until("hami_scheduler_pods", 1)
            else:
                s.process.line(f"event=assignment-refused .*pod={name} ")
                assert s.metric("hami_scheduler_pods") == 0, name
            w.delete(name)
            s.until("hami_scheduler_pods", 0)


@test("4.5 pods that were seen before their node registered are counted when it does")
def _(build):
    n = node("a", cards=1)
    register = n["metadata"]["annotations"].pop("hami.io/node-nvidia-register")
    early = pod("early", slice_of(mem=40960), annotations={DEVICES: "GPU-a-0,NVIDIA,40960,0:;", "hami.io/vgpu-node": "a"})
    early["spec"]["nodeName"] = "a"
    with world(build, n, early) as (w, s):
        assert s.metric("hami_scheduler_pods") == 0
        mark(w, "a", **{"hami.io/node-nvidia-register": register})
        s.until("hami_gpu_memory_allocated_bytes", 40960 << 20, device_uuid="GPU-a-0")


@test("4.5 a pod that is deleted before it is bound gives its reservation back at once")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=40960), finalizers=["example.com/wait"]))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"] and s.metric("hami_scheduler_pods") == 1
        w.delete("p")
        s.until("hami_scheduler_pods", 0, limit=20)  # before the reservation's own deadline of 30 s


@test("4.5 an attempt that failed leaves nothing that a later update brings back")
def _(build):
    """B2: filter fails, then the pod's condition changes."""
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("full", slice_of(mem=40000)), ["a"])
        p = w.create(pod("p", slice_of(mem=960)))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        assert s.filter(w.create(pod("q", slice_of(mem=960))), ["a"])["NodeNames"] is None
        big = {**p, "spec": {**p["spec"], "containers": [{"name": "c0", "resources": {"limits": {"nvidia.com/gpu": "1", "nvidia.com/gpumem": "2000"}}}]}}
        assert s.filter(big, ["a"])["NodeNames"] is None
        w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}, "application/merge-patch+json")
        s.place(pod("r", slice_of(mem=960)), ["a"])


@test("6.6 a node that went away between filter and bind is said, and the cards are given back")
def _(build):
    """Test_Bind_DelPodOnGetNodeFailure."""
    with world(build, node("a", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        w.api("DELETE", "/api/v1/nodes/a")
        s.process.line("event=node-removed node=a")
        assert s.bind(p, "a").startswith("failed to get node a"), s.process.lines[-3:]
        assert s.metric("hami_scheduler_pods") == 0
        assert "nodeName" not in w.pod("p")["spec"]


@test("6.6 what the API server refuses is given back at once; what became of a lost answer is waited for")
def _(build):
    """B2. An answer of 500 says nothing: the binding may have been made."""
    with world(build, node("a", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        stranger = {**p, "metadata": {**p["metadata"], "uid": "of-a-pod-before"}}
        assert s.filter(stranger, ["a"])["NodeNames"] == ["a"]
        assert s.bind(stranger, "a") != "" and s.metric("hami_scheduler_pods") == 0
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        w.api("POST", "/control/set?errors=1&seed=1")
        assert s.bind(p, "a") != "" and s.metric("hami_scheduler_pods") == 1
        w.api("POST", "/control/set?errors=0")
        assert "being bound" in s.bind(p, "a"), "it is sent twice"
        assert "being bound" in s.filter(p, ["a"])["Error"]
        other = w.create(pod("q", slice_of(mem=1)))
        assert s.filter(other, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}


@test("6.10 victims that kube-scheduler found stay, beside those for the cards")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        low = pod("low", slice_of(mem=30000))
        low["spec"]["priority"] = 0
        low = s.place(low, ["a"])
        high = pod("high", slice_of(mem=20000))
        high["spec"]["priority"] = 10
        high = w.create(high)
        want = {"a": {"Pods": sorted([{"UID": low["metadata"]["uid"]}, {"UID": "given"}], key=lambda v: v["UID"]), "NumPDBViolations": 1}}
        for given in ({"NodeNameToMetaVictims": {"a": {"Pods": [{"UID": "given"}], "NumPDBViolations": 1}}},
                      {"NodeNameToVictims": {"a": {"Pods": [{"metadata": {"name": "x", "uid": "given"}}], "NumPDBViolations": 1}}}):
            got = s.post("/preempt", {"Pod": high, **given}).json["NodeNameToMetaVictims"]
            for victims in got.values():
                victims["Pods"].sort(key=lambda v: v["UID"])
            assert got == want, got


@test("6.9 of empty nodes the simulation takes the one that the family likes best, and quota holds there too")
def _(build):
    def table(**of):
        return {f"metax-tech.com/gpu.topology.{k}": json.dumps({"1": v}) for k, v in of.items()}
    worse = capacity_node("worse", annotations=table(losses=1500, scores=100), **{"metax-tech.com__gpu": 2})
    better = capacity_node("better", annotations=table(losses=100, scores=1500), **{"metax-tech.com__gpu": 2})
    with world(build, quota(**{"nvidia.com/gpumem": 100})) as (w, s):
        for policy in ("binpack", "spread"):
            p = pod("p", {"metax-tech.com/gpu": 1}, annotations={"hami.io/node-scheduler-policy": policy}, uid="u")
            for items in ([worse, better], [better, worse]):
                a = s.post("/filter", {"Pod": p, "Nodes": {"items": items}}).json
                assert [n["metadata"]["name"] for n in a["Nodes"]["items"]] == ["better"], (policy, a)
        s.until("hami_resource_quota_limit", 100, quota_name="nvidia.com/gpumem")
        a = s.post("/filter", {"Pod": pod("q", slice_of(mem=101), uid="v"), "Nodes": {"items": [node("n")]}}).json
        assert a["Nodes"] is None and a["FailedNodes"] == {"n": "2/2 ResourceQuotaNotFit"}, a
        assert s.metric("hami_scheduler_pods") == 0 and s.metric("hami_scheduler_waiting_pods") == 0


# ---- 6.8 quota at admission, through the webhook


@test("6.8 quota at admission, in every family's own units")
def _(build):
    rows = [  # name, quota, what runs, what is asked, allowed
        ("NVIDIA memory fits", {"nvidia.com/gpumem": 2000}, slice_of(mem=1000, cores=1), [slice_of(mem=1000, cores=1)], True),
        ("NVIDIA memory", {"nvidia.com/gpumem": 2000}, slice_of(mem=1000, cores=1), [slice_of(mem=1024, cores=1)], False),
        ("NVIDIA every card", {"nvidia.com/gpumem": 2000}, slice_of(mem=1000, cores=1), [slice_of(gpus=2, mem=501, cores=1)], False),
        ("NVIDIA cores", {"nvidia.com/gpucores": 50}, None, [slice_of(mem=1, cores=51)], False),
        ("NVIDIA a percentage counts no memory here", {"nvidia.com/gpumem": 10}, None, [slice_of(percent=50, cores=1)], True),
        ("NVIDIA a percentage's cores count", {"nvidia.com/gpucores": 50}, None, [slice_of(percent=50, cores=60)], False),
        ("another resource is no limit of ours", {"nvidia.com/gpu": 0}, None, [slice_of(mem=1, cores=1)], True),
        ("0 blocks", {"nvidia.com/gpumem": 0}, None, [slice_of(mem=1, cores=1)], False),
        ("MLU units fit", {"cambricon.com/mlu.smlu.vmemory": 100}, None, [mlu(50)], True),
        ("MLU units", {"cambricon.com/mlu.smlu.vmemory": 100}, None, [mlu(200)], False),
        ("MLU cores beside what runs", {"cambricon.com/mlu.smlu.vcore": 50}, mlu(1, 20), [mlu(1, 60)], False),
        ("DCU memory", {"hygon.com/dcumem": 1000}, None, [{"hygon.com/dcunum": 1, "hygon.com/dcumem": 1200}], False),
        ("DCU memory fits", {"hygon.com/dcumem": 1000}, None, [{"hygon.com/dcunum": 1, "hygon.com/dcumem": 800}], True),
        ("Moore Threads units", {"mthreads.com/sgpu-memory": 40}, None, [{"mthreads.com/vgpu": 1, "mthreads.com/sgpu-memory": 64}], False),
        ("Moore Threads units fit", {"mthreads.com/sgpu-memory": 64}, None, [{"mthreads.com/vgpu": 1, "mthreads.com/sgpu-memory": 64}], True),
        ("MetaX GiB", {"metax-tech.com/vmemory": 4}, None, [{"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": 5}], False),
        ("MetaX GiB fit", {"metax-tech.com/vmemory": 4}, None, [{"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": 4}], True),
        ("Ascend after rounding", {"huawei.com/Ascend310P-memory": 3000}, None, [{"huawei.com/Ascend310P": 1, "huawei.com/Ascend310P-memory": 2000}], False),
        ("Ascend template fits", {"huawei.com/Ascend310P-memory": 3072}, None, [{"huawei.com/Ascend310P": 1, "huawei.com/Ascend310P-memory": 2000}], True),
        ("a fraction is no limit", {"nvidia.com/gpumem": "1500m"}, None, [slice_of(mem=5000, cores=1)], True),
    ]
    with world(build, node("a", cards=4), mlu_node("m"), flags=["--webhook-bind", "127.0.0.1:0", "--enable-ascend"]) as (w, s):
        for number, (name, hard, runs, asks, allowed) in enumerate(rows, 1):
            if runs:
                s.place(pod("runs", runs), ["a", "m"])
            w.create(quota(**hard))
            resource = next(iter(hard))
            w.create(quota("seen-after-it", **{"amd.com/gpumem": number}))
            s.until("hami_resource_quota_limit", number, quota_name="amd.com/gpumem")
            counted = s.metric("hami_resource_quota_limit", namespace="default", quota_name=resource)
            assert (counted is None) == (resource == "nvidia.com/gpu" or "m" in str(hard[resource])), (name, counted)
            r = s.review(pod("p", *asks))
            assert r["allowed"] == allowed, (name, r)
            assert allowed or ("exceeding resource quota" in r["status"]["message"] and resource in r["status"]["message"]), (name, r)
            for q in ("q", "seen-after-it"):
                w.api("DELETE", "/api/v1/namespaces/default/resourcequotas/" + q)
            s.until("hami_resource_quota_limit", None, quota_name="amd.com/gpumem")
            if runs:
                w.delete("runs")
                s.until("hami_scheduler_pods", 0)


if __name__ == "__main__":
    kit.main()
