#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Locks of nodes whose device plugins are others' (scheduler.md 6.6 and 6.7; each test names its section).
docs/tests-cluster.md is the index."""
import contextlib
import datetime
import http.client
import json
import re
import threading
import time

import kit
from contract import DSMLU, MUTEX, ago, annotations_of, capacity_node, mark, mark_and_see, mlu, mlu_node, world
from kit import gpu, node, pod, slice_of, test

LOCKING = ["--compat-node-lock", "--node-lock-retry-timeout", "300ms"]


@contextlib.contextmanager
def bind_of_p(w, s, where, limits):
    """The error of binding a pod p, which is gone afterwards."""
    p = w.create(pod("p", limits))
    assert s.filter(p, [where])["NodeNames"] == [where]
    yield s.bind(p, where)
    w.delete("p")
    s.until("hami_scheduler_pods", 0)


def check_bind(name, error, kept_out, lock, holder=""):
    """kept_out: how long the lock of another lasts; None when it keeps nobody out, and `lock` is ours."""
    if kept_out:
        assert "node lock contention" in error and f"has been locked within {kept_out}" in error, (name, error)
    else:
        assert error == "", (name, error)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" + holder, lock), (name, lock)


@test("6.7 the node lock: who holds it, for how long, and what does not count")
def _(build):
    rows = [  # name, value of the lock before, does it keep the pod out
        ("none", None, False),
        ("a living pod's", lambda: ago(10) + ",default,holder", True),
        ("the pod's own", lambda: ago(10) + ",default,p", False),
        ("a namesake's in another namespace", lambda: ago(10) + ",other,p", False),  # no such pod there
        ("run out", lambda: ago(301) + ",default,holder", False),
        ("nearly run out", lambda: ago(290) + ",default,holder", True),
        ("of a pod that is gone", lambda: ago(10) + ",default,ghost", False),
        ("of an old release: the time alone", lambda: ago(10), True),
        ("with a zone, as the reference writes it", lambda: (datetime.datetime.now().astimezone() - datetime.timedelta(seconds=10)).isoformat(timespec="seconds") + ",default,holder", True),
        ("S8 two parts", lambda: ago(10) + ",default", False),
        ("S8 no time", lambda: "yesterday,default,holder", False),
    ]
    with world(build, node("a", cards=2), flags=LOCKING) as (w, s):
        w.create(pod("holder", {"cpu": 1}))
        for name, value, kept_out in rows:
            mark_and_see(w, s, "a", **{MUTEX: value() if value else None})
            with bind_of_p(w, s, "a", slice_of(mem=1)) as error:
                check_bind(name, error, "5m0s" if kept_out else None, annotations_of(w, "a")[MUTEX], ",default,p")


@test("6.7 nodes of our own agent are bound without a lock")
def _(build):
    with world(build, node("ours", annotations={"hami.io/node-agent": "hami"}), node("theirs"), flags=LOCKING) as (w, s):
        for name in ("ours", "theirs"):
            s.place(pod("on-" + name, slice_of(mem=1)), [name])
        assert MUTEX not in annotations_of(w, "ours") and MUTEX in annotations_of(w, "theirs")


@test("6.7 --node-lock-timeout is when a lock has run out, and --node-lock-retry-timeout 0 does not wait")
def _(build):
    flags = ["--compat-node-lock", "--node-lock-timeout", "5s", "--node-lock-retry-timeout", "0"]
    with world(build, node("a", annotations={MUTEX: ago(8) + ",default,holder"}), flags=flags) as (w, s):
        w.create(pod("holder", {"cpu": 1}))
        s.place(pod("p", slice_of(mem=1)), ["a"])
        q = w.create(pod("q", slice_of(mem=1)))
        s.filter(q, ["a"])
        before = time.monotonic()
        assert "has been locked within 5s" in s.bind(q, "a") and time.monotonic() - before < 5


@test("6.7 a lock from a clock that is a day ahead runs out all the same, counted from when it was first seen")
def _(build):
    flags = ["--compat-node-lock", "--node-lock-timeout", "1s", "--node-lock-retry-timeout", "30s"]
    for lock in (ago(-86400) + ",default,holder", ago(-86400)):
        with world(build, node("a", annotations={MUTEX: lock}), flags=flags) as (w, s):
            w.create(pod("holder", {"cpu": 1}))
            before = time.monotonic()
            s.place(pod("p", slice_of(mem=1)), ["a"])
            assert time.monotonic() - before >= 1, "it kept nobody out"
            assert annotations_of(w, "a")[MUTEX].endswith(",default,p")


@test("6.6 a bind waits for the lock until it is given back, or its holder is deleted")
def _(build):
    """In the reference only members of a PodGroup wait; ours all do."""
    for free in ("released", "deleted"):
        with world(build, node("a"), flags=["--compat-node-lock"]) as (w, s):
            s.place(pod("p", slice_of(mem=1)), ["a"])
            q = w.create(pod("q", slice_of(mem=1)))
            s.filter(q, ["a"])
            errors = []
            t = threading.Thread(target=lambda: errors.append(s.bind(q, "a")))
            t.start()
            if free == "released":
                mark(w, "a", **{MUTEX: None})
            else:
                w.delete("p")
            t.join(kit.LIMIT_S)
            assert errors == [""], (free, errors)
            assert annotations_of(w, "a")[MUTEX].endswith(",default,q")


@test("6.7 a bind that fails gives its lock back, and never another's")
def _(build):
    """TestReleaseNodeLockPreserves{Concurrent,ReplacedLegacy}LockAfterConflict: a lock with an owner, and a time alone."""
    for owner in (",default,other", ""):
        never_anothers(build, owner)


def never_anothers(build, owner):
    with world(build, node("a"), flags=LOCKING) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        p["metadata"]["uid"] = "of-a-pod-before"  # its binding will be refused
        s.filter(p, ["a"])
        assert s.bind(p, "a") != ""
        until = time.monotonic() + kit.LIMIT_S
        while MUTEX in annotations_of(w, "a"):
            assert time.monotonic() < until, "the lock stays"
            time.sleep(0.02)
        # each call takes 400 ms: the lock is written after 400, the binding refused after 800, the lock given back after
        # 1200; another's lock comes in between, at 1000
        other = ago(0) + owner
        w.api("POST", "/control/set?latency_ms=1000")
        c = http.client.HTTPConnection("127.0.0.1", w.api_port, timeout=kit.LIMIT_S)
        c.request("PATCH", "/api/v1/nodes/a", json.dumps({"metadata": {"annotations": {MUTEX: other}}}), {"Content-Type": "application/merge-patch+json"})
        w.api("POST", "/control/set?latency_ms=400")
        s.filter(p, ["a"])
        assert s.bind(p, "a") != ""
        assert c.getresponse().status == 200
        c.close()
        assert annotations_of(w, "a")[MUTEX] == other  # as of 1400


@test("6.7 a node that changes while its lock is taken is tried again")
def _(build):
    """TestSetNodeLockRaceIsRetryable: another's write of the node arrives first, so ours meets a newer version."""
    with world(build, node("a"), flags=["--compat-node-lock"]) as (w, s):
        p = w.create(pod("p", slice_of(mem=1)))
        s.filter(p, ["a"])
        w.api("POST", "/control/set?latency_ms=300")
        c = http.client.HTTPConnection("127.0.0.1", w.api_port, timeout=kit.LIMIT_S)
        c.request("PATCH", "/api/v1/nodes/a", json.dumps({"metadata": {"annotations": {"x": "y"}}}), {"Content-Type": "application/merge-patch+json"})
        error = s.bind(p, "a")
        assert c.getresponse().status == 200
        c.close()
        w.api("POST", "/control/set?latency_ms=0")
        now = annotations_of(w, "a")
        assert error == "" and now["x"] == "y" and now[MUTEX].endswith(",default,p"), (error, now)


