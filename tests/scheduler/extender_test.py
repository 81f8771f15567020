#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/filter, /bind and what becomes of them, over an API server in memory."""
import time

import kit
from contract import DEVICES, event_of, mlu, mlu_node, quota, world
from kit import node, pod, slice_of, test


@test("a filter answers with exactly one node and writes nothing")
def _(build):
    with world(build, node("a"), node("b")) as (w, s):
        p = w.create(pod("p", slice_of(mem=3000, cores=30)))
        before = w.pod("p")
        f = s.filter(p, ["a", "b"])
        assert len(f["NodeNames"]) == 1 and f["NodeNames"][0] in ("a", "b"), f
        assert set(f) == {"Nodes", "NodeNames", "FailedNodes", "FailedAndUnresolvableNodes", "Error"}, f
        assert f["Nodes"] is None and f["FailedNodes"] is None and f["Error"] == "", f
        assert s.filter(p, ["a", "b"]) == f, "repeating it changes the answer"
        assert w.pod("p") == before
        assert s.metric("hami_scheduler_pods") == 1


@test("a bind is one write that carries the assignment as the device plugin reads it")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=3000, cores=30)))
        version = int(p["metadata"]["resourceVersion"])
        s.filter(p, ["a"])
        assert s.bind(p, "a") == ""
        now = w.pod("p")
        assert now["spec"]["nodeName"] == "a"
        assert int(now["metadata"]["resourceVersion"]) == version + 1, "more than one write"
        annotations = now["metadata"]["annotations"]
        assert annotations["hami.io/vgpu-devices-to-allocate"] == "GPU-a-0,NVIDIA,3000,30:;", annotations
        assert annotations[DEVICES] == "GPU-a-0,NVIDIA,3000,30:;"
        assert annotations["hami.io/vgpu-node"] == "a" and annotations["hami.io/bind-phase"] == "allocating"
        assert annotations["hami.io/vgpu-time"].isdigit() and annotations["hami.io/bind-time"].isdigit()
        assert "hami.io/vgpu-node" not in now["metadata"].get("labels", {})


@test("containers without cards keep their slots")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        now = s.place(pod("p", {}, slice_of(mem=100), {}, init=[{}]), ["a"])
        assert now["metadata"]["annotations"][DEVICES] == ";;GPU-a-0,NVIDIA,100,0:;;", now["metadata"]["annotations"]


@test("two cards are two physical cards")
def _(build):
    with world(build, node("one", cards=1), node("two", cards=2)) as (w, s):
        now = s.place(pod("p", slice_of(gpus=2, mem=100)), ["one", "two"])
        assert now["spec"]["nodeName"] == "two"
        assert sorted(now["metadata"]["annotations"][DEVICES].rstrip(";").rstrip(":").split(":")) == [
            "GPU-two-0,NVIDIA,100,0", "GPU-two-1,NVIDIA,100,0"]


@test("candidates are who is listed, in whatever order and after whatever list came before")
def _(build):
    names = [f"n{i}" for i in range(12)]
    with world(build, *(node(n, cards=1) for n in names)) as (w, s):
        stretches = [names, names, names[::-1], names[6:] + names[:6], names[::2], names[1::2], ["n3"], ["n4", "n3", "unknown", "n5"],
                     ["n0", "unknown", "n1"], ["n0", "n0", "n1"]]
        for i, listed in enumerate(stretches):
            f = s.filter(w.create(pod(f"p{i}", slice_of(mem=100000000))), listed)
            assert set(f["FailedNodes"]) == set(listed), (listed, f)
        for i, name in enumerate(names * 2):  # the only one that was not used yet is the only one that is listed
            assert s.filter(w.create(pod(f"q{i}", slice_of(mem=1000))), [name])["NodeNames"] == [name]
        w.api("DELETE", "/api/v1/nodes/n4")
        s.until("hami_scheduler_nodes", len(names) - 1)
        w.create(node("m4", cards=1))
        s.until("hami_scheduler_nodes", len(names))
        f = s.filter(w.create(pod("r", slice_of(mem=100000000))), ["n3", "n4", "m4"])
        assert f["FailedNodes"]["n4"] == "node unregistered" and f["FailedNodes"]["m4"] != f["FailedNodes"]["n4"], f
        for listed, only in ((["n3", "n4"], "n3"), (["n4", "m4"], "m4"), (names[:4] + ["m4"], None)):
            f = s.filter(w.create(pod(f"t{only}", slice_of(mem=10))), listed)
            assert f["NodeNames"] == [only] if only else f["NodeNames"][0] in listed, f


