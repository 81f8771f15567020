#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Assignments by the wire contract (scheduler.md 4 and 6; each test names its section): what is written and counted, init
containers, binding, quota, simulation. docs/tests-cluster.md is the index."""
import json
import select
import socket
import time

import kit
from contract import DEVICES, capacity_node, cards_of, event_of, mark, mlu, mlu_node, quota, world
from kit import gpu, node, pod, slice_of, test


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
        for seen, (statuses, mib) in enumerate(steps, 4):  # after the node, the pod, the pod bound
            w.api("PATCH", "/api/v1/namespaces/default/pods/p", {"status": {"initContainerStatuses": statuses}}, "application/merge-patch+json")
            s.until("hami_scheduler_watch_events_total", seen)
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


@test("6.9 a simulation says nothing to anybody, and waits like every call until everything is known")
def _(build):
    w = kit.World(build, [node("a", cards=1)])
    try:
        w.api("POST", "/control/set?errors=1&seed=1")
        s = w.start("--events=all", wait=None)
        body = json.dumps({"Pod": pod("p", slice_of(mem=1), uid="u"), "Nodes": {"items": [node("n")]}}).encode()
        with socket.create_connection(("127.0.0.1", s.port), timeout=kit.LIMIT_S) as caller:
            caller.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            assert s.get("/readyz").status == 503  # asked for after it, so it is held by now
            assert not select.select([caller], [], [], 0)[0], "it was answered before the nodes were known"
            w.api("POST", "/control/set?errors=0")
            with caller.makefile("rb") as answer:
                got = json.loads(answer.read().split(b"\r\n\r\n", 1)[1])
        assert [n["metadata"]["name"] for n in got["Nodes"]["items"]] == ["n"] and got["Error"] == "", got
        large = w.create(pod("large", slice_of(mem=50000)))
        assert s.post("/filter", {"Pod": large, "Nodes": {"items": [node("n")]}}).json["FailedNodes"] == {"n": "2/2 CardInsufficientMemory"}
        real = w.create(pod("real", slice_of(mem=50000)))
        assert s.filter(real, ["a"])["NodeNames"] is None
        event_of(w, "real", "FilteringFailed", "no available node, 1 nodes do not meet")
        about = {e["involvedObject"]["name"] for e in w.api("GET", "/api/v1/namespaces/default/events").json["items"]}
        assert about == {"real"}, about
        assert not w.pod("large")["metadata"].get("annotations") and s.metric("hami_scheduler_pods") == 0
    finally:
        w.close()


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


@test("6.8 a quota that went away unseen is gone with the next list")
def _(build):
    with world(build, node("a", cards=1), quota(**{"nvidia.com/gpumem": 100})) as (w, s):
        s.until("hami_resource_quota_limit", 100, quota_name="nvidia.com/gpumem")
        w.api("POST", "/control/set?drop=1&seed=1")
        w.api("DELETE", "/api/v1/namespaces/default/resourcequotas/q")
        w.api("POST", "/control/set?drop=0")
        w.api("POST", "/control/compact")
        w.api("POST", "/control/break?how=expired")
        s.until("hami_resource_quota_limit", None, quota_name="nvidia.com/gpumem")
        s.place(pod("p", slice_of(mem=200)), ["a"])


if __name__ == "__main__":
    kit.main()