@test("6.7 MLU pods take the Cambricon lock: a time alone, stale after two minutes")
def _(build):
    rows = [("none", None, False), ("fresh", 60, True), ("nearly stale", 110, True), ("stale", 121, False)]
    with world(build, mlu_node("m"), flags=LOCKING) as (w, s):
        for name, age, kept_out in rows:
            mark_and_see(w, s, "m", **{DSMLU: None if age is None else ago(age)})
            with bind_of_p(w, s, "m", mlu()) as error:
                check_bind(name, error, "2m0s" if kept_out else None, annotations_of(w, "m")[DSMLU])
                assert MUTEX not in annotations_of(w, "m"), "no plugin would give that back"


@test("6.7 a failed bind gives the Cambricon lock back, and never another's")
def _(build):
    """B22: the reference deletes it whoever's it is, on every failed bind."""
    with world(build, mlu_node("m"), flags=LOCKING) as (w, s):
        mark_and_see(w, s, "m", **{DSMLU: ago(200)})
        p = w.create(pod("p", mlu()))
        p["metadata"]["uid"] = "of-a-pod-before"
        s.filter(p, ["m"])
        assert s.bind(p, "m") != ""
        until = time.monotonic() + kit.LIMIT_S
        while DSMLU in annotations_of(w, "m"):
            assert time.monotonic() < until, "the lock stays"
            time.sleep(0.02)
        s.place(pod("q", mlu()), ["m"])
        lock = annotations_of(w, "m")[DSMLU]
        g = w.create(pod("g", mlu()))
        s.filter(g, ["m"])
        assert "node lock contention" in s.bind(g, "m")
        assert s.process.end() == 0
        assert annotations_of(w, "m")[DSMLU] == lock