@test("nothing fits: every node says why")
def _(build):
    with world(build, node("a", cards=2), node("b", cards=1, kind="Tesla P4", mem=7680)) as (w, s):
        p = w.create(pod("p", slice_of(mem=50000)))
        f = s.filter(p, ["a", "b", "unknown"])
        assert f["NodeNames"] is None and f["Error"] == "", f
        assert f["FailedNodes"] == {"a": "2/2 CardInsufficientMemory", "b": "1/1 CardInsufficientMemory", "unknown": "node unregistered"}, f
        assert s.metric("hami_scheduler_pods") == 0 and s.metric("hami_scheduler_waiting_pods") == 1


@test("a long list that is sent again counts nodes that came and went in between")
def _(build):
    names = [f"node-{i:04}-with-a-long-name" for i in range(300)]
    with world(build) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        assert s.filter(p, names)["FailedNodes"][names[7]] == "node unregistered"
        w.create(node(names[7]))
        s.process.line("event=woken pod=default/p")
        assert s.filter(p, names)["NodeNames"] == [names[7]]
        assert s.filter(p, names)["NodeNames"] == [names[7]]
        w.api("DELETE", "/api/v1/nodes/" + names[7])
        s.process.line("event=node-removed")
        assert s.filter(p, names)["FailedNodes"][names[7]] == "node unregistered"


@test("a pod that asks for no card passes untouched and is bound without annotations")
def _(build):
    with world(build, node("a")) as (w, s):
        p = w.create(pod("p", {}))
        assert s.filter(p, ["a", "z"])["NodeNames"] == ["a", "z"]
        assert s.bind(p, "z") == ""
        assert w.pod("p")["spec"]["nodeName"] == "z" and not w.pod("p")["metadata"].get("annotations")


@test("a bind that nothing was decided for is refused")
def _(build):
    with world(build, node("a"), node("b")) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        assert "decided" in s.bind(p, "a")
        chosen = s.filter(p, ["a", "b"])["NodeNames"][0]
        other = "b" if chosen == "a" else "a"
        assert f"on node {chosen}, not on {other}" in s.bind(p, other)
        assert s.bind(p, chosen) == ""
        assert "bound already" in s.bind(p, chosen)


@test("a reservation whose pod is gone is given back by the refused bind")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        s.filter(p, ["a"])
        w.delete("p")
        error = s.bind(p, "a")  # which of the two it is depends on who hears of it first
        assert "nothing was decided for this pod lately" in error or "not found" in error, error
        s.until("hami_scheduler_pods", 0)


@test("a reservation that nobody binds ends at its deadline")
def _(build):
    with world(build, node("a", cards=1), flags=["--reservation-time", "300ms"]) as (w, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        s.filter(p, ["a"])
        assert s.metric("hami_scheduler_pods") == 1
        s.until("hami_scheduler_pods", 0)
        assert s.metric("hami_scheduler_reservations_expired_total") == 1


@test("bad bodies are answered as the reference does: 200 and an error")
def _(build):
    with world(build, node("a")) as (w, s):
        for verb in ("/filter", "/bind"):
            for body in (b"{not-json", b"", b"[]", b" " * 70000):
                a = s.post(verb, body)
                assert a.status == 200 and a.json["Error"], (verb, body[:9], a.status, a.text)
        assert "EOF" in s.post("/filter", b"").json["Error"]
        for body in ({"NodeNames": ["a"]}, {"Pod": None, "NodeNames": ["a"]}):
            assert s.post("/filter", body).json["Error"] == "extender args missing pod"
        assert s.get("/filter").status == 405 and s.get("/nowhere").status == 404


@test("keys in lower case are understood")
def _(build):
    with world(build, node("a")) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        assert s.post("/filter", {"pod": p, "nodenames": ["a"]}).json["NodeNames"] == ["a"]


@test("a number that no card can be asked for is an error, never no request")
def _(build):
    with world(build, node("a")) as (w, s):
        p = w.create(pod("p", slice_of(mem="16Gi")))
        f = s.filter(p, ["a"])
        assert "c0" in f["Error"] and "nvidia.com/gpumem" in f["Error"] and "16Gi" in f["Error"], f


@test("a restart finds everything again")
def _(build):
    with world(build, node("a", cards=2)) as (w, s):
        s.place(pod("p", slice_of(mem=40960, cores=60)), ["a"])
        s.place(pod("q", slice_of(mem=40000, cores=10)), ["a"])
        before = s.snapshot()
        s.process.end(9)
        again = w.start()
        assert again.snapshot()["nodes"] == before["nodes"], (before["nodes"], again.snapshot()["nodes"])


@test("a pod's end gives its cards back")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == 40960 << 20
        w.delete("p")
        s.until("hami_gpu_memory_allocated_bytes", 0, device_uuid="GPU-a-0")


@test("a pod that succeeded gives its cards back, though it is still there")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"phase": "Succeeded"}}, "application/merge-patch+json")
        s.until("hami_scheduler_pods", 0)


