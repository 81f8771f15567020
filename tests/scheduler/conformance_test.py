#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wire contract of the reference's scheduler, case by case (scheduler.md; each test names its section): HTTP,
admission, registration, metrics. Where ours differs on purpose, ours is asserted and docs/moving-from-hami.md says so.
docs/tests-cluster.md is the index."""
import base64
import json
import re
import ssl
import threading
import time

import kit
from contract import annotations_of, capacity_node, cards_of, event_of, local_ago, mark, quota, world
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
            for size in (1, 1 << 20, (1 << 20) + 1, 5 << 20)[:4 if path == "/filter" else 2]:
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


@test("3.7 an agent that stops answering is closed when its minute is over, each at its own time, and again after it came back")
def _(build):
    def requesting(age):
        """The text, and when by the clock its minute is over: the text has whole seconds."""
        now = time.time()
        return "Requesting_" + time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now - age)), int(now - age) + 60

    def closes(s, name, at, start):
        s.process.line(f"event=node-unregistered node={name}", start=start, limit=max(at - time.time(), 0) + 15)
        late = time.time() - at
        assert -0.1 < late < 5, (name, late)
    (first, first_at), (second, second_at) = requesting(53), requesting(47)
    objects = [node(n, cards=1, annotations={"hami.io/node-handshake": text}, allocatable=False) for n, text in (("first", first), ("second", second))]
    with world(build, *objects) as (w, s):
        assert s.metric("hami_scheduler_nodes") == 2
        closes(s, "first", first_at, 0)
        assert s.metric("hami_scheduler_nodes") == 1
        closes(s, "second", second_at, 0)
        text, at = requesting(54)
        start = len(s.process.lines)
        mark(w, "first", **{"hami.io/node-handshake": text})
        s.until("hami_scheduler_nodes", 1)
        closes(s, "first", at, start)
        deadline = time.monotonic() + 15
        for name in ("first", "second"):  # written after it was told
            while not annotations_of(w, name)["hami.io/node-handshake"].startswith("Deleted_"):
                assert time.monotonic() < deadline, annotations_of(w, name)
                time.sleep(0.05)


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


SEVENTHS = [{"name": "1g.5gb", "memoryMB": 4864, "core": 15, "sliceCount": 1, "placements": [{"start": i, "size": 1} for i in range(7)]}]


@test("1.4 MIG instances are shown once the device plugin has made them")
def _(build):
    with world(build, node("a", cards=1, mode="mig", count=7, migProfiles=SEVENTHS), flags=["--legacy-metrics"]) as (w, s):
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


@test("6.1 MIG pods right after each other are decided before anything of the first came back")
def _(build):
    """B10: the reference takes the card for faulty until then."""
    with world(build, node("a", cards=1, mode="mig", count=7, migProfiles=SEVENTHS)) as (w, s):
        pods = [w.create(pod(f"p{i}", slice_of(mem=4000))) for i in range(8)]
        assert [s.filter(p, ["a"])["NodeNames"] for p in pods] == 7 * [["a"]] + [None]
        assert [s.bind(p, "a") for p in pods[:7]] == 7 * [""]
        places = [json.loads(w.pod(f"p{i}")["metadata"]["annotations"]["hami.io/vgpu-mig-allocations"])[0]["placement"]["start"] for i in range(7)]
        assert sorted(places) == list(range(7)), places


@test("1.4 instances of one card that a container has are one sample, and what init containers had goes with them")
def _(build):
    with world(build, node("a", cards=1, mode="mig", count=7, migProfiles=SEVENTHS), flags=["--legacy-metrics"]) as (w, s):
        s.place(pod("p", slice_of(gpus=2, mem=4000), init=[slice_of(gpus=3, mem=4000)]), ["a"])
        for init in (True, False):
            for name, each in (("hami_vgpu_memory_allocated_bytes", 4864 << 20), ("hami_vgpu_core_allocated_ratio", 15),
                               ("vGPUMemoryAllocated", 4864 << 20), ("vGPUCoreAllocated", 15)):
                found = [line.rsplit(" ", 1) for line in s.metrics().splitlines() if line.startswith(name + "{")]
                assert [int(value) for _, value in found] == ([3 * each] if init else []) + [2 * each], (name, found)
                assert len({labels for labels, _ in found}) == len(found), found
            w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"initContainerStatuses": [
                {"name": "init0", "state": {"terminated": {"exitCode": 0}}}]}}, "application/merge-patch+json")
            s.until("hami_gpu_core_allocated_ratio", 30)


@test("1.4 the old names have the labels that dashboards ask for")
def _(build):
    profiles = [{"name": "1g.5gb", "memoryMB": 4864, "core": 15, "sliceCount": 1, "placements": [{"start": i, "size": 1} for i in range(7)]}]
    flags = ["--legacy-metrics"]
    with world(build, node("a", cards=1), node("m", cards=1, mode="mig", count=7, migProfiles=profiles), flags=flags) as (w, s):
        s.place(pod("p", slice_of(mem=20480, cores=25)), ["a"])
        s.place(pod("q", slice_of(mem=4000)), ["m"])
        placed = json.loads(w.pod("q")["metadata"]["annotations"]["hami.io/vgpu-mig-allocations"])
        placed[0].update(migUUID="MIG-1", gpuInstanceID=13, computeInstanceID=0)
        w.annotate("/api/v1/namespaces/default/pods/q", **{"hami.io/vgpu-mig-allocations": json.dumps(placed)})
        s.until("hami_node_gpu_mig_instance_info", 1)
        card = {"nodeid": "a", "deviceuuid": "GPU-a-0", "deviceidx": "0"}
        typed = {**card, "devicetype": "NVIDIA A100-SXM4-40GB"}
        of_pod = {"podnamespace": "default", "nodename": "a", "podname": "p", "containeridx": "0", "deviceuuid": "GPU-a-0"}
        wanted = {  # scheduler.md 1.4; zone besides
            "GPUDeviceMemoryLimit": (typed, 40960 << 20), "GPUDeviceCoreLimit": (typed, 100), "GPUDeviceSharedNum": (typed, 1),
            "GPUDeviceCoreAllocated": (typed, 25), "GPUDeviceMemoryAllocated": ({**typed, "devicecores": "100"}, 20480 << 20),
            "nodeGPUOverview": ({**typed, "devicecores": "100", "devicememorylimit": "40960"}, 20480 << 20),
            "nodeGPUMemoryPercentage": (card, 0.5), "vGPUMemoryAllocated": (of_pod, 20480 << 20), "vGPUCoreAllocated": (of_pod, 25),
            "nodeGPUMigInstance": ({"nodeid": "m", "deviceuuid": "GPU-m-0", "deviceidx": "0", "migname": "1g.5gb-13"}, 1),
            "QuotaUsed": ({"quotanamespace": "default", "quotaName": "nvidia.com/gpumem", "limit": "0"}, 20480 + 4864)}
        found = [re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line) for line in s.metrics().splitlines()]
        found = [(m.group(1), dict(re.findall(r'(\w+)="([^"]*)"', m.group(2))), float(m.group(3))) for m in found if m]
        for name, (labels, value) in wanted.items():
            assert (name, {**labels, "zone": "vGPU"}, value) in found, (name, [f for f in found if f[0] == name])
        old = {name for name, _, _ in found if not name.startswith("hami_")}
        assert old == set(wanted), old ^ set(wanted)


# ---- 7.1 what users choose; vendors.md 9


@test("7.1 users choose and refuse cards by the words of the family, and both pairs of a family count")
def _(build):
    def register(key, word, *types):
        return {key: json.dumps([{"id": f"{word}-{i}", "index": i, "count": 4, "devmem": 65536, "devcore": 100, "type": t, "health": True} for i, t in enumerate(types)])}
    kunlun, vxpu = {"kunlunxin.com/xpu": 1}, {"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 20000}
    amd, module = {"amd.com/gpu": 1, "amd.com/gpumem": 1024}, {"huawei.com/Ascend910C": 2}
    nodes = [capacity_node("k", **{"kunlunxin.com__xpu": 8}),
             capacity_node("x", annotations={"hami.io/node-register-xpu": json.dumps([
                 {"id": f"x-{i}", "index": i, "count": 4, "devmem": 98304, "devcore": 100, "type": "XPU", "health": True} for i in range(8)])}, **{"kunlunxin.com__vxpu": 32}),
             capacity_node("r", annotations=register("hami.io/node-amd-register", "amd", "AMD Instinct MI300X", "AMD Instinct MI210"), **{"amd.com__gpu": 8}),
             capacity_node("c", annotations=register("hami.io/node-register-Ascend910C", "c", *["Ascend910C"] * 4), **{"huawei.com__Ascend910C": 16})]
    rows = [  # node, what is asked, annotations, where it is written, the cards given; a text is why there are none
        ("k", kunlun, {"baidu.com/use-gpuuuid": "k-kunlun-5"}, "kunlun", {"k-kunlun-5"}),
        ("k", kunlun, {"hami.io/use-xpu-uuid": "k-kunlun-2"}, "kunlun", {"k-kunlun-2"}),
        ("k", {"kunlunxin.com/xpu": 4}, {"baidu.com/nouse-gpuuuid": "k-kunlun-1"}, "kunlun", {f"k-kunlun-{i}" for i in (4, 5, 6, 7)}),
        ("k", {"kunlunxin.com/xpu": 4}, {"hami.io/no-use-xpu-uuid": "k-kunlun-6"}, "kunlun", {f"k-kunlun-{i}" for i in (0, 1, 2, 3)}),
        ("k", kunlun, {"baidu.com/use-gpuuuid": "k-kunlun-1,k-kunlun-5", "hami.io/no-use-xpu-uuid": "k-kunlun-1"}, "kunlun", {"k-kunlun-5"}),
        ("k", kunlun, {"baidu.com/use-gpuuuid": "k-kunlun-1", "hami.io/use-xpu-uuid": "k-kunlun-5"}, "kunlun", "CardUuidMismatch"),
        ("x", vxpu, {"baidu.com/use-gpuuuid": "x-3"}, "xpu-devices", {"x-3"}),
        ("x", vxpu, {"baidu.com/use-gpuuuid": "x-3,x-4", "baidu.com/nouse-gpuuuid": "x-3"}, "xpu-devices", {"x-4"}),
        ("r", amd, {"amd.com/use-gputype": "mi210"}, "amd-devices", {"amd-1"}),
        ("r", amd, {"amd.com/use-gputype": "MI300X"}, "amd-devices", {"amd-0"}),
        ("r", amd, {"amd.com/nouse-gputype": "MI210"}, "amd-devices", {"amd-0"}),
        ("r", amd, {"amd.com/use-gputype": "AMD", "amd.com/nouse-gputype": "mi300x"}, "amd-devices", {"amd-1"}),
        ("r", amd, {"amd.com/use-gputype": "MI100"}, "amd-devices", "2/2 CardTypeMismatch"),
        ("c", module, {"hami.io/use-Ascend910C-uuid": "c-2,c-3"}, "Ascend910C-devices", {"c-2", "c-3"}),
        ("c", module, {"hami.io/use-Ascend910C-uuid": "c-0,c-1"}, "Ascend910C-devices", {"c-0", "c-1"}),
        ("c", module, {"hami.io/no-use-Ascend910C-uuid": "c-0"}, "Ascend910C-devices", {"c-2", "c-3"}),
        ("c", module, {"hami.io/no-use-Ascend910C-uuid": "c-3"}, "Ascend910C-devices", {"c-0", "c-1"}),
        ("c", module, {"hami.io/use-Ascend910C-uuid": "c-1,c-2"}, "Ascend910C-devices", "AllocatedCardsInsufficientRequest"),  # no whole module
    ]
    with world(build, *nodes, flags=["--enable-ascend"]) as (w, s):
        for number, (where, asks, annotations, key, want) in enumerate(rows):
            p = pod(f"p{number}", asks, annotations=annotations)
            if isinstance(want, str):
                f = s.filter(w.create(p), [where])
                assert f["NodeNames"] is None and want in f["FailedNodes"][where], (annotations, f)
            else:
                placed = s.place(p, [where])["metadata"]["annotations"][f"hami.io/{key}-allocated"]
                got = {d.split(",")[0] for d in placed.rstrip(";").split(":") if d}
                assert got == want, (annotations, placed)
            w.delete(f"p{number}")
            s.until("hami_scheduler_pods", 0)


@test("vendors.md 9.4 two cards of Moore Threads are 32 cores and 192 units, and 16 and 49152 MiB each")
def _(build):
    n = capacity_node("t", **{"mthreads.com__sgpu-core": 32, "mthreads.com__sgpu-memory": 192, "mthreads.com__vgpu": 200})
    with world(build, n, flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        p = pod("p", {"mthreads.com/vgpu": 2})
        for op in json.loads(base64.b64decode(s.review(p)["patch"])):
            at = p
            *path, last = [part.replace("~1", "/") for part in op["path"].split("/")[1:]]
            for part in path:
                at = at[int(part) if part.isdigit() else part]
            at[last] = op["value"]
        limits = {k: str(v) for k, v in p["spec"]["containers"][0]["resources"]["limits"].items()}
        assert limits == {"mthreads.com/vgpu": "2", "mthreads.com/sgpu-core": "32", "mthreads.com/sgpu-memory": "192"}, limits
        assert p["metadata"]["annotations"] == {"mthreads.com/request-gpu-num": "2"}, p
        placed = s.place(p, ["t"])["metadata"]["annotations"]
        assert placed["hami.io/mthreads-vgpu-devices-allocated"] in (
            "t-mthreads-0,Mthreads,49152,16:t-mthreads-1,Mthreads,49152,16:;", "t-mthreads-1,Mthreads,49152,16:t-mthreads-0,Mthreads,49152,16:;"), placed
        assert sorted(placed["mthreads.com/gpu-index"].split(",")) == ["0", "1"], placed


if __name__ == "__main__":
    kit.main()
