#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is written to the API server: under which preconditions, how often, for how long, and what becomes of it when
answers are lost. docs/tests-cluster.md is the index."""
import contextlib
import os
import threading
import time

import kit
from between import LOSE_ANSWER, LOSE_REQUEST, Answer, Between, Hold, forbidden
from contract import MUTEX, ago, annotations_of
from kit import node, pod, slice_of, test


@contextlib.contextmanager
def world(build, *objects, flags=(), wait="event=ready", env=None):
    """As contract.world, with a server between: w, b, s."""
    w = kit.World(build, objects)
    b = Between(w)
    try:
        yield w, b, w.start(*flags, wait=wait, env=env)
    finally:
        b.close()
        w.close()


def in_background(function, *args):
    """Returns a function that waits for its result."""
    results = []
    t = threading.Thread(target=lambda: results.append(function(*args)), daemon=True)
    t.start()

    def result():
        t.join(kit.LIMIT_S)
        assert results, "no answer"
        return results[0]
    return result


def lock_goes(w, name):
    """Waits for the node to be without a lock. The server tells no one of it here, so it is asked again and again."""
    until = time.monotonic() + kit.LIMIT_S
    while MUTEX in annotations_of(w, name):
        assert time.monotonic() < until, "the lock stays"
        time.sleep(0.02)


BINDING = "/pods/p/binding"


# ---- bindings


@test("a binding is sent once, whatever becomes of it")
def _(build):
    rows = [("lost answer", LOSE_ANSWER, True), ("lost request", LOSE_REQUEST, False), ("500 that says when to come back", Answer(500, "InternalError", {"Retry-After": "0"}), False),
            ("503 that says when to come back", Answer(503, "ServiceUnavailable", {"Retry-After": "1"}), False), ("429", Answer(429, "TooManyRequests", {"Retry-After": "1"}), False),
            ("504", Answer(504, "Timeout"), False), ("401", Answer(401, "Unauthorized"), False)]
    with world(build, node("a", cards=1, count=100)) as (w, b, s):
        for name, fate, done in rows:
            p = w.create(pod("p", slice_of(mem=1)))
            before = len(b.seen("POST", BINDING))
            b.on("POST", BINDING, fate, times=1)
            assert s.filter(p, ["a"])["NodeNames"] == ["a"], name
            assert s.bind(p, "a") != "", name
            time.sleep(0.3)  # the client's first repetition would come after 50 to 100 ms
            assert len(b.seen("POST", BINDING)) == before + 1, name
            assert bool(w.pod("p")["spec"].get("nodeName")) == done, name
            w.delete("p")
            s.until("hami_scheduler_pods", 0)


@test("a binding whose answer was lost is looked for: found, it counts, though the watch says nothing")
def _(build):
    with world(build, node("a", cards=1), flags=["--reservation-time", "300ms"]) as (w, b, s):
        w.api("POST", "/control/set?drop=1")  # events of watches, not answers
        p = w.create(pod("p", slice_of(mem=40960)))
        b.on("POST", BINDING, LOSE_ANSWER, times=1)
        s.filter(p, ["a"])
        assert s.bind(p, "a") != ""
        assert "being bound" in s.filter(p, ["a"])["Error"]
        s.process.line("event=bind-settled .*pod=p as=bound")
        q = w.create(pod("q", slice_of(mem=1)))
        time.sleep(0.5)  # any deadline of the reservation
        assert s.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}
        assert len(b.seen("POST", BINDING)) == 1
        assert "bound already" in s.filter(p, ["a"])["Error"]


@test("a binding that never arrived gives its cards back after ten seconds, not while the API server cannot be asked")
def _(build):
    with world(build, node("a", cards=1), flags=["--reservation-time", "300ms"]) as (w, b, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        b.on("POST", BINDING, LOSE_REQUEST, times=1)
        b.on("GET", "/api/v1/namespaces/default/pods", Answer(500, "InternalError"))
        s.filter(p, ["a"])
        start = time.monotonic()
        assert s.bind(p, "a") != ""
        q = w.create(pod("q", slice_of(mem=1)))
        while time.monotonic() < start + 12:
            assert s.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}, "given to another while it may be bound"
            time.sleep(0.5)
        assert b.seen("GET", "/api/v1/namespaces/default/pods", "metadata.name%3Dp")
        b.forget()
        s.process.line("event=bind-settled .*pod=p as=\"?not bound")
        s.process.line("event=woken pod=default/q")
        assert s.filter(q, ["a"])["NodeNames"] == ["a"]
        assert len(b.seen("POST", BINDING)) == 1


@test("a binding that never arrived, of a pod that is gone or another by now, gives its cards back when it is asked")
def _(build):
    with world(build, node("a", cards=1)) as (w, b, s):
        for again in (False, True):
            w.api("POST", "/control/set?drop=1")
            p = w.create(pod("p", slice_of(mem=40960)))
            b.on("POST", BINDING, LOSE_REQUEST, times=1)
            s.filter(p, ["a"])
            assert s.bind(p, "a") != ""
            w.delete("p")
            if again:
                w.create(pod("p", slice_of(mem=40960)))
            start = len(s.process.lines)
            s.process.line("event=bind-settled .*pod=p as=gone", start=start, limit=9)
            assert s.metric("hami_scheduler_pods") == 0
            w.api("POST", "/control/set?drop=0")


@test("an elected instance gives a bind up after five seconds, before another could lead, and keeps the cards until it is known")
def _(build):
    own = ["--leader-elect", "--leader-elect-resource-name", "hami", "--leader-elect-resource-namespace", "kube-system", "--leader-elect-as", "own"]
    with world(build, node("a", cards=1), flags=own) as (w, b, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        hold = b.on("POST", BINDING, Hold(LOSE_REQUEST), times=1)
        s.filter(p, ["a"])
        start = time.monotonic()
        error = s.bind(p, "a")
        took = time.monotonic() - start
        assert "no answer within 5000 ms" in error and 4.5 < took < 9, (error, took)
        q = w.create(pod("q", slice_of(mem=1)))
        assert s.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}
        s.process.line("event=bind-settled .*pod=p as=\"?not bound", limit=40)
        s.process.line("event=woken pod=default/q")
        hold.release()
        assert s.filter(q, ["a"])["NodeNames"] == ["a"] and s.bind(q, "a") == ""


# ---- node locks


@test("a node lock is written under the version that was looked at: who loses against another locker waits, and overwrites nothing")
def _(build):
    with world(build, node("a"), flags=["--compat-node-lock", "--node-lock-retry-timeout", "1s"]) as (w, b, s):
        w.create(pod("holder", {"cpu": 1}))
        p = w.create(pod("p", slice_of(mem=1)))
        s.filter(p, ["a"])
        version = w.api("GET", "/api/v1/nodes/a").json["metadata"]["resourceVersion"]
        hold = b.on("PATCH", "/api/v1/nodes/a", Hold(), times=1)
        bound = in_background(s.bind, p, "a")
        hold.wait_seen()
        theirs = ago(1) + ",default,holder"
        w.annotate("/api/v1/nodes/a", **{MUTEX: theirs})
        hold.release()
        error = bound()
        assert "node lock contention" in error, error
        assert annotations_of(w, "a")[MUTEX] == theirs
        assert "nodeName" not in w.pod("p")["spec"] and not b.seen("POST", BINDING)
        assert b.seen("PATCH", "/api/v1/nodes/a")[0].json["metadata"]["resourceVersion"] == version
        assert s.metric("hami_scheduler_pods") == 0
        w.annotate("/api/v1/nodes/a", **{MUTEX: None})
        assert s.filter(p, ["a"])["NodeNames"] == ["a"] and s.bind(p, "a") == ""


@test("a lock whose answer was lost is not written again, and is given back where it was written")
def _(build):
    for fate in (LOSE_ANSWER, LOSE_REQUEST):
        with world(build, node("a"), flags=["--compat-node-lock", "--node-lock-retry-timeout", "300ms"]) as (w, b, s):
            p = w.create(pod("p", slice_of(mem=1)))
            s.filter(p, ["a"])
            b.on("PATCH", "/api/v1/nodes/a", fate, times=1)
            assert s.bind(p, "a") != ""
            patches = b.until(2, "PATCH", "/api/v1/nodes/a")
            assert [r.headers["content-type"] for r in patches] == ["application/merge-patch+json", "application/json-patch+json"], patches
            lock_goes(w, "a")


@test("a binding that is refused after all because the pod is bound leaves the pod its cards")
def _(build):
    """A proxy that sends it twice answers with what the second came to."""
    with world(build, node("a", cards=1)) as (w, b, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        s.filter(p, ["a"])
        hold = b.on("POST", BINDING, Hold(then=Answer(409, "Conflict")), times=1)
        bound = in_background(s.bind, p, "a")
        hold.wait_seen()
        w.api("POST", "/api/v1/namespaces/default" + BINDING, b.seen("POST", BINDING)[0].json)
        s.until("hami_scheduler_watch_events_total", 3)  # the node, the pod, the pod bound
        hold.release()
        assert bound() != ""
        q = w.create(pod("q", slice_of(mem=1000)))
        assert s.filter(q, ["a"])["NodeNames"] is None


@test("a second call to bind while the first waits is refused, and takes nothing from it")
def _(build):
    locked = {MUTEX: ago(1) + ",default,holder"}
    with world(build, node("a", cards=1, annotations=locked), flags=["--compat-node-lock", "--node-lock-retry-timeout", "30s"]) as (w, b, s):
        w.create(pod("holder", {"cpu": 1}))
        p = w.create(pod("p", slice_of(mem=40960)))
        s.filter(p, ["a"])
        hold = b.on("POST", BINDING, Hold(), times=1)
        first = in_background(s.bind, p, "a")
        b.until(1, "GET", "/pods/holder")
        second = in_background(s.bind, p, "a")
        time.sleep(0.2)  # it has come, or is refused
        w.annotate("/api/v1/nodes/a", **{MUTEX: None})
        hold.wait_seen()
        assert second() != ""
        q = w.create(pod("q", slice_of(mem=1000)))
        assert s.filter(q, ["a"])["NodeNames"] is None
        hold.release()
        assert first() == "" and annotations_of(w, "a")[MUTEX].endswith(",default,p")


@test("a lock is given back with the cards once a binding whose answer was lost is known not to have been made")
def _(build):
    with world(build, node("a"), flags=["--compat-node-lock"]) as (w, b, s):
        p = w.create(pod("p", slice_of(mem=1)))
        s.filter(p, ["a"])
        b.on("POST", BINDING, LOSE_REQUEST, times=1)
        assert s.bind(p, "a") != "" and MUTEX in annotations_of(w, "a")
        s.process.line("event=bind-settled .*not bound", limit=30)
        b.until(2, "PATCH", "/api/v1/nodes/a")
        lock_goes(w, "a")


@test("who was decided anew while his bind waited for a lock is not bound as decided before")
def _(build):
    """kube-scheduler asks anew when a bind takes it too long."""
    for nodes in ("b", "a"):
        locked = {MUTEX: ago(1) + ",default,holder"}
        with world(build, node("a", annotations=locked), node("b"), flags=["--compat-node-lock", "--node-lock-retry-timeout", "30s"]) as (w, b, s):
            w.create(pod("holder", {"cpu": 1}))
            p = w.create(pod("p", slice_of(mem=1)))
            s.filter(p, ["a"])
            bound = in_background(s.bind, p, "a")
            b.until(1, "GET", "/pods/holder")
            assert s.filter(p, [nodes])["NodeNames"] == [nodes]
            w.annotate("/api/v1/nodes/a", **{MUTEX: None})
            error = bound()
            assert error != "" and not b.seen("POST", BINDING), (nodes, error)
            assert s.bind(p, nodes) == "" and w.pod("p")["spec"]["nodeName"] == nodes


# ---- waking


@test("a pod that was made anew under its name is not touched by what was meant for the one before")
def _(build):
    with world(build, node("a", cards=1)) as (w, b, s):
        s.place(pod("first", slice_of(mem=40960)), ["a"])
        p = w.create(pod("p", slice_of(mem=40960)))
        assert s.filter(p, ["a"])["NodeNames"] is None
        hold = b.on("PATCH", "/pods/p", Hold(), times=1)
        w.delete("first")
        hold.wait_seen()
        w.delete("p")
        w.create(pod("p", slice_of(mem=40960)))
        hold.release()
        patch = b.seen("PATCH", "/pods/p")[0].json
        assert patch["metadata"]["uid"] == p["metadata"]["uid"] and set(patch["metadata"]["annotations"]) == {"hami.io/wake"}, patch
        s.until("hami_scheduler_waiting_pods", 0)
        assert "hami.io/wake" not in w.pod("p")["metadata"].get("annotations", {})


@test("a reservation whose pod is deleted frees its cards at once and wakes who waits")
def _(build):
    with world(build, node("a", cards=1)) as (w, b, s):
        p = w.create(pod("p", slice_of(mem=40960)))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        q = w.create(pod("q", slice_of(mem=40960)))
        assert s.filter(q, ["a"])["NodeNames"] is None
        start = time.monotonic()
        w.delete("p")  # at once: DELETED is the only event
        s.process.line("event=woken pod=default/q", limit=20)  # the reservation's own deadline is 30 s
        assert time.monotonic() - start < 20 and s.filter(q, ["a"])["NodeNames"] == ["a"]
        assert s.bind(p, "a") != "" and s.bind(q, "a") == ""


@test("a reservation that moves to another node, or is given up for none, wakes who waits for its cards")
def _(build):
    for full in (False, True):
        with world(build, node("a", cards=1), node("b", cards=1)) as (w, b, s):
            p = w.create(pod("p", slice_of(mem=40960)))
            assert s.filter(p, ["a"])["NodeNames"] == ["a"]
            q = pod("q", slice_of(mem=40960))
            q["spec"]["priority"] = 1  # before p, which waits too where there is no place for it
            q = w.create(q)
            if full:
                s.place(pod("other", slice_of(mem=10)), ["b"])
            assert s.filter(q, ["a"])["NodeNames"] is None
            start = time.monotonic()
            assert s.filter(p, ["b"])["NodeNames"] == (None if full else ["b"])
            s.process.line("event=woken pod=default/q", limit=20)  # the reservation's own deadline is 30 s
            assert time.monotonic() - start < 20 and s.filter(q, ["a"])["NodeNames"] == ["a"], full


# ---- nodes that come late


def late(name="a", cards=1):
    """A node that has not registered yet, and what it will register."""
    n = node(name, cards=cards)
    return n, n["metadata"]["annotations"].pop("hami.io/node-nvidia-register")


def register(w, name, text):
    w.annotate("/api/v1/nodes/" + name, **{"hami.io/node-nvidia-register": text})


def bound_before(name, where, mem):
    p = pod(name, slice_of(mem=mem), annotations={"hami.io/vgpu-devices-allocated": f"GPU-{where}-0,NVIDIA,{mem},0:;", "hami.io/vgpu-node": where})
    p["spec"]["nodeName"] = where
    return p


@test("a node on which no pod with cards was seen is open as soon as it registers, without a list")
def _(build):
    n, text = late()
    plain = pod("plain", {"cpu": 1})
    plain["spec"]["nodeName"] = "a"
    with world(build, n, plain, bound_before("elsewhere", "b", 40960)) as (w, b, s):
        register(w, "a", text)
        s.until("hami_scheduler_nodes", 1)
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        assert not b.seen("GET", "/api/v1/pods", "spec.nodeName"), "listed for nothing"


def cut():
    """A list as a proxy packs it, of which the end is missing: whole for HTTP."""
    a = Answer(200)
    a.body = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":['
    return a


@test("a node on which a pod with cards was seen takes none until its pods were listed, however often that fails")
def _(build):
    for failure in (Answer(403, "Forbidden"), cut()):
        n, text = late()
        with world(build, n, bound_before("early", "a", 40960)) as (w, b, s):
            fails = b.on("GET", "/api/v1/pods", failure, query="spec.nodeName%3Da")
            register(w, "a", text)
            b.until(2, "GET", "/api/v1/pods", "spec.nodeName%3Da")
            q = w.create(pod("q", slice_of(mem=1)))
            assert s.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardCordoned"}
            b.forget()
            hold = b.on("GET", "/api/v1/pods", Hold(), query="spec.nodeName%3Da")
            hold.wait_seen()
            assert s.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardCordoned"}
            hold.release()
            s.until("hami_gpu_memory_allocated_bytes", 40960 << 20, device_uuid="GPU-a-0")
            assert s.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}
            w.delete("early")
            s.process.line("event=woken pod=default/q")
            assert s.filter(q, ["a"])["NodeNames"] == ["a"] and fails


@test("a pod that ended while its node's pods were being listed is not counted again from the older list")
def _(build):
    n, text = late()
    with world(build, n, bound_before("early", "a", 40960)) as (w, b, s):
        hold = b.on("GET", "/api/v1/pods", Hold(answer=True), query="spec.nodeName%3Da")
        register(w, "a", text)
        hold.wait_seen()
        seen = s.metric("hami_scheduler_watch_events_total")
        w.delete("early")
        s.until("hami_scheduler_watch_events_total", seen + 1)
        hold.release()
        q = w.create(pod("q", slice_of(mem=40960)))
        until = time.monotonic() + kit.LIMIT_S
        while (f := s.filter(q, ["a"]))["NodeNames"] != ["a"]:
            assert f["FailedNodes"] == {"a": "1/1 CardCordoned"} and time.monotonic() < until, f
            time.sleep(0.05)


@test("a reservation that nobody binds wakes who waits when it ends")
def _(build):
    with world(build, node("a", cards=1), flags=["--reservation-time", "1s"]) as (w, b, s):
        assert s.filter(w.create(pod("p", slice_of(mem=40960))), ["a"])["NodeNames"] == ["a"]
        assert s.filter(w.create(pod("q", slice_of(mem=40960))), ["a"])["NodeNames"] is None
        s.process.line("event=woken pod=default/q", limit=20)


@test("a quota that went away unseen wakes who waited for it")
def _(build):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"},
             "spec": {"hard": {"limits.nvidia.com/gpumem": "10"}}}
    with world(build, node("a", cards=1), quota) as (w, b, s):
        assert s.filter(w.create(pod("p", slice_of(mem=11))), ["a"])["NodeNames"] is None
        w.api("POST", "/control/set?drop=1")
        w.api("DELETE", "/api/v1/namespaces/default/resourcequotas/q")
        w.api("POST", "/control/set?drop=0")
        b.on("GET", "/api/v1/resourcequotas", Answer(410, "Expired"), times=1, query="watch=1")
        w.api("POST", "/control/break?how=end")  # only quotas are listed anew
        s.process.line("event=woken pod=default/p", limit=30)
        assert len(b.seen("GET", "/api/v1/pods", "limit=")) == 1


# ---- taking over


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
LEASE = ["--leader-elect", "--leader-elect-resource-name", "hami", "--leader-elect-resource-namespace", "kube-system", "--identity", "node1"]


def lease(holder, renewed, seconds=60):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "hami", "namespace": "kube-system"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": renewed}}


@test("a mark that comes back in the first page of a list counts when all of its pages are read")
def _(build):
    with contextlib.closing(kit.World(build, [node("a", cards=1)])) as w:
        w.create(pod("me", {}, namespace="aaa"))
        for i in range(500):  # a page
            w.create(pod(f"filler-{i}", {"cpu": 1}, namespace="bbb"))
        w.api("POST", LEASES, lease("other_1", "2026-01-01T00:00:00.000000Z"))
        b = Between(w)
        try:
            s = w.start(*LEASE, wait="event=pods-synced", env={**os.environ, "POD_NAME": "me", "POD_NAMESPACE": "aaa"})
            w.api("POST", "/control/set?drop=1")  # what the leader before wrote last is still on its way
            w.create(bound_before("late", "a", 40960))
            w.api("POST", "/control/set?drop=0")
            mark = b.on("PATCH", "/namespaces/aaa/pods/me", Hold(), times=1)
            w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": "node1_2", "renewTime": "2026-01-01T00:00:01.000000Z"}}, "application/merge-patch+json")
            mark.wait_seen()
            w.api("POST", "/control/set?drop=1")  # the mark comes by list only
            mark.release()
            until = time.monotonic() + kit.LIMIT_S
            while "annotations" not in w.pod("me", "aaa")["metadata"]:
                assert time.monotonic() < until
                time.sleep(0.01)
            w.api("POST", "/control/set?drop=0")
            second = b.on("GET", "/api/v1/pods", Hold(), query="continue=", times=1)
            until = time.monotonic() + kit.LIMIT_S
            while not second.seen.wait(1):  # a watch that is just being opened is not broken yet
                assert time.monotonic() < until
                w.api("POST", "/control/break?how=expired")
            answer = in_background(s.filter, w.create(pod("q", slice_of(mem=1))), ["a"])
            time.sleep(0.5)
            assert "event=ready" not in "\n".join(s.process.lines)
            second.release()
            assert answer()["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}, answer()
        finally:
            b.close()


OWN = ["--leader-elect", "--leader-elect-resource-name", "hami", "--leader-elect-resource-namespace", "kube-system", "--leader-elect-as", "own"]


def leads(w, holder, second):
    w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": holder, "renewTime": f"2026-01-01T00:00:0{second}.000000Z"}}, "application/merge-patch+json")


@test("under a shorter lease a bind is given up sooner, so that none is on its way when another may lead")
def _(build):
    short = [*OWN, "--leader-elect-lease-duration", "3s", "--leader-elect-renew-deadline", "2s", "--leader-elect-retry-period", "500ms"]
    for flags, most_ms in ((short, 1000), (LEASE, 2000)):
        with contextlib.closing(kit.World(build, [node("a", cards=1)])) as w:
            if flags is LEASE:
                w.api("POST", LEASES, lease("node1_1", "2026-01-01T00:00:00.000000Z", seconds=10))
            b = Between(w)
            try:
                s = w.start(*flags)
                p = w.create(pod("p", slice_of(mem=1)))
                b.on("POST", BINDING, Hold(LOSE_REQUEST), times=1)
                assert s.filter(p, ["a"])["NodeNames"] == ["a"]
                error = s.bind(p, "a")
                assert f"no answer within {most_ms} ms" in error, error
            finally:
                b.close()


@test("who does not lead any more binds nothing that it decided before")
def _(build):
    with contextlib.closing(kit.World(build, [node("a", cards=1)])) as w:
        w.api("POST", LEASES, lease("node1_1", "2026-01-01T00:00:00.000000Z"))
        b = Between(w)
        try:
            s = w.start(*LEASE)
            p = w.create(pod("p", slice_of(mem=1)))
            assert s.filter(p, ["a"])["NodeNames"] == ["a"]
            leads(w, "other_1", 1)
            s.process.line("event=standing-by")
            assert "does not lead" in s.bind(p, "a")
            assert not b.seen("POST", BINDING) and s.metric("hami_scheduler_pods") == 0
        finally:
            b.close()


@test("who leads again after a time that was not seen catches up again")
def _(build):
    """The watch of the lease was away, and its list shows ours once more: under another name of the same host, or after its end."""
    for holder, seconds in (("node1_1", 1), ("node1_2", 60)):
        with contextlib.closing(kit.World(build, [node("a", cards=1)])) as w:
            w.api("POST", LEASES, lease("node1_1", "2026-01-01T00:00:00.000000Z", seconds))
            s = w.start(*LEASE, wait="event=leading")
            s.process.line("event=pods-synced")
            w.api("POST", "/control/set?drop=1")
            leads(w, "other_1", 1)
            w.create(bound_before("late", "a", 40960))
            w.api("POST", "/control/set?drop=0")
            until = time.monotonic() + kit.LIMIT_S
            while seconds == 1 and "leading: no" not in s.get("/readyz").text:
                assert time.monotonic() < until
                time.sleep(0.02)
            leads(w, holder, 2)
            s.until("hami_scheduler_leading", 1)
            assert s.filter(w.create(pod("p", slice_of(mem=1))), ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}, holder


@test("who takes over without a pod of its own decides when all pods were listed anew")
def _(build):
    with contextlib.closing(kit.World(build, [node("a", cards=1)])) as w:
        w.api("POST", LEASES, lease("other_1", "2026-01-01T00:00:00.000000Z"))
        b = Between(w)
        try:
            s = w.start(*LEASE, wait="event=pods-synced")
            w.api("POST", "/control/set?drop=1")  # what the leader before wrote last is still on its way
            w.create(bound_before("late", "a", 40960))
            w.api("POST", "/control/set?drop=0")
            hold = b.on("GET", "/api/v1/pods", Hold(), query="limit=", times=1)
            leads(w, "node1_2", 1)
            hold.wait_seen()
            answer = in_background(s.filter, w.create(pod("q", slice_of(mem=1))), ["a"])
            time.sleep(0.5)
            assert "event=ready" not in "\n".join(s.process.lines)
            hold.release()
            assert answer()["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}, answer()
        finally:
            b.close()


@test("a lease is given back when no bind is under way any more")
def _(build):
    def holder(w):
        return w.api("GET", LEASES + "/hami").json["spec"].get("holderIdentity")
    with world(build, node("a", cards=1), flags=OWN) as (w, b, s):
        p = w.create(pod("p", slice_of(mem=1)))
        s.filter(p, ["a"])
        hold = b.on("POST", BINDING, Hold(), times=1)
        in_background(s.bind, p, "a")
        hold.wait_seen()
        s.process.p.send_signal(15)
        s.process.line("event=stopping")
        time.sleep(0.7)
        assert holder(w), "given back while a bind was under way"
        hold.release()
        assert s.process.p.wait(20) == 0
        assert not holder(w) and w.pod("p")["spec"]["nodeName"] == "a"


# ---- rights and tokens


@test("without the right to watch, whole lists take its place: what ends is free, what others bind is counted, what we bound stays")
def _(build):
    w = kit.World(build, [node("a", cards=1), node("b", cards=1)])
    b = Between(w)
    try:
        for kind in ("pods", "nodes", "resourcequotas"):
            b.on("GET", "/api/v1/" + kind, forbidden("watch", kind), query="watch=1")
        s = w.start()
        s.process.line("event=right-missing verb=watch resource=pods .*without=.*listed")
        s.place(pod("p", slice_of(mem=40960)), ["a"])
        w.create(bound_before("others", "b", 40960))
        lists = len(b.seen("GET", "/api/v1/pods", "limit="))
        b.until(lists + 2, "GET", "/api/v1/pods", "limit=")
        s.until("hami_scheduler_pods", 2)
        q = w.create(pod("q", slice_of(mem=1)))
        assert s.filter(q, ["a", "b"])["FailedNodes"] == {n: "1/1 CardInsufficientMemory" for n in "ab"}
        w.delete("p")
        s.process.line("event=woken pod=default/q")
        assert s.filter(q, ["a", "b"])["NodeNames"] == ["a"] and s.bind(q, "a") == ""
        w.api("DELETE", "/api/v1/nodes/a")
        s.process.line("event=node-removed node=a")
        assert s.get("/readyz").status == 200
        lists = [r.at for r in b.seen("GET", "/api/v1/pods", "limit=")]
        gaps = [y - x for x, y in zip(lists, lists[1:])]
        assert min(gaps) > 7, gaps
    finally:
        b.close()
        w.close()


@test("a watch that is denied for a moment, as while an API server starts, is had again without a list and without much delay")
def _(build):
    w = kit.World(build, [node("a", cards=1)])
    try:
        s = w.start()
        w.api("POST", "/control/set?refuse=watch+nodes,watch+pods,watch+resourcequotas")
        w.api("POST", "/control/break?how=cut")
        s.process.line("event=right-missing verb=watch resource=nodes")
        w.api("POST", "/control/set?refuse=")
        w.create(node("b", cards=1))
        s.until("hami_scheduler_nodes", 2, limit=5)  # half of what the first list of those who may not watch waits for, at least
        assert s.metric("hami_scheduler_node_lists_total") == 1
    finally:
        w.close()


@test("who takes over without the right to watch decides once its mark came back by list")
def _(build):
    w = kit.World(build, [node("a", cards=1), pod("me", {}, namespace="kube-system")])
    w.api("POST", LEASES, lease("other_1", "2026-01-01T00:00:00.000000Z"))
    b = Between(w)
    try:
        b.on("GET", "/api/v1/pods", forbidden("watch", "pods"), query="watch=1")
        b.on("GET", "/leases", forbidden("watch", "leases"), query="watch=1")
        s = w.start(*LEASE, wait="event=pods-synced", env={**os.environ, "POD_NAME": "me", "POD_NAMESPACE": "kube-system"})
        w.create(bound_before("late", "a", 40960))
        w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": "node1_2", "renewTime": "2026-01-01T00:00:01.000000Z"}}, "application/merge-patch+json")
        assert s.filter(w.create(pod("q", slice_of(mem=1))), ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}
        assert b.seen("PATCH", "/pods/me")
    finally:
        b.close()
        w.close()


@test("a lease that is only asked for, as it may not be watched, runs out all the same when its holder is gone")
def _(build):
    w = kit.World(build, [node("a", cards=1)])
    short = lease("node1_1", "2026-01-01T00:00:00.000000Z")
    short["spec"]["leaseDurationSeconds"] = 7
    w.api("POST", LEASES, short)
    b = Between(w)
    try:
        b.on("GET", "/leases", forbidden("watch", "leases"), query="watch=1")
        s = w.start(*LEASE)
        lists = len(b.seen("GET", "/leases", "limit="))
        b.until(lists + 6, "GET", "/leases", "limit=")  # 9 s at least
        assert "leading: no" in s.get("/readyz").text, s.get("/readyz").text
        leads(w, "node1_1", 1)
        until = time.monotonic() + 6
        while "leading: yes" not in s.get("/readyz").text:
            assert time.monotonic() < until, "its renewal is not seen"
            time.sleep(0.05)
    finally:
        b.close()
        w.close()


@test("a token that is renewed in its file is used without a restart, and one that cannot be read is said once while the old one serves")
def _(build):
    w = kit.World(build, [node("a", count=100)])
    b = Between(w)
    try:
        path = os.path.join(w.dir, "token")
        with open(w.config) as f:
            text = f.read()
        assert 'token: "none"' in text, text
        with open(w.config, "w") as f:
            f.write(text.replace('token: "none"', "tokenFile: token"))  # beside the kubeconfig

        def put(token):
            with open(path + "~", "w") as f:
                f.write(token + "\n")
            os.rename(path + "~", path)

        def token_of_a_binding(name):
            time.sleep(1.1)  # files are looked at once a second
            s.place(pod(name, slice_of(mem=1)), ["a"])
            return b.seen("POST", f"/pods/{name}/binding")[0].headers["authorization"]
        put("one")
        s = w.start()
        assert token_of_a_binding("p1") == "Bearer one"
        put("two")
        assert token_of_a_binding("p2") == "Bearer two"
        put("")
        assert token_of_a_binding("p3") == token_of_a_binding("p4") == "Bearer two"
        put("three")
        assert token_of_a_binding("p5") == "Bearer three"
        s.process.line("event=bound .*pod=p5")
        said = [x for x in s.process.lines if "event=token-unreadable" in x]
        assert len(said) == 1 and path in said[0], said
    finally:
        b.close()
        w.close()


if __name__ == "__main__":
    kit.main(at_once=4)