@test("an unbound pod's annotations mean nothing")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        for name, mem in (("greedy", 1), ("plausible", 40960)):
            w.create(pod(name, slice_of(mem=mem, cores=100), annotations={DEVICES: "GPU-a-0,NVIDIA,40960,100:;", "hami.io/vgpu-node": "a"}))
        s.place(pod("p", slice_of(mem=40960, cores=100)), ["a"])
        assert s.metric("hami_scheduler_pods") == 1


@test("a bound pod that claims more than it asks for is not counted")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        thief = pod("thief", slice_of(mem=1), annotations={DEVICES: "GPU-a-0,NVIDIA,40960,100:;", "hami.io/vgpu-node": "a"})
        thief["spec"]["nodeName"] = "a"
        w.create(thief)
        s.process.line("event=assignment-refused .*pod=thief")
        assert s.metric("hami_scheduler_assignments_refused_total") == 1
        s.place(pod("p", slice_of(mem=40960)), ["a"])


@test("what was given by an older defaultMemory counts after it was lowered; what a pod writes itself is its bound")
def _(build):
    import os
    with world(build, node("a", cards=2)) as (w, s):
        s.process.end()
        path = os.path.join(w.dir, "device-config.yaml")

        def restart(default):
            with open(path, "w") as f:
                f.write("nvidia: {resourceCountName: nvidia.com/gpu, resourceMemoryName: nvidia.com/gpumem, "
                        f"resourceMemoryPercentageName: nvidia.com/gpumem-percentage, resourceCoreName: nvidia.com/gpucores, defaultMemory: {default}}}\n")
            return w.start("--device-config-file", path)

        s = restart(30000)
        s.place(pod("p", slice_of()), ["a"])
        card = w.pod("p")["metadata"]["annotations"][DEVICES].split(",")[0]
        other = "GPU-a-0" if card == "GPU-a-1" else "GPU-a-1"
        for name, asks, on, claims in (("thief", slice_of(mem=1), card, 30000), ("boaster", slice_of(), other, 1 << 20)):
            p = pod(name, asks, annotations={DEVICES: f"{on},NVIDIA,{claims},0:;", "hami.io/vgpu-node": "a"})
            p["spec"]["nodeName"] = "a"
            w.create(p)
        s.process.end()
        s = restart(1000)
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid=card) == 30000 << 20
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid=other) == 40960 << 20, "a card has no more"
        assert s.metric("hami_scheduler_assignments_refused_total") == 1
        event_of(w, "thief", "AssignmentRefused", "the assigned cards are not what the containers ask for")
        assert s.filter(w.create(pod("late", slice_of(mem=20000))), ["a"])["NodeNames"] is None


@test("an assignment with the reference's shifted slots counts on the container that asks")
def _(build):
    """scheduler.md 11-B1: [no card, card] written as one slot; after init the usage must stay."""
    old = pod("old", slice_of(mem=30000), init=[{}], annotations={DEVICES: "GPU-a-0,NVIDIA,30000,0:;", "hami.io/vgpu-node": "a"})
    old["spec"]["nodeName"] = "a"
    old["status"] = {"phase": "Running", "initContainerStatuses": [{"name": "init0", "state": {"terminated": {"exitCode": 0}}}]}
    with world(build, node("a", cards=1), old) as (w, s):
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == 30000 << 20


