# SPDX-License-Identifier: Apache-2.0
"""What the tests of the wire contract share: worlds, nodes of other families, waiting for what was written."""
import contextlib
import datetime
import time

import kit

DEVICES = "hami.io/vgpu-devices-allocated"
MUTEX, DSMLU = "hami.io/mutex.lock", "cambricon.com/dsmlu.lock"


@contextlib.contextmanager
def world(build, *objects, flags=(), fake=(), env=None):
    """An API server with the objects, and a service over it: w, s."""
    w = kit.World(build, objects, fake)
    try:
        s = w.start(*flags, env=env)
        w.until_watched()
        yield w, s
    finally:
        w.close()


def capacity_node(name, annotations=None, labels=None, **amounts):
    amounts = {k.replace("__", "/"): str(v) for k, v in amounts.items()}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
            "status": {"allocatable": amounts, "capacity": amounts}}


def mlu_node(name, cards=2, **more):
    """vendors.md 3.2: 100 vcores are a card."""
    return capacity_node(name, **{"cambricon.com__mlu.smlu.vcore": 100 * cards, "cambricon.com__mlu.smlu.vmemory": 96 * cards,
                                  "cambricon.com__vmlu": cards}, **more)


def mlu(vmemory=20, vcore=10):
    return {"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vmemory": vmemory, "cambricon.com/mlu.smlu.vcore": vcore}


def quota(name="q", namespace="default", **hard):
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": namespace},
            "spec": {"hard": {"limits." + k.replace("__", "/"): str(v) for k, v in hard.items()}}}


def ago(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_ago(seconds):
    return (datetime.datetime.now() - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


def annotations_of(w, name):
    return w.api("GET", "/api/v1/nodes/" + name).json["metadata"].get("annotations", {})


def mark(w, name, **annotations):
    w.annotate("/api/v1/nodes/" + name, **annotations)


def mark_and_see(w, s, name, **annotations):
    """Returns when the service has seen it: a cordon of no card changes with it, which is counted."""
    seen = s.metric("hami_scheduler_node_parses_total")
    mark(w, name, **{"hami.io/device-cordon": f"of-no-card-{seen}", **annotations})
    s.until("hami_scheduler_node_parses_total", seen + 1)


def cards_of(w, name):
    return w.pod(name)["metadata"]["annotations"][DEVICES]


def event_of(w, name, reason, wanted):
    """Waits for an event of a pod whose message is as wanted (a text or a predicate)."""
    fits = wanted if callable(wanted) else lambda m: m == wanted
    until = time.monotonic() + kit.LIMIT_S
    while True:
        items = w.api("GET", "/api/v1/namespaces/default/events").json["items"]
        mine = [e for e in items if e["involvedObject"]["name"] == name and e["reason"] == reason]
        for e in mine:
            if fits(e["message"]):
                return e
        assert time.monotonic() < until, (reason, [(e["reason"], e["message"]) for e in items])
        time.sleep(0.02)