@test("6.6 a pod of two makes takes both locks or none")
def _(build):
    """Test_lockAllDevices_Transactional."""
    def both(name):
        n = mlu_node(name, annotations={"hami.io/node-nvidia-register": json.dumps([gpu(0, name)])})
        n["status"]["allocatable"]["nvidia.com/gpu"] = n["status"]["capacity"]["nvidia.com/gpu"] = "10"
        return n
    with world(build, both("n"), flags=LOCKING) as (w, s):
        w.create(pod("holder", {"cpu": 1}))
        mark_and_see(w, s, "n", **{MUTEX: ago(10) + ",default,holder"})
        p = w.create(pod("p", {**slice_of(mem=1), **mlu()}))
        assert s.filter(p, ["n"])["NodeNames"] == ["n"]
        assert "node lock contention" in s.bind(p, "n")
        until = time.monotonic() + kit.LIMIT_S
        while DSMLU in annotations_of(w, "n"):
            assert time.monotonic() < until, "the first lock stays"
            time.sleep(0.02)
        mark(w, "n", **{MUTEX: None})
        s.filter(p, ["n"])
        assert s.bind(p, "n") == ""
        assert annotations_of(w, "n")[MUTEX].endswith(",default,p") and DSMLU in annotations_of(w, "n")


@test("6.7 families whose plugins know no lock take none")
def _(build):
    with world(build, capacity_node("k", **{"kunlunxin.com__xpu": 8}), flags=LOCKING) as (w, s):
        s.place(pod("p", {"kunlunxin.com/xpu": 1}), ["k"])
        assert not {MUTEX, DSMLU} & set(annotations_of(w, "k")), annotations_of(w, "k")


@test("6.7 a lock is taken though only an init container has cards")
def _(build):
    """B5."""
    with world(build, node("a"), flags=LOCKING) as (w, s):
        s.place(pod("p", {}, init=[slice_of(mem=1)]), ["a"])
        assert annotations_of(w, "a")[MUTEX].endswith(",default,p")


if __name__ == "__main__":
    kit.main()