@test("init containers over: only what runs is counted")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=10000), init=[slice_of(mem=20000)]), ["a"])
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == 20000 << 20
        w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"initContainerStatuses": [
            {"name": "init0", "state": {"terminated": {"exitCode": 0}}}]}}, "application/merge-patch+json")
        s.until("hami_gpu_memory_allocated_bytes", 10000 << 20, device_uuid="GPU-a-0")


@test("a waiting pod is woken when there is room, and only as many as fit")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("first", slice_of(mem=40960)), ["a"])
        for name in ("small", "large"):
            w.create(pod(name, slice_of(mem=40960)))
            assert s.filter(w.pod(name), ["a"])["NodeNames"] is None
        w.delete("first")
        woken = s.process.line("event=woken pod=default/(small|large)").group(1)
        s.until("hami_scheduler_wakes_total", 1)
        assert w.pod(woken)["metadata"]["annotations"]["hami.io/wake"].isdigit()
        other = "large" if woken == "small" else "small"
        assert "hami.io/wake" not in w.pod(other)["metadata"].get("annotations", {})


def frees(w, s, name):
    """Some room comes back on node b, which is full otherwise."""
    small = s.place(pod(name, slice_of(mem=10)), ["b"])
    w.delete(small["metadata"]["name"])
    s.until("hami_gpu_memory_allocated_bytes", 0, device_uuid="GPU-b-0")
    time.sleep(0.3)  # what frees together is looked at together: 5 ms


@test("who was woken and has not come yet keeps the room, and is not woken again")
def _(build):
    with world(build, node("a", cards=1), node("b", cards=1, mem=20)) as (w, s):
        s.place(pod("first", slice_of(mem=40960)), ["a"])
        for name in ("p", "q"):
            assert s.filter(w.create(pod(name, slice_of(mem=40960))), ["a"])["NodeNames"] is None
        w.delete("first")
        s.process.line("event=woken pod=default/")
        for name in ("x", "y"):
            frees(w, s, name)
        assert s.metric("hami_scheduler_wakes_total") == 1


@test("who was woken in vain twice rests ten seconds")
def _(build):
    """A selector that only kube-scheduler knows keeps the pod from the node that has room."""
    with world(build, node("a", cards=1), node("b", cards=1, mem=20)) as (w, s):
        s.place(pod("first", slice_of(mem=40960)), ["a"])
        p = w.create(pod("p", slice_of(mem=40960)))
        assert s.filter(p, ["b"])["NodeNames"] is None
        w.delete("first")
        s.until("hami_scheduler_wakes_total", 1)
        assert s.filter(p, ["b"])["NodeNames"] is None
        frees(w, s, "x")
        s.until("hami_scheduler_wakes_total", 2)
        assert s.filter(p, ["b"])["NodeNames"] is None
        rests = time.monotonic()
        for i in range(4):
            frees(w, s, f"y{i}")
            assert time.monotonic() - rests > 10 or s.metric("hami_scheduler_wakes_total") == 2
        s.until("hami_scheduler_wakes_total", 3)  # room came while it rested: nothing else has to happen
        assert time.monotonic() - rests > 9.5


@test("a waiting pod that went away unseen is forgotten with the next list")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        for name in ("p", "q"):
            assert s.filter(w.create(pod(name, slice_of(mem=50000))), ["a"])["NodeNames"] is None
        w.api("POST", "/control/set?drop=1")
        w.delete("p")
        w.api("POST", "/control/set?drop=0")
        assert s.metric("hami_scheduler_waiting_pods") == 2
        w.api("POST", "/control/break?how=expired")
        s.until("hami_scheduler_waiting_pods", 1)


