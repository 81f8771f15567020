# SPDX-License-Identifier: Apache-2.0
"""Two replicas, each a kube-scheduler with its `hami scheduler`, as the Deployment has them."""
import signal
import subprocess
import time

from kit import Skip, note, test
from nodes import nvidia
from pods import devices, pod

# Nobody waits for its end here: a lease passes because it was given back.
LONG = "leaseDuration: 1h, retryPeriod: 200ms"


def replicas(w):
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode != 0:
        raise Skip("two replicas need two host names, which needs root")
    w.pause()
    pair = []
    for name in ("replica-a", "replica-b"):
        r = w.replica(name, host=name)
        r.start(wait=not pair)
        r.start_kube_scheduler(lambda text: text.replace("retryPeriod: 200ms", LONG))
        pair.append(r)
        if len(pair) == 1:
            r.serve_webhook()
            w.eventually(lambda: holder(w) == "replica-a", "the first one leads")
    return pair


def holder(w):
    """The host whose kube-scheduler holds the lease."""
    try:
        return w.api.get("leases", "kube-system", "hami-scheduler")["spec"].get("holderIdentity", "").split("_")[0]
    except Exception:
        return None


def hand_over(w, end, what):
    for i in range(4):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", cards=4, mem=10000))
    a, b = replicas(w)
    before = [f"before-{i}" for i in range(20)]
    w.create(*(pod(name, gpus=1, mem=2000, cores=20) for name in before))
    w.all_bound(before)
    b.serve_webhook()
    during = [f"during-{i}" for i in range(40)]
    w.create(*(pod(name, gpus=1, mem=2000, cores=20) for name in during))
    start = time.monotonic()
    end(a)
    w.eventually(lambda: holder(w) == "replica-b", "the other one leads")
    taken = time.monotonic()
    w.pod("first-of-b", gpus=1, mem=2000, cores=20)
    w.bound("first-of-b")
    note(f"{what}: lease taken after {taken - start:.2f} s, a pod bound {time.monotonic() - taken:.2f} s later")
    w.all_bound(during)
    w.nothing_is_given_twice()
    # 16 cards of five pods each are 80; 61 are there.
    rest = [f"rest-{i}" for i in range(19)]
    w.create(*(pod(name, gpus=1, mem=2000, cores=20) for name in rest))
    w.all_bound(rest)
    w.refused_place("one-more", gpus=1, mem=2000, cores=20)
    w.nothing_is_given_twice()


@test("replicas: an orderly end hands over at once and gives nothing away twice")
def _(w):
    def end(a):
        a.scheduler.signal(signal.SIGTERM)
        a.child.signal(signal.SIGTERM)
    hand_over(w, end, "orderly end")


@test("replicas: a crash hands over long before the lease runs out and gives nothing away twice")
def _(w):
    def end(a):
        a.child.kill()
        a.scheduler.kill()
    hand_over(w, end, "crash")


@test("replicas: a kube-scheduler that dies alone hands over, too, though its hami lives")
def _(w):
    hand_over(w, lambda a: a.scheduler.kill(), "crash of kube-scheduler")


@test("replicas: a kube-scheduler alone that is started again in its place does not wait for its former lease")
def _(w):
    w.node("gpu-1", nvidia)
    w.pause()
    r = w.replica("replica-a", host="replica-a").start()
    for name in ("first", "second"):
        child = r.start_kube_scheduler(lambda text: text.replace("retryPeriod: 200ms", LONG))
        r.serve_webhook()
        w.place(name, gpus=1, mem=1000)
        r.scheduler.kill()


@test("replicas: a kube-scheduler whose retryPeriod nobody lowered keeps its lease, and is named")
def _(w):
    w.node("gpu-1", nvidia)
    w.pause()
    r = w.replica("replica-a", host="replica-a").start()
    r.start_kube_scheduler(lambda text: text.replace("retryPeriod: 200ms, ", ""))
    r.serve_webhook()
    w.place("first", gpus=1, mem=1000)
    said = lambda: r.child.said().rsplit("event=started", 1)[1]  # the tests before write to the same log
    w.eventually(lambda: "event=lease-silence holder=replica-a_" in said(), "it is named")
    w.place("second", gpus=1, mem=1000)
    assert "event=lease-released" not in said(), r.child.tail()


