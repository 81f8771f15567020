# SPDX-License-Identifier: Apache-2.0
"""Tests on one control plane with one `hami scheduler`, and TAP.

A test is a function with a sentence for a name. It gets a World: a namespace
of its own in a cluster without nodes and pods. Tests wait for events, each
within LIMIT_S, so that a failure is not a hang; none passes by a duration.
Durations that people ask for are printed with note().
"""
import json
import os
import socket
import sys
import time
import traceback

import nodes as families
import pods
from api import LIMIT_S, Refused, documents
from child import Child, Died, free_port
from hami import ACCOUNT, NS, Hami, install

PROXY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")
TESTS = []
TENANT = "e2e-tenant"
# What fits nowhere is usually refused at once; the tests want to see such pods wait and say why.
FLAGS = ("--admission-check=impossible=warn",)


class Skip(Exception):
    pass


def test(name):
    def add(function):
        TESTS.append((name, function))
        return function
    return add


def note(text):
    """A remark beside the results."""
    print("# " + text, flush=True)


class World:
    def __init__(self, plane, program):
        self.plane, self.api, self.kubectl, self.program = plane, plane.api, plane.kubectl, program
        self.number, self.extra, self.wires = 0, [], []
        install(plane)
        self._tenant()
        self.hami = Hami(plane, program).serve_webhook().start(*FLAGS).start_kube_scheduler()
        self.webhook_works()

    def _tenant(self):
        """An ordinary user who may do everything with pods and nothing else."""
        self.kubectl("create", "clusterrolebinding", TENANT, "--clusterrole=admin", f"--user={TENANT}")

    # Between tests

    def begin(self):
        self.number += 1
        self.ns = f"e2e-{self.number}"
        self.api.create("namespaces", {"metadata": {"name": self.ns}})
        self.eventually(lambda: self.plane.has("serviceaccounts", self.ns, "default"), "the namespace has its service account")

    def end(self):
        """An empty cluster again, with the scheduler that was started first."""
        replicas, wires = self.extra, self.wires
        self.extra, self.wires = [], []
        for replica in replicas:
            for child in (getattr(replica, "scheduler", None), getattr(replica, "child", None)):
                if child and child.running():
                    child.kill()
        for wire in wires:
            wire.kill()
        if replicas or not (self.hami.child.running() and self.hami.scheduler.running()):
            self.resume()
        for kind in ("deployments", "replicasets", "jobs", "pods", "resourcequotas"):
            self.api.delete_all(kind, self.ns)
        self.api.delete_all("nodes")
        self.api.call("DELETE", self.api.path("namespaces", None, self.ns))
        self.eventually(lambda: not self.api.list("pods", self.ns), "no pod is left")

    # Nodes and pods

    def node(self, name, *hardware, **more):
        """Creates a node; hardware are functions of nodes.py or what they made. Returns the ids of its cards."""
        made = [h(name) if callable(h) else h for h in hardware]
        self.api.create("nodes", families.node(name, *made, **more))
        return [card for h in made for card in h.cards]

    def annotate_node(self, name, **annotations):
        self.api.patch("nodes", name, {"metadata": {"annotations": annotations}})

    def create(self, *objects, user=None):
        """With kubectl, in the test's namespace. Returns the first object as it was stored."""
        as_user = [f"--as={user}"] if user else []
        text = self.kubectl("create", "-n", self.ns, "-o", "json", "-f", "-", *as_user,
                            stdin={"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return documents(text)[0]

    def pod(self, name, **more):
        """Creates pods.pod(name, ...)."""
        return self.create(pods.pod(name, **more))

    def refusal(self, *objects, user=None):
        """The text with which the API server refuses the objects."""
        try:
            made = self.create(*objects, user=user)
        except Refused as why:
            return str(why)
        raise AssertionError(f"was not refused: {made['metadata']['name']}")

    def delete(self, name):
        self.kubectl("delete", "pod", "-n", self.ns, name, "--force", "--grace-period=0", "--wait=false")

    def get(self, name):
        return self.api.get("pods", self.ns, name)

    def until(self, name, check, what, limit_s=LIMIT_S):
        """The pod as soon as check(pod) is true."""
        last = None
        try:
            for event, last in self.api.watch("pods", self.ns, limit_s, fieldSelector=f"metadata.name={name}"):
                if event != "DELETED" and check(last):
                    return last
        except TimeoutError:
            pass
        raise AssertionError(f"pod {name}: not within {limit_s} s: {what}; it is {json.dumps(last and brief(last))}")

    def bound(self, name, limit_s=LIMIT_S):
        return self.until(name, lambda p: p["spec"].get("nodeName"), "bound to a node", limit_s)

    def all_bound(self, names, limit_s=LIMIT_S):
        """{name: pod} once every one of them has its node."""
        missing, found = set(names), {}
        try:
            for _, p in self.api.watch("pods", self.ns, limit_s):
                if p["spec"].get("nodeName") and p["metadata"]["name"] in missing | set(found):
                    found[p["metadata"]["name"]] = p
                    missing.discard(p["metadata"]["name"])
                if not missing:
                    return found
        except TimeoutError:
            pass
        raise AssertionError(f"{len(missing)} of {len(missing) + len(found)} pods were not bound within {limit_s} s: {sorted(missing)[:5]}")

    def place(self, name, **more):
        """Creates a pod and gives it back bound."""
        self.pod(name, **more)
        return self.bound(name)

    def waiting(self, name, limit_s=LIMIT_S):
        """The scheduler's word why the pod is not placed."""
        p = self.until(name, lambda p: pods.condition(p).get("status") == "False", "found not to fit", limit_s)
        return pods.condition(p)["message"]

    def refused_place(self, name, **more):
        self.pod(name, **more)
        return self.waiting(name)

    def outcome(self, name, **more):
        """Tries to place a pod: "" when that succeeds (the pod goes away again), else why it waits."""
        self.pod(name, **more)
        p = self.until(name, lambda p: p["spec"].get("nodeName") or p["status"].get("conditions"), "decided")
        if not p["spec"].get("nodeName"):
            return pods.condition(p).get("message", "")
        self.delete(name)
        return ""

    def status(self, name, **status):
        """What a kubelet would say of the pod."""
        self.api.patch("pods", name, {"status": status}, self.ns, "status")

    def event(self, name, reason, limit_s=LIMIT_S):
        """The message of the first event of this reason about the pod."""
        selector = f"involvedObject.name={name},reason={reason}"
        for _, e in self.api.watch("events", self.ns, limit_s, fieldSelector=selector):
            return e["message"]

    def requests(self, since, pod=None, user=None):
        """Recorded requests about a pod: (user, verb, subresource)."""
        found = []
        for r in self.plane.audit(since):
            ref = r.get("objectRef", {})
            if ref.get("resource") == "pods" and ref.get("namespace") == self.ns and (pod in (None, ref.get("name"))) \
                    and (user in (None, r["user"]["username"])) and r["responseStatus"]["code"] < 300:
                found.append((r["user"]["username"], r["verb"], ref.get("subresource", "")))
        return found

    # The schedulers

    def pause(self):
        """Ends the first replica, so that a test can have its own."""
        self.hami.scheduler.kill()
        self.hami.child.kill()
        self.free_lease()

    def webhook_works(self):
        """Waits until the API server trusts the certificate that the webhook shows."""
        probe = {**pods.pod("probe", gpus=1), "metadata": {"generateName": "probe-"}}
        self.eventually(lambda: not self.kubectl.try_("create", "--dry-run=server", "-f", "-", stdin=probe).returncode, "the webhook answers")

    def free_lease(self):
        """Who was killed has not given the lease back; nobody waits for it to run out."""
        if self.plane.has("leases", NS, ACCOUNT):
            self.api.delete("leases", ACCOUNT, NS)

    def resume(self):
        """Whatever a test did: the first replica serves again."""
        if not self.hami.child.running():
            self.hami.start(*FLAGS)
        if not self.hami.scheduler.running():
            self.free_lease()
            self.hami.start_kube_scheduler()
        self.hami.serve_webhook()
        self.webhook_works()

    def replica(self, name, **more):
        replica = Hami(self.plane, self.program, name, **more)
        self.extra.append(replica)
        return replica

    def wire(self, delay_ms=0):
        """A way to the API server that can be cut: (port, its process)."""
        port = free_port()
        wire = Child("wire", [sys.executable, PROXY, str(port), str(self.plane.port), str(delay_ms)], self.plane.path("wire.log"))
        self.wires.append(wire)
        wire.until(lambda: socket.create_connection(("127.0.0.1", port)).close() is None, "the wire listens")
        return port, wire

    def eventually(self, check, what, limit_s=LIMIT_S):
        """For what no event tells of: looks again."""
        end = time.monotonic() + limit_s
        while not check():
            assert time.monotonic() < end, f"not within {limit_s} s: {what}"
            time.sleep(0.02)

    def over_committed(self):
        """Cards that were given away twice, by what is written on bound pods; the truth that no crash may touch."""
        capacity, used = {}, {}
        for n in self.api.list("nodes"):
            for d in json.loads(n["metadata"].get("annotations", {}).get("hami.io/node-nvidia-register", "[]")):
                capacity[d["id"]] = (d["devmem"], d["devcore"], d["count"])
        for p in self.api.list("pods"):
            if p["spec"].get("nodeName") and p["status"].get("phase") not in ("Succeeded", "Failed"):
                for slot in pods.devices(p):
                    for uuid, _, mem, cores in slot:
                        u = used.setdefault(uuid, [0, 0, 0])
                        u[0], u[1], u[2] = u[0] + mem, u[1] + cores, u[2] + 1
        return {uuid: (u, capacity.get(uuid)) for uuid, u in used.items()
                if uuid not in capacity or any(have < want for want, have in zip(u, capacity[uuid]))}

    def nothing_is_given_twice(self):
        over = self.over_committed()
        assert not over, f"cards above their capacity (used, registered): {over}"


def brief(p):
    return {"node": p["spec"].get("nodeName"), "annotations": p["metadata"].get("annotations"), "scheduled": pods.condition(p),
            "phase": p["status"].get("phase")}


def run(world, wanted=()):
    """Runs the tests whose name contains one of the words (all without any). Returns whether all passed."""
    chosen = [(n, f) for n, f in TESTS if not wanted or any(w in n for w in wanted)]
    good = True
    print(f"1..{len(chosen)}", flush=True)
    for number, (name, function) in enumerate(chosen, 1):
        start = time.monotonic()
        try:
            world.begin()
            try:
                function(world)
            finally:
                world.end()
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception as e:
            good = False
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines() if not isinstance(e, Died) else str(e).splitlines():
                note(line[:2000])
            for line in world.hami.child.tail(8).splitlines():
                note("hami: " + line)
        if time.monotonic() - start > 10:
            note(f"{time.monotonic() - start:.0f} s")
    return good