@test("a pod that waited before a restart is woken after it; one that nobody tried or that is another's is not")
def _(build):
    tried = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("first", slice_of(mem=40960)), ["a"])
        for name, scheduler, status in (("waits", "hami-scheduler", tried), ("new", "hami-scheduler", {}), ("others", "else", tried)):
            p = pod(name, slice_of(mem=1000))
            p["spec"]["schedulerName"], p["status"] = scheduler, status
            w.create(p)
        s.process.end()
        s = w.start("--scheduler-name", "hami-scheduler")
        assert s.metric("hami_scheduler_waiting_pods") == 1
        w.delete("first")
        assert s.process.line("event=woken pod=default/(\\S+)").group(1) == "waits"


@test("a reservation ends when another binds the pod")
def _(build):
    with world(build, node("a", cards=1), node("b", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        w.api("POST", "/api/v1/namespaces/default/pods/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "b"}})
        s.process.line("event=reservation-lost .*pod=p")
        s.place(pod("q", slice_of(mem=40960)), ["a"])


@test("of waiting pods the most important one is woken first, and waits no longer once it is placed")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("first", slice_of(mem=40960)), ["a"])
        for name, priority in (("low", 0), ("high", 10), ("middle", 5)):
            p = pod(name, slice_of(mem=40960))
            p["spec"]["priority"] = priority
            w.create(p)
            assert s.filter(w.pod(name), ["a"])["NodeNames"] is None
        assert s.metric("hami_scheduler_waiting_pods") == 3
        w.delete("first")
        assert s.process.line("event=woken pod=default/(\S+)").group(1) == "high"
        before = s.metric("hami_scheduler_queue_seconds_sum")
        assert before == 0 and s.metric("hami_scheduler_queue_seconds_count") == 1, "the first one was placed at once"
        assert s.filter(w.pod("high"), ["a"])["NodeNames"] == ["a"]
        assert s.metric("hami_scheduler_waiting_pods") == 2
        assert s.metric("hami_scheduler_queue_seconds_count") == 2 and s.metric("hami_scheduler_queue_seconds_sum") > 0


@test("quota holds in placement and is lifted with its object")
def _(build):
    with world(build, node("a", cards=4), quota(**{"nvidia.com/gpumem": 4000})) as (w, s):
        s.place(pod("p", slice_of(mem=3000)), ["a"])
        q = w.create(pod("q", slice_of(mem=2000)))
        assert s.filter(q, ["a"])["FailedNodes"] == {"a": "4/4 ResourceQuotaNotFit"}
        assert s.metric("hami_resource_quota_used", namespace="default", quota_name="nvidia.com/gpumem", limit="4000") == 3000
        assert s.metric("hami_resource_quota_limit", quota_name="nvidia.com/gpumem") == 4000
        w.api("DELETE", "/api/v1/namespaces/default/resourcequotas/q")
        s.process.line("event=woken pod=default/q")
        assert s.filter(q, ["a"])["NodeNames"] == ["a"]


@test("a cordoned card takes nothing from the moment the annotation is there")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        w.annotate("/api/v1/nodes/a", **{"hami.io/device-cordon": "GPU-a-0"})
        s.until("hami_scheduler_node_parses_total", 2)
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "1/1 CardCordoned"}
        w.annotate("/api/v1/nodes/a", **{"hami.io/device-cordon": ""})
        s.process.line("event=woken pod=default/p")
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]


@test("a node whose plugin died is not offered; a heartbeat is not parsed")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        w.api("PATCH", "/api/v1/nodes/a", {"metadata": {"labels": {"x": "y"}}}, "application/merge-patch+json")
        s.until("hami_scheduler_watch_events_total", 2)
        assert s.metric("hami_scheduler_node_parses_total") == 1
        w.api("PATCH", "/api/v1/nodes/a", {"status": {"allocatable": {"nvidia.com/gpu": "0"}}}, "application/merge-patch+json")
        s.process.line("event=node-unregistered node=a")
        p = w.create(pod("p", slice_of(mem=1)))
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "node unregistered"}


