#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a tenant, a node or the network may try, and what must hold then."""
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import time

import contract
import kit
from kit import node, pod, slice_of, test


def lean():
    """Under AddressSanitizer what was freed stays resident for a while."""
    return {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}


def world(build, *objects, **more):
    return contract.world(build, *objects, env=lean(), **more)


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


@test("an assignment that its owner makes smaller counts as much as the pod asks for, also for the next instance")
def _(build):
    for ask in (slice_of(mem=40960, cores=100), slice_of(percent=100, cores=100), slice_of()):
        with world(build, node("a", cards=1)) as (w, s):
            p = s.place(pod("p", ask), ["a"])
            small = {k: "GPU-a-0,NVIDIA,1,0:;" for k in p["metadata"]["annotations"] if "devices" in k}
            assert small, p
            w.annotate(path_of("p"), **small)
            s.process.end()
            s = w.start()
            assert s.metric("hami_scheduler_pods") == 1
            late = w.create(pod("late", slice_of(mem=1000)))
            assert s.filter(late, ["a"])["NodeNames"] is None, ask
            w.delete("p")
            s.until("hami_scheduler_pods", 0)
            assert s.filter(late, ["a"])["NodeNames"] == ["a"]


# ---- pods that are dear to look at


@test("a selection of thousands of names is refused, in admission and placement, before any card is looked at")
def _(build):
    with world(build, flags=["--webhook-bind", "127.0.0.1:0"], fake=["--nodes", "1000", "--cards", "8"]) as (w, s):
        names = [n["metadata"]["name"] for n in w.api("GET", "/api/v1/nodes").json["items"]]
        for key, text in (("use-gpuuuid", "GPU-no,"), ("nouse-gpuuuid", "GPU-no,"), ("use-gputype", "X,"), ("nouse-gputype", "X,")):
            p = pod("p", slice_of(mem=1), uid="p", annotations={"nvidia.com/" + key: text * 20000})
            start = time.monotonic()
            r = s.review(p)
            assert not r["allowed"] and "nvidia.com/" + key in r["status"]["message"] and "at most" in r["status"]["message"], r
            assert "nvidia.com/" + key in s.filter(p, names)["Error"]
            assert time.monotonic() - start < 1, "it took long"
        few = pod("p", slice_of(mem=1), uid="p", annotations={"nvidia.com/nouse-gpuuuid": " ,, GPU-no ,"})
        assert s.filter(few, names)["NodeNames"]


# ---- nodes that come and go


REGISTER = "hami.io/node-nvidia-register"


@test("a node that registers late grants nothing before the pods on it are counted")
def _(build):
    with world(build, node("a", cards=1), node("z", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        s.process.end()
        cards = w.api("GET", "/api/v1/nodes/a").json["metadata"]["annotations"][REGISTER]
        w.annotate("/api/v1/nodes/a", **{REGISTER: None})
        s = w.start()
        assert s.metric("hami_scheduler_pods") == 0 and s.metric("hami_scheduler_nodes") == 1
        late = w.create(pod("late", slice_of(mem=1000)))
        w.api("POST", "/control/set?latency_ms=300")
        w.annotate("/api/v1/nodes/a", **{REGISTER: cards})
        until = time.monotonic() + 10
        while s.metric("hami_scheduler_pods") == 0:
            assert s.filter(late, ["a"])["NodeNames"] is None and time.monotonic() < until
        assert s.filter(late, ["a"])["NodeNames"] is None
        w.api("POST", "/control/set?latency_ms=0")
        w.delete("p")
        s.until("hami_scheduler_pods", 0)
        assert s.filter(late, ["a"])["NodeNames"] == ["a"], "the node stays closed"


@test("a node on which no pod with cards was seen is open as soon as it registers, and costs no list")
def _(build):
    with world(build, node("z", cards=1)) as (w, s):
        plain = pod("plain", {})
        plain["spec"]["nodeName"] = "new"
        w.create(plain)
        w.api("POST", "/control/set?latency_ms=300")
        asked = s.metric("hami_scheduler_api_requests_total")
        w.create(node("new", cards=1))
        s.until("hami_scheduler_nodes", 2)
        assert s.filter(pod("p", slice_of(mem=1000), uid="p"), ["new"])["NodeNames"] == ["new"]
        assert s.metric("hami_scheduler_api_requests_total") == asked


@test("a node that registers and leaves all the time costs a list of its pods a second at most")
def _(build):
    with world(build, node("a", cards=1), node("z", cards=1)) as (w, s):
        cards = w.api("GET", "/api/v1/nodes/a").json["metadata"]["annotations"][REGISTER]
        lists = lambda: s.metric("hami_scheduler_api_requests_total")
        before, start = lists(), time.monotonic()
        for _ in range(200):
            w.annotate("/api/v1/nodes/a", **{REGISTER: None})
            w.annotate("/api/v1/nodes/a", **{REGISTER: cards})
            time.sleep(0.002)  # so that some of the lists end in between
        s.until("hami_scheduler_nodes", 2)
        assert lists() - before <= 3 + (time.monotonic() - start), lists() - before
        until = time.monotonic() + 10
        while s.filter(pod("q", slice_of(mem=1), uid="q"), ["a"])["NodeNames"] is None:
            assert time.monotonic() < until, "the node stays closed"
            time.sleep(0.02)


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


@test("calls that wait for us to lead hold no memory once their callers have left")
def _(build):
    """64 of them may wait, of 64 MiB each."""
    with contextlib.closing(kit.World(build, [node("a")])) as w:
        w.api("POST", LEASES, {"metadata": {"name": "hami", "namespace": "kube-system"},
                               "spec": {"holderIdentity": "other_1", "leaseDurationSeconds": 60, "renewTime": "2026-01-01T00:00:00.000000Z"}})
        s = w.start("--leader-elect", "--leader-elect-resource-name", "hami", "--leader-elect-resource-namespace", "kube-system",
                    wait="event=pods-synced", env=lean())
        body = b"x" * (30 << 20)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", s.port), timeout=kit.LIMIT_S) as c:
                c.sendall(head("/filter", len(body)) + body)
                assert s.get("/readyz").status == 200
        assert resident_kib(s) < 300 << 10, resident_kib(s)


# ---- the network


def raw(port, host="127.0.0.1"):
    return ssl._create_unverified_context().wrap_socket(socket.create_connection((host, port), timeout=kit.LIMIT_S))


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


def head(path, length):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def ask(c, data):
    c.sendall(data)
    return int(c.recv(1000).split()[1])


def review_of(text):
    return b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r","object":' + text + b"}}"


