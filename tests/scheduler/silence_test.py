#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kube-scheduler that leads and is silent: its lease is given back before its end, and whoever follows that lease
decides no longer than this allows."""
import contextlib
import datetime
import time

import kit
from between import LOSE_REQUEST, Answer, Between, Hold, forbidden
from kit import node, pod, slice_of, test

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
LEASE = LEASES + "/hami"
AFTER_MS = 2000
FLAGS = ["--leader-elect", "--leader-elect-resource-name", "hami", "--leader-elect-resource-namespace", "kube-system", "--identity", "node1",
         f"--leader-elect-silence={AFTER_MS}ms"]


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def renew(w, holder, **spec):
    w.api("PATCH", LEASE, {"spec": {"holderIdentity": holder, "renewTime": now(), **spec}}, "application/merge-patch+json")


def keeps_pace(w, holder, pace_ms=200, times=3, **spec):
    """As if it had renewed its lease that often until now."""
    until = datetime.datetime.now(datetime.timezone.utc)
    for n in reversed(range(times)):
        made = (until - datetime.timedelta(milliseconds=n * pace_ms)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        w.api("PATCH", LEASE, {"spec": {"holderIdentity": holder, "renewTime": made, **spec}}, "application/merge-patch+json")


def spec_of(w):
    return w.api("GET", LEASE).json["spec"]


@contextlib.contextmanager
def world(build, holder, *objects, flags=FLAGS, wait="event=pods-synced", rules=(), pace_ms=0, lease_s=3600):
    """A lease of an hour, and a service that sees it: w, b, s. pace_ms: between its holder's renewals, as the service saw them."""
    w = kit.World(build, objects)
    w.api("POST", LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "hami", "namespace": "kube-system", "labels": {"whose": "somebody's"}},
                           "spec": {"holderIdentity": holder, "leaseDurationSeconds": lease_s, "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": now(), "leaseTransitions": 7}})
    b = Between(w)
    for rule in rules:
        b.on(*rule[0], **rule[1])
    try:
        s = w.start(*flags, wait=wait)
        if pace_ms:
            keeps_pace(w, holder, pace_ms)
        yield w, b, s
    finally:
        b.close()
        w.close()


@test("the lease of a holder that renews it no more is given back, after two looks, and nothing else of it is changed")
def _(build):
    with world(build, "other_1", pace_ms=200) as (w, b, s):
        s.process.line("event=lease-released holder=other_1")
        looks, writes = b.seen("GET", LEASE), b.seen("PUT", LEASE)
        assert len(looks) >= 2 and len(writes) == 1, (looks, writes, s.process.lines[-5:])
        found = w.api("GET", LEASE).json
        assert not found["spec"]["holderIdentity"] and found["spec"]["leaseDurationSeconds"] == 1, found
        assert found["metadata"]["labels"] == {"whose": "somebody's"} and found["spec"]["leaseTransitions"] == 7, found
        # Whoever takes it is watched as the one before.
        keeps_pace(w, "third_1", leaseDurationSeconds=3600)
        s.process.line("event=lease-released holder=third_1")
        assert len(b.seen("PUT", LEASE)) == 2 and s.metric("hami_scheduler_leading") == 0


@test("a holder that renews between the looks, or between the last and the release, keeps its lease until it is silent again")
def _(build):
    held = Hold()
    with world(build, "other_1", pace_ms=200, rules=[(("GET", LEASE, held), {"times": 1})]) as (w, b, s):
        held.wait_seen()
        renew(w, "other_1")
        write = b.on("PUT", LEASE, Hold(), times=1)
        held.release()
        write.wait_seen()
        assert len(b.seen("GET", LEASE)) >= 3, "the look before the renewal was counted"
        before = len(b.seen("GET", LEASE))
        renew(w, "other_1")
        write.release()
        s.process.line("event=lease-released")
        assert len(b.seen("PUT", LEASE)) == 2, "a renewed lease was given back"
        assert len(b.seen("GET", LEASE)) >= before + 2
        assert not [x for x in s.process.lines if "event=lease-release " in x], "a lost race is no failure"


@test("an API server that does not answer says nothing of the holder, and its silence is told once")
def _(build):
    rules = [(("GET", LEASE, LOSE_REQUEST), {"times": 2}), (("GET", LEASE, None), {"times": 1}), (("GET", LEASE, Answer(500, "InternalError")), {"times": 1})]
    with world(build, "other_1", pace_ms=200, rules=rules) as (w, b, s):
        s.process.line("event=lease-released")
        assert len(b.seen("GET", LEASE)) >= 6, "a look before a failure was counted"
        assert len([x for x in s.process.lines if "event=lease-release " in x]) == 1, s.process.lines


@test("who may not write the lease says so once, and waits for its end")
def _(build):
    with world(build, "other_1", pace_ms=200, rules=[(("PUT", LEASE, forbidden("update", "leases")), {})]) as (w, b, s):
        s.process.line("event=lease-release .*cannot update")
        s.process.line('event=right-missing verb=update resource=leases .*without="the lease of a kube-scheduler that died is not given back')
        b.until(2, "PUT", LEASE)
        b.until(3, "PUT", LEASE)
        assert len([x for x in s.process.lines if "event=lease-release " in x]) == 1
        assert spec_of(w)["holderIdentity"] == "other_1"