@test("a handshake that was never answered counts as dead after a minute, and is marked where cards were known")
def _(build):
    """TestRegisterSkipsCleanupForUntrackedVendor: no cards of "dead" were ever known."""
    text = "Requesting_2020-01-01 00:00:00"
    old = {"hami.io/node-handshake": text}

    def handshake(name):
        return w.api("GET", f"/api/v1/nodes/{name}").json["metadata"]["annotations"]["hami.io/node-handshake"]
    with world(build, node("dead", annotations=old, allocatable=False), node("alive", annotations=old)) as (w, s):
        assert s.metric("hami_scheduler_nodes") == 1
        w.api("PATCH", "/api/v1/nodes/alive", {"status": {"allocatable": {"nvidia.com/gpu": "0"}}}, "application/merge-patch+json")
        s.process.line("event=node-unregistered node=alive")
        until = time.monotonic() + kit.LIMIT_S
        while not handshake("alive").startswith("Deleted_"):
            assert time.monotonic() < until, handshake("alive")
            time.sleep(0.02)
        assert handshake("dead") == text


@test("a malformed register keeps the cards that were known")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        w.annotate("/api/v1/nodes/a", **{"hami.io/node-nvidia-register": "[{\"id\":\"GPU-a-0\",\"devmem\":-1}]"})
        s.process.line("event=register-malformed node=a")
        assert s.filter(w.create(pod("p", slice_of(mem=1))), ["a"])["NodeNames"] == ["a"]


@test("the ledger survives duplicated and reordered events, broken watches, compaction and a new server")
def _(build):
    with world(build, node("a", cards=2), flags=["--reservation-time", "1s"]) as (w, s):
        w.api("POST", "/control/set?seed=7&duplicate=0.3&reorder=0.3")
        for i in range(20):
            s.place(pod(f"p{i}", slice_of(mem=4000)), ["a"])
            if i % 5 == 4:
                w.api("POST", "/control/break?how=cut")
        w.api("POST", "/control/set?duplicate=0&reorder=0")
        w.api("POST", "/control/compact")
        w.api("POST", "/control/break?how=expired")
        full = w.create(pod("one-more", slice_of(mem=4000)))
        assert s.filter(full, ["a"])["NodeNames"] is None
        for i in range(20):
            w.delete(f"p{i}")
        s.until("hami_scheduler_pods", 0)
        assert s.metric("hami_gpu_memory_allocated_bytes", device_uuid="GPU-a-0") == 0


@test("ready only once nodes and pods are known")
def _(build):
    w = kit.World(build, [node("a")])
    try:
        w.api("POST", "/control/set?errors=1&seed=1")
        s = w.start(wait=None)
        a = s.get("/readyz")
        assert a.status == 503 and "nodes: being listed" in a.text, a.text
        assert s.get("/healthz").status == 200
        preempt = {"Pod": pod("p", slice_of(mem=1), uid="u"), "NodeNameToMetaVictims": {"a": {"Pods": []}}}
        assert s.post("/preempt", preempt).status == 400, "nobody goes for what is not known"
        w.api("POST", "/control/set?errors=0")
        s.process.line("event=ready")
        assert s.get("/readyz").status == 200 and s.post("/preempt", preempt).status == 200
    finally:
        w.close()


@test("whole nodes are simulated as empty and leave no trace")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        q = w.create(pod("q", slice_of(mem=40960)))
        nodes = {"items": [node("tiny", mem=1000), node("a"), {"metadata": {"name": "bare"}}]}
        a = s.post("/filter", {"Pod": q, "Nodes": nodes, "NodeNames": None}).json
        assert [n["metadata"]["name"] for n in a["Nodes"]["items"]] == ["a"], a
        assert a["FailedNodes"] == {"tiny": "2/2 CardInsufficientMemory", "bare": "node unregistered"}, a
        assert s.metric("hami_scheduler_pods") == 1
        assert "nothing was decided" in s.bind(q, "a")  # S7


@test("a template of a node that does not exist yet shows its cards by capacity")
def _(build):
    """Two cards of 40 GiB for ten pods each, in the units of pods."""
    capacity = {"nvidia.com/gpu": "20", "nvidia.com/gpumem": "81920", "nvidia.com/gpucores": "200"}
    partly = {"nvidia.com/gpu": "20", "nvidia.com/gpucores": "200"}
    nodes = {"items": [{"metadata": {"name": name}, "status": {"capacity": c}} for name, c in (("whole", capacity), ("partly", partly))]}
    with world(build, node("a", cards=1)) as (w, s):
        for limits, fits in ((slice_of(mem=40960, cores=100), True), (slice_of(mem=40961), False), (slice_of(gpus=2, mem=40960), True), (slice_of(gpus=3, mem=1), False)):
            a = s.post("/filter", {"Pod": pod("q", limits, uid="q"), "Nodes": nodes, "NodeNames": None}).json
            assert [n["metadata"]["name"] for n in (a["Nodes"] or {}).get("items", [])] == (["whole"] if fits else []), (limits, a)
            assert a["FailedNodes"]["partly"] == "node unregistered"