@test("a review of millions of values is refused, not read")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        before = resident_kib(s)
        for value in (b"{}", b"[]", b"0"):
            bomb = review_of(b"[" + b",".join([value] * 1500000) + b"]")
            a = kit.call(s.webhook_port, "POST", "/webhook", bomb, tls=ssl._create_unverified_context())
            assert not a.json["response"]["allowed"] and a.json["response"]["status"]["code"] == 413, a.text
        assert resident_kib(s) - before < 60 << 10, resident_kib(s) - before
        assert s.review(pod("p", slice_of(mem=1)))["allowed"]


TWICE = {"containers": b'{"spec":{"containers":[{}],"containers":[{}]}}', "metadata": b'{"metadata":{},"m\\u0065tadata":{},"spec":{"containers":[{}]}}',
         "object": b'{"spec":{"containers":[{}]}},"object":{"spec":{"containers":[{}]}}'}


@test("a review that reads in two ways, or not at all, is refused under its uid")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        for word, text in {**TWICE, "missing": b'{"spec":{"containers":[', "UTF-8": b'{"spec":{"containers":[{"name":"\xff"}]}}'}.items():
            a = kit.call(s.webhook_port, "POST", "/webhook", review_of(text), tls=ssl._create_unverified_context())
            r = a.json["response"]
            assert r["uid"] == "r" and r["allowed"] is False and r["status"]["code"] == 400 and word in r["status"]["message"], (word, a.text)


@test("a review of 20 000 containers is answered like others")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        many = pod("p", slice_of())
        many["spec"]["containers"] *= 20000
        r = s.review(many)
        assert not r["allowed"] and "more containers than a pod can have" in r["status"]["message"], r
        many["spec"]["containers"] = [{"name": "c"}] * 20000
        assert s.review(many)["allowed"]


@test("bodies under way do not fill the memory, and the others are served")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        before = resident_kib(s)
        some = []
        for _ in range(60):
            c = raw(s.webhook_port)
            c.sendall(head("/webhook", 6000000) + b" " * 5000000)
            some.append(c)
        grown = resident_kib(s) - before
        assert grown < 100 << 10, f"{grown} KiB more"
        last = some.pop()
        assert ask(last, b" " * 1000000) == 503
        for c in some:
            c.close()
        assert s.review(pod("p", slice_of(mem=1)))["allowed"]


def hello():
    """The first thing that a TLS client says."""
    out = ssl.MemoryBIO()
    try:
        ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    except ssl.SSLWantReadError:
        return out.read()


@test("handshakes that are begun and left hold nobody up")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        for said in (b"", b"\x16\x03\x01", hello()[:-1], hello()):
            idle = [socket.create_connection(("127.0.0.1", s.webhook_port)) for _ in range(200)]
            for c in idle:
                c.sendall(said)
            start = time.monotonic()
            assert s.review(pod("p", slice_of(mem=1)))["allowed"]
            assert time.monotonic() - start < 8, f"{len(said)} bytes said: {time.monotonic() - start} s"
            for c in idle:
                c.close()


@test("clients that say nothing do not take all descriptors")
def _(build):
    with contextlib.closing(kit.World(build, [node("a")])) as w:
        hami = os.path.join(w.dir, "hami")
        with open(hami, "w") as f:
            f.write(f"#!/bin/sh\nulimit -n 64\nexec {build}/hami \"$@\"\n")
        os.chmod(hami, 0o755)
        os.makedirs(os.path.join(w.dir, "bench"))
        w.build = w.dir
        s = w.start()
        idle = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(100)]
        start = time.monotonic()
        assert s.get("/readyz").status == 200
        assert time.monotonic() - start < 9, time.monotonic() - start
        for c in idle:
            c.close()


@test("from another address /filter is refused without keeping its body")
def _(build):
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    if not own or ":" in own[0]:
        return  # no address beside loopback to call from
    pems = kit.tempfile.mkdtemp()
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x",
                        "-keyout", pems + "/key", "-out", pems + "/cert", "-days", "2"], check=True, capture_output=True)
        with contextlib.closing(kit.World(build, [node("a")])) as w:
            s = w.start("--http_bind", "0.0.0.0:0", "--cert_file", pems + "/cert", "--key_file", pems + "/key", env=lean())
            before = resident_kib(s)
            some = [raw(s.port, own[0]) for _ in range(20)]
            for c in some:
                c.sendall(head("/filter", 4000000) + b" " * 3900000)
            assert resident_kib(s) - before < 30 << 10, resident_kib(s) - before
            for c in some:
                assert ask(c, b" " * 100000) == 403
            for path in ("/bind", "/preempt"):
                assert ask(raw(s.port, own[0]), head(path, 2) + b"{}") == 403
            assert ask(raw(s.port), head("/bind", 2) + b"{}") == 200
    finally:
        kit.shutil.rmtree(pems)


kit.main()