@test("who leads by a lease that is not renewed stops deciding before it can be given back, and binds nothing any more")
def _(build):
    with world(build, "node1_1", node("a", cards=1), wait="event=leading") as (w, b, s):
        write = b.on("PUT", LEASE, Hold(), times=1)
        s.process.line("event=pods-synced")
        p = w.create(pod("p", slice_of(mem=1)))
        renew(w, "node1_1")
        s.until("hami_scheduler_leading", 1)
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        write.wait_seen()
        assert "leading: no" in s.get("/readyz").text and "does not lead" in s.bind(p, "a")
        assert not b.seen("POST", "/binding")
        # It lives: nothing is given back, and it decides again.
        renew(w, "node1_1")
        write.release()
        assert spec_of(w)["holderIdentity"] == "node1_1"
        renew(w, "node1_1")
        s.until("hami_scheduler_leading", 1)


@test("after a silence the same term goes on at once, and a new one only when all that was written before is seen")
def _(build):
    with world(build, "node1_1", node("a", cards=1), wait="event=leading") as (w, b, s):
        s.process.line("event=pods-synced")
        b.on("GET", LEASE, LOSE_REQUEST)  # nothing is given back
        p = w.create(pod("p", slice_of(mem=1)))
        for transitions, again in ((7, False), (8, True)):
            renew(w, "node1_1")
            s.until("hami_scheduler_leading", 1)
            lists = len(b.seen("GET", "/api/v1/pods", "limit="))
            until = time.monotonic() + kit.LIMIT_S
            while "leading: no" not in s.get("/readyz").text:
                assert time.monotonic() < until
                time.sleep(0.02)
            renew(w, "node1_1", leaseTransitions=transitions)
            assert s.filter(p, ["a"])["NodeNames"] == ["a"]
            assert (len(b.seen("GET", "/api/v1/pods", "limit=")) > lists) == again, transitions


@test("a renewal that was long under way counts from when it was made")
def _(build):
    with world(build, "node1_1", node("a", cards=1), flags=[*FLAGS[:-1], "--leader-elect-silence=1h"]) as (w, b, s):
        s.until("hami_scheduler_leading", 1)
        for made, word in (("2020-01-01T00:00:00.000000Z", "no"), (now(), "yes"), ("2020-01-01T00:00:01.000000Z", "no")):
            w.api("PATCH", LEASE, {"spec": {"renewTime": made}}, "application/merge-patch+json")
            until = time.monotonic() + kit.LIMIT_S
            while f"leading: {word}" not in s.get("/readyz").text:
                assert time.monotonic() < until, (made, word)
                time.sleep(0.02)


@test("a bind is given up before another may lead")
def _(build):
    with world(build, "node1_1", node("a", cards=1), wait="event=leading") as (w, b, s):
        p = w.create(pod("p", slice_of(mem=1)))
        b.on("POST", "/pods/p/binding", Hold(LOSE_REQUEST), times=1)
        s.process.line("event=pods-synced")
        renew(w, "node1_1")
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        renew(w, "node1_1")
        error = s.bind(p, "a")
        assert f"no answer within {AFTER_MS // 4} ms" in error, error


@test("who renews seldom keeps its lease for three of its renewals, and that is told once")
def _(build):
    with world(build, "other_1", pace_ms=2000) as (w, b, s):
        keeps_pace(w, "other_1", 2000, times=6)
        s.process.line(rf"event=lease-silence holder=other_1 .*every 2000 ms: --leader-elect-silence={AFTER_MS}ms has to be five times")
        found = s.process.line(r"event=lease-released holder=other_1 silent_ms=(\d+)")
        assert int(found.group(1)) >= 6000, found.group(0)
        keeps_pace(w, "other_1", 2000, times=6, leaseDurationSeconds=3600)
        s.process.line("event=lease-released", start=len(s.process.lines))
        assert len([x for x in s.process.lines if "event=lease-silence" in x]) == 1, s.process.lines


@test("the renewal with which a holder begins says nothing of its pace")
def _(build):
    with world(build, "other_1") as (w, b, s):
        first = now()
        renew(w, "third_1", renewTime=first, acquireTime=first)
        renew(w, "third_1")
        found = s.process.line(r"event=lease-released holder=third_1 silent_ms=(\d+)")
        assert int(found.group(1)) >= 6000, found.group(0)


@test("a silence that is not shorter than the lease is told, and does not lengthen what a bind may take")
def _(build):
    with world(build, "node1_1", node("a", cards=1), flags=[*FLAGS[:-1], "--leader-elect-silence=20s"], lease_s=4, wait="event=leading") as (w, b, s):
        p = w.create(pod("p", slice_of(mem=1)))
        b.on("POST", "/pods/p/binding", Hold(LOSE_REQUEST), times=1)
        s.process.line("event=pods-synced")
        s.process.line(r"event=lease-silence holder=node1_1 .*--leader-elect-silence=20000ms is not shorter than the lease")
        renew(w, "node1_1")
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        renew(w, "node1_1")
        error = s.bind(p, "a")
        assert "no answer within 800 ms" in error, error


if __name__ == "__main__":
    kit.main(at_once=4)