@test("preemption names the fewest pods of lower priority")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        low = pod("low", slice_of(mem=30000))
        low["spec"]["priority"] = 0
        other = pod("other", slice_of(mem=10000))
        other["spec"]["priority"] = 5
        low, other = s.place(low, ["a"]), s.place(other, ["a"])
        high = pod("high", slice_of(mem=20000))
        high["spec"]["priority"] = 10
        high = w.create(high)
        a = s.post("/preempt", {"Pod": high, "NodeNameToMetaVictims": {"a": {"Pods": []}, "unknown": {"Pods": []}}}).json
        assert a == {"NodeNameToMetaVictims": {"a": {"Pods": [{"UID": low["metadata"]["uid"]}], "NumPDBViolations": 0}}}, a


@test("the node lock is taken before a bind where the reference's plugin needs it")
def _(build):
    with world(build, node("old", cards=2), node("new", cards=2, annotations={"hami.io/node-agent": "hami"}),
               flags=["--compat-node-lock", "--node-lock-retry-timeout", "300ms"]) as (w, s):
        s.place(pod("p", slice_of(mem=1)), ["old"])
        lock = w.api("GET", "/api/v1/nodes/old").json["metadata"]["annotations"]["hami.io/mutex.lock"]
        assert lock.split(",")[1:] == ["default", "p"], lock
        q = w.create(pod("q", slice_of(mem=1)))
        s.filter(q, ["old"])
        assert "node lock contention" in s.bind(q, "old")
        s.until("hami_scheduler_pods", 1)
        s.place(pod("r", slice_of(mem=1)), ["new"])
        assert "hami.io/mutex.lock" not in w.api("GET", "/api/v1/nodes/new").json["metadata"]["annotations"]


@test("a snapshot explains off line what the service said")
def _(build):
    import json
    import os
    import subprocess
    with world(build, node("a", cards=2), node("b", cards=1, kind="Tesla P4", mem=7680)) as (w, s):
        s.place(pod("p", slice_of(mem=35000)), ["a"])
        p = w.create(pod("w", slice_of(gpus=2, mem=8000)))
        s.filter(p, ["a", "b"])
        path = os.path.join(w.dir, "snapshot.json")
        with open(path, "w") as f:
            f.write(s.get("/debug/snapshot").text)
        hami = os.path.join(build, "hami")
        r = subprocess.run([hami, "explain", "pod", "default/w", "--snapshot", path, "--json"], capture_output=True, text=True)
        said = json.loads(r.stdout)
        assert r.returncode == 66 and said["fits"] is False, r
        live = subprocess.run([hami, "explain", "pod", "default/w", "--kubeconfig", w.config, "--json"], capture_output=True, text=True)
        assert json.loads(live.stdout) == said, (live.stdout, r.stdout)
        assert any(h["to"] and h["nodes"] for h in said["hints"]), said["hints"]
        held = subprocess.run([hami, "explain", "pod", "default/p", "--snapshot", path], capture_output=True, text=True)
        assert held.returncode == 0 and "holds cards of node a" in held.stdout, held


