#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a tenant, a node or the network may try, and what must hold then."""
import contextlib
import http.client
import json

import kit
from kit import node, pod, slice_of, test


@contextlib.contextmanager
def world(build, *objects, flags=(), fake=()):
    w = kit.World(build, objects, fake)
    try:
        yield w, w.start(*flags)
    finally:
        w.close()


def path_of(name, namespace="default"):
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def resident_kib(s):
    with open(f"/proc/{s.process.p.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def deep(levels):
    return json.loads("{\"f:a\":" * levels + "{}" + "}" * levels)


UNREADABLE = {
    "an annotation with a NUL": {"annotations": {"nvidia.com/use-gpuuuid": "GPU\0"}},
    "managed fields nested deeply": {"managedFields": [{"manager": "x", "fieldsV1": deep(300)}]},
}


def spoil(w, name, metadata):
    w.api("PATCH", path_of(name), {"metadata": metadata}, "application/merge-patch+json")


# ---- a bound pod whose owner spoils it


@test("a pod made hard to read gives its cards back when it ends")
def _(build):
    for what, metadata in UNREADABLE.items():
        with world(build, node("a", cards=1)) as (w, s):
            s.place(pod("p", slice_of(mem=40960)), ["a"])
            spoil(w, "p", metadata)
            w.delete("p")
            s.until("hami_scheduler_pods", 0, limit=5)


@test("a pod made hard to read keeps its cards while it runs, also through a list anew and a restart")
def _(build):
    for what, metadata in UNREADABLE.items():
        with world(build, node("a", cards=1), node("b", cards=1)) as (w, s):
            s.place(pod("p", slice_of(mem=40960)), ["a"])
            s.place(pod("q", slice_of(mem=1)), ["b"])
            spoil(w, "p", metadata)
            w.api("POST", "/control/compact")
            w.api("POST", "/control/break?how=expired")
            w.delete("q")  # what is seen of it lies behind the list
            s.until("hami_scheduler_pods", 1)
            late = w.create(pod("late", slice_of(mem=1000)))
            assert s.filter(late, ["a"])["NodeNames"] is None, what
            s.process.end()
            s = w.start()
            assert s.filter(late, ["a"])["NodeNames"] is None, f"{what}: after a restart"


@test("settings spoilt after binding do not hide a pod from the next instance")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        w.annotate(path_of("p"), **{"hami.io/device-scoring-weights": "slot=none", "nvidia.com/vgpu-mode": "mig", "hami.io/gpu-scheduler-policy": "?"})
        s.process.end()
        s = w.start()
        assert s.filter(w.create(pod("late", slice_of(mem=1000))), ["a"])["NodeNames"] is None


# ---- pods that wait


class Caller:
    """Filter calls over one connection."""

    def __init__(self, s):
        self.c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=kit.LIMIT_S)

    def filter(self, p, nodes):
        self.c.request("POST", "/filter", json.dumps({"Pod": p, "NodeNames": nodes}), {"Content-Type": "application/json"})
        return json.loads(self.c.getresponse().read())


def waiting(name, namespace="default", **more):
    p = pod(name, slice_of(mem=1000), namespace=namespace, uid=f"{namespace}-{name}", resourceVersion="1")
    p["metadata"].update(more)
    return p


@test("pods that wait cannot fill the memory")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("holder", slice_of(mem=40960)), ["a"])
        call = Caller(s)
        call.filter(waiting("first", annotations={"x": "y" * 1400000}), ["a"])
        before = resident_kib(s)
        for i in range(150):
            call.filter(waiting(f"p{i}", annotations={"x": "y" * 1400000}), ["a"])
        grown = resident_kib(s) - before
        assert grown < 40 << 10, f"{grown} KiB more"


@test("who fills the list of waiting pods does not keep others out")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("holder", slice_of(mem=40960)), ["a"])
        call = Caller(s)
        for i in range(4200):
            p = waiting(f"p{i}", "greedy")
            p["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpumem"] = "40960"
            call.filter(p, ["a"])
        modest = w.create(pod("modest", slice_of(mem=1000), namespace="other", annotations={}, priority=0))
        modest["spec"]["priority"] = 5
        call.filter(modest, ["a"])
        w.delete("holder")
        s.process.line("event=woken pod=other/modest", limit=20)


@test("a waiting pod that is gone is forgotten when it is to be woken")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("holder", slice_of(mem=40960)), ["a"])
        s.filter(waiting("gone"), ["a"])
        assert s.metric("hami_scheduler_waiting_pods") == 1
        w.delete("holder")
        s.until("hami_scheduler_waiting_pods", 0, limit=10)


@test("a waiting pod that is gone is forgotten at the next list")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("holder", slice_of(mem=40960)), ["a"])
        s.filter(waiting("gone"), ["a"])
        w.api("POST", "/control/compact")
        w.api("POST", "/control/break?how=expired")
        s.until("hami_scheduler_waiting_pods", 0, limit=10)


@test("a pod that is woken in vain again and again is left to rest")
def _(build):
    with world(build, node("full", cards=1), node("free", cards=1)) as (w, s):
        s.place(pod("holder", slice_of(mem=40960)), ["full"])
        picky = w.create(pod("picky", slice_of(mem=1000)))  # its selector leaves it one node, which we are not told
        s.filter(picky, ["full"])
        for i in range(8):
            s.place(pod(f"p{i}", slice_of(mem=10)), ["free"])
            w.delete(f"p{i}")
            s.until("hami_scheduler_pods", 1)
            s.filter(picky, ["full"])
        assert s.metric("hami_scheduler_wakes_total") <= 3, s.metric("hami_scheduler_wakes_total")


@test("a reader of its lines that stalls does not stop it")
def _(build):
    with world(build, node("a", cards=1)) as (w, s):
        call = Caller(s)
        for i in range(1500):  # some 200 bytes of log each: more than a pipe holds
            call.filter(waiting(f"p{i}", annotations={"nvidia.com/use-gpuuuid": "none"}), ["a"])
        s.process.pump(0)
        s.filter(waiting("q"), ["a"])
        s.process.line("lines_lost=")


kit.main()