@test("replicas: who does not lead grants nothing, and knows everything")
def _(w):
    w.node("gpu-1", nvidia)
    a, b = replicas(w)
    p = w.create(pod("asked", gpus=1, mem=1000, spec={"nodeSelector": {"no": "such-node"}}))
    question = {"Pod": p, "Nodes": None, "NodeNames": ["gpu-1"]}
    binding = {"PodName": "asked", "PodNamespace": w.ns, "PodUID": p["metadata"]["uid"], "Node": "gpu-1"}
    assert not b.grants("filter", question) and not b.grants("bind", binding)
    assert not w.get("asked")["spec"].get("nodeName")
    assert a.grants("filter", question) and a.grants("bind", binding)


@test("replicas: a leader that is frozen and wakes up after the hand-over binds nothing")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=10000))
    a, b = replicas(w)
    p = w.create(pod("asked", gpus=1, mem=10000, cores=10, spec={"nodeSelector": {"no": "such-node"}}))
    assert a.ask("filter", {"Pod": p, "Nodes": None, "NodeNames": ["gpu-1"]})["NodeNames"] == ["gpu-1"]
    for child in (a.scheduler, a.child):
        child.signal(signal.SIGSTOP)
    b.serve_webhook()
    w.eventually(lambda: holder(w) == "replica-b", "the other one leads")
    w.place("new", gpus=1, mem=10000, cores=10)
    a.child.signal(signal.SIGCONT)
    binding = {"PodName": "asked", "PodNamespace": w.ns, "PodUID": p["metadata"]["uid"], "Node": "gpu-1"}
    assert not a.grants("bind", binding), "the former leader bound a pod"
    w.nothing_is_given_twice()


def without_election(w, name, host):
    r = w.replica(name, host=host)
    r.start(args=[a for a in r.arguments() if not a.startswith("--leader-elect")])
    return r.start_kube_scheduler(lambda text: text.replace("leaderElection: {leaderElect: true", "leaderElection: {leaderElect: false"))


@test("replicas: two that were started without election both bind, no pod twice, and each says so loudly")
def _(w):
    """Cards can be given twice in this state: each sees what the other gave only afterwards. It is not to last unnoticed."""
    w.pause()
    for i in range(4):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", cards=4, mem=10000))
    pair = [without_election(w, name, None) for name in ("twin-a", "twin-b")]
    pair[0].serve_webhook()
    w.webhook_works()
    names = [f"p{i}" for i in range(60)]
    w.create(*(pod(name, gpus=1, mem=2000, cores=20) for name in names))
    found = w.all_bound(names)
    assert all(len([d for slot in devices(p) for d in slot]) == 1 for p in found.values())
    over = w.over_committed()
    note(f"60 pods on 16 cards of five each by two schedulers: {len(over)} cards were given away twice")

    def strangers(r):
        return sum(float(line.rsplit(" ", 1)[1]) for line in r.metrics().splitlines() if line.startswith("hami_scheduler_foreign_assignments_total "))
    for r in pair:
        w.eventually(lambda: strangers(r) > 0, f"{r.name} has seen the other's pods")
        said = [line for line in r.child.said().splitlines() if "event=second-scheduler" in line]
        assert len(said) == 1 and "level=error" in said[0] and "--leader-elect" in said[0], said
    w.eventually(lambda: any(e["reason"] == "SecondScheduler" for e in w.api.list("events", w.ns)), "the pods' events tell")
    # Once one is ended the other goes on, and knows what both have given.
    pair[1].scheduler.kill()
    pair[1].child.kill()
    before = strangers(pair[0])
    for name in names[:40]:
        w.delete(name)
    w.place("alone", gpus=1, mem=2000, cores=20)
    assert strangers(pair[0]) == before


@test("replicas: nobody is taken for a second scheduler where the lease passes from hand to hand")
def _(w):
    for i in range(2):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", cards=4, mem=10000))
    a, b = replicas(w)
    w.place("of-a", gpus=1, mem=2000, cores=20)
    b.serve_webhook()
    for child in (a.scheduler, a.child):
        child.signal(signal.SIGTERM)
    w.eventually(lambda: holder(w) == "replica-b", "the other one leads")
    w.place("of-b", gpus=1, mem=2000, cores=20)
    assert not [r.name for r in (a, b) if "second-scheduler" in r.child.said()]