@test("explain says what keeps a pod besides its cards, whether cards fit or not")
def _(build):
    import json
    import os
    import subprocess
    said = "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said + "\x1b[2J"}
    with world(build, node("a", cards=1)) as (w, s):
        def explain(name, limits, spec, conditions=()):
            p = w.create(pod(name, limits))
            if spec or conditions:
                w.api("PATCH", f"/api/v1/namespaces/default/pods/{name}", {"spec": spec, "status": {"conditions": list(conditions)}}, "application/merge-patch+json")
            return subprocess.run([os.path.join(build, "hami"), "explain", "pod", name, "--kubeconfig", w.config], capture_output=True, text=True)
        fits = explain("free", slice_of(mem=100), {})
        assert fits.returncode == 0 and fits.stdout.startswith("pod default/free fits: node a\n"), fits
        for name, spec, conditions, says in (("taint", {}, [condition], "  kube-scheduler said last: " + said + " [2J\n"),
                                             ("other", {"schedulerName": "mine"}, [], '  its schedulerName is "mine": unless that profile'),
                                             ("gated", {"schedulingGates": [{"name": "x/y"}, {"name": "z"}]}, [{**condition, "reason": "SchedulingGated"}],
                                              "  it is gated: nobody looks at it until x/y, z are gone")):
            r = explain(name, slice_of(mem=100), spec, conditions)
            first, second = r.stdout.splitlines(keepends=True)[:2]
            assert r.returncode == 0 and first == f"pod default/{name} waits, although node a has cards for it\n" and second.startswith(says), r
            assert r.stdout.count("said last") == (name == "taint") and "\x1b" not in r.stdout, r
        big = explain("big", slice_of(mem=90000), {}, [condition])
        assert big.returncode == 66 and big.stdout.index("does not fit") < big.stdout.index("besides\n  kube-scheduler said last") < big.stdout.index("\nnodes\n"), big
        typo = explain("typo", {**slice_of(mem=100), "nvidia.com/gpu-mem": "3"}, {})
        assert "did you mean nvidia.com/gpumem?" in typo.stdout.splitlines()[1], typo
        none = explain("none", {"nvidia.com/gpus": "1"}, {})
        assert none.returncode == 64 and "asks for no card" in none.stderr and "did you mean nvidia.com/gpu?" in none.stderr, none
        r = subprocess.run([os.path.join(build, "hami"), "explain", "pod", "taint", "--json", "--kubeconfig", w.config], capture_output=True, text=True)
        assert json.loads(r.stdout)["held"] == ["kube-scheduler said last: " + said + " [2J"], r


@test("a snapshot holds the quotas too, and limits are shown as they are written")
def _(build):
    import os
    import subprocess
    rows = [  # resource, its limit, what runs, its use in MiB, what is asked beside it
        ("nvidia.com/gpumem", 4000, slice_of(mem=1000), 1000, slice_of(mem=3001)),
        ("cambricon.com/mlu.smlu.vmemory", 60, mlu(20), 20 * 256, mlu(41))]  # scheduler.md 6.8: 256 MiB each
    with world(build, node("a", cards=4), mlu_node("m"), flags=["--legacy-metrics"]) as (w, s):
        w.create(quota(**{r[0]: r[1] for r in rows}))
        s.until("hami_resource_quota_limit", 60, quota_name=rows[1][0])
        for i, (resource, limit, runs, used, asked) in enumerate(rows):
            s.place(pod(f"runs{i}", runs), ["a", "m"])
            s.filter(w.create(pod(f"w{i}", asked)), ["a", "m"])
            assert s.metric("hami_resource_quota_limit", namespace="default", quota_name=resource) == limit
            assert s.metric("hami_resource_quota_used", quota_name=resource, limit=limit) == used, s.metrics()
            assert s.metric("QuotaUsed", quotaName=resource, limit=limit) == used, s.metrics()
        path = os.path.join(w.dir, "snapshot.json")
        with open(path, "w") as f:
            f.write(s.get("/debug/snapshot").text)
        for i in range(len(rows)):
            r = subprocess.run([os.path.join(build, "hami"), "explain", "pod", f"default/w{i}", "--snapshot", path], capture_output=True, text=True)
            assert r.returncode == 66 and "ResourceQuotaNotFit" in r.stdout, r


@test("a node that went while the watch was broken is gone after the new list")
def _(build):
    with world(build, node("a", cards=1), node("b", cards=1)) as (w, s):
        w.api("POST", "/control/set?drop=1")
        w.api("DELETE", "/api/v1/nodes/b")
        w.api("POST", "/control/set?drop=0")
        assert s.metric("hami_scheduler_nodes") == 2, "the event was to be lost"
        w.api("POST", "/control/break?how=expired")
        s.until("hami_scheduler_nodes", 1)
        assert s.filter(pod("p", slice_of(mem=1), uid="p"), ["a", "b"])["NodeNames"] == ["a"]


if __name__ == "__main__":
    kit.main()
