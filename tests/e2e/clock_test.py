# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set while `hami scheduler` runs: its own clock only, by libfaketime. The monotonic clock goes on, as
the kernel's does; the API server's and kube-scheduler's clocks stay right, as of a machine whose clock alone is wrong."""
import calendar
import glob
import os
import ssl
import tempfile
import time

from api import LIMIT_S
from hami import ACCOUNT, NS
from kit import Skip, note, test
from nodes import node, nvidia
from pods import pod

JUMPS = ("+2h", "-2h", "+400d", "+0")
RESERVED_S = 5
OWN = ("--leader-elect", "--leader-elect-as=own", f"--leader-elect-resource-name={ACCOUNT}", f"--leader-elect-resource-namespace={NS}",
       "--leader-elect-lease-duration=6s", "--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=500ms")


class Clock:
    """A wall clock that is read from a file: "+2h" and the like, beside the machine's."""

    def __init__(self, w, name):
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not libraries:
            raise Skip("libfaketime is not installed; apt-get install faketime")
        self.path = w.plane.path(name + ".clock")
        self.set("+0")
        self.env = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(self.path), delete=False) as f:
            f.write(offset + "\n")
        os.rename(f.name, self.path)


def cpu_s(child):
    with open(f"/proc/{child.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shifted(w, *flags):
    """The only scheduler is one whose clock can be set. That of its kube-scheduler, of one machine with it in a cluster,
    cannot: a renewal's age is not to be compared here."""
    clock = Clock(w, "shifted")
    w.pause()
    r = w.replica("shifted").serve_webhook().start("--leader-elect-silence=0", *flags, env=clock.env).start_kube_scheduler()
    w.webhook_works()
    return r, clock


def metric(r, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in r.metrics().splitlines() if line.split("{")[0].split(" ")[0] == name)


def lease(w):
    spec = w.api.get("leases", NS, ACCOUNT)["spec"]
    return spec.get("holderIdentity"), spec.get("leaseTransitions", 0)


def is_shifted(r, jump):
    """Its newest line bears the time that it was given."""
    days = {"+2h": 1 / 12, "-2h": -1 / 12, "+400d": 400, "+0": 0}[jump]
    lines = [x for x in r.child.said().splitlines() if "ts=" in x]
    stamp = lines[-1].split("ts=")[1][:19]
    seen = calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S"))
    return abs(seen - time.time() - days * 86400) < 60


@test("clock: set forward and back, bindings go on, the lease stays, and nothing spins")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=40000))
    r, clock = shifted(w)
    w.place("before", gpus=1, mem=100, cores=1)
    held, start, used = lease(w), time.monotonic(), cpu_s(r.child)
    for i, jump in enumerate(JUMPS):
        clock.set(jump)
        p = w.place(f"p-{i}", gpus=1, mem=100, cores=1)
        assert p["spec"]["schedulerName"] == "hami-scheduler", f"{jump}: admission did not see the pod"
        assert is_shifted(r, jump), f"{jump}: {r.child.tail(1)}"
        assert metric(r, "hami_scheduler_leading") == 1, f"{jump}: it does not lead any more"
        assert lease(w) == held, f"{jump}: the lease went from {held} to {lease(w)}"
    used, passed = cpu_s(r.child) - used, time.monotonic() - start
    note(f"{used:.2f} s of CPU within {passed:.1f} s")
    assert used < 0.25 * passed + 0.3, f"{used} s of CPU within {passed} s"
    w.nothing_is_given_twice()


@test("clock: a reservation ends when its time has passed, whatever the clock says meanwhile")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=10000))
    r, clock = shifted(w, f"--reservation-time={RESERVED_S}s")
    nowhere = {"nodeSelector": {"no": "such-node"}}
    first, second = (w.create(pod(name, gpus=1, mem=10000, cores=10, spec=nowhere)) for name in ("first", "second"))

    def fits(p):
        return r.ask("filter", {"Pod": p, "Nodes": None, "NodeNames": ["one"]})["NodeNames"] == ["one"]
    for jump in JUMPS:
        w.eventually(lambda: fits(first), "the card is free")
        start = time.monotonic()
        clock.set(jump)
        assert not fits(second), f"{jump}: the reservation was lost"
        w.eventually(lambda: fits(second), f"{jump}: the reservation ends")
        held = time.monotonic() - start
        assert RESERVED_S - 1 < held < RESERVED_S + LIMIT_S / 4, f"{jump}: it held {held:.1f} s"
        first, second = second, first


@test("clock: an agent that was asked just before is not taken for dead")
def _(w):
    r, clock = shifted(w)
    for i, jump in enumerate(("+2h", "-2h")):
        clock.set("+0")
        asked = node(f"asked-{i}", nvidia(f"asked-{i}"))
        asked["metadata"]["annotations"]["hami.io/node-handshake"] = time.strftime("Requesting_%Y-%m-%d %H:%M:%S")
        asked["status"]["allocatable"] = {k: v for k, v in asked["status"]["allocatable"].items() if "nvidia" not in k}
        asked["status"]["capacity"] = asked["status"]["allocatable"]
        w.api.create("nodes", asked)
        w.eventually(lambda: metric(r, "hami_scheduler_nodes") == 1, "the node is registered")
        clock.set(jump)
        w.annotate_node(f"asked-{i}", touched=jump)
        version = w.api.get("nodes", None, f"asked-{i}")["metadata"]["resourceVersion"]
        w.node(f"later-{i}", nvidia)
        w.eventually(lambda: metric(r, "hami_scheduler_nodes") != 1, "what comes after is seen")
        assert metric(r, "hami_scheduler_nodes") == 2, f"{jump}: the agent was taken for dead"
        assert w.api.get("nodes", None, f"asked-{i}")["metadata"]["resourceVersion"] == version, f"{jump}: it was marked"
        w.api.delete_all("nodes")
        w.eventually(lambda: metric(r, "hami_scheduler_nodes") == 0, "the nodes are gone")


@test("clock: a self-made certificate whose end the clock has passed is made anew, and both clocks take it")
def _(w):
    r, clock = shifted(w)
    before = ssl.get_server_certificate(("127.0.0.1", r.webhook_port))
    clock.set("+400d")
    w.eventually(lambda: ssl.get_server_certificate(("127.0.0.1", r.webhook_port)) != before, "a new certificate is served")
    w.webhook_works()  # the API server's clock is right
    assert w.create(pod("forward", gpus=1))["spec"]["schedulerName"] == "hami-scheduler"
    clock.set("-2h")
    assert w.create(pod("back", gpus=1))["spec"]["schedulerName"] == "hami-scheduler"


@test("clock: of two with a lease of their own the one whose clock is set keeps it, and never do both lead")
def _(w):
    clock = Clock(w, "own")
    w.pause()
    a = w.replica("own-a")
    base = [x for x in a.arguments() if not x.startswith("--leader-elect")]
    a.start(args=[*base, *OWN], env=clock.env)
    w.eventually(lambda: metric(a, "hami_scheduler_leading") == 1, "the first one leads")
    b = w.replica("own-b")
    b.start(args=[*(x for x in b.arguments() if not x.startswith("--leader-elect")), *OWN], wait=False)
    b.child.until(b.ready, "the other one is ready")
    held = lease(w)
    for jump in JUMPS:
        clock.set(jump)
        renewed = w.api.get("leases", NS, ACCOUNT)["spec"]["renewTime"]
        for _ in range(3):
            w.eventually(lambda: w.api.get("leases", NS, ACCOUNT)["spec"]["renewTime"] != renewed, f"{jump}: the lease is renewed")
            renewed = w.api.get("leases", NS, ACCOUNT)["spec"]["renewTime"]
            assert (metric(a, "hami_scheduler_leading"), metric(b, "hami_scheduler_leading")) == (1, 0), jump
        assert lease(w) == held, f"{jump}: from {held} to {lease(w)}"
    a.child.kill()
    w.eventually(lambda: metric(b, "hami_scheduler_leading") == 1, "the other one leads once the lease has run out")
