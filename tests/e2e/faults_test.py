# SPDX-License-Identifier: Apache-2.0
"""What breaks beneath a scheduler: itself, the API server, the wire between them, certificates, tokens."""
import signal
import ssl
import time

from certs import LOOPBACK
from hami import ACCOUNT, NS, USER
from kit import FLAGS, note, test
from nodes import nvidia
from pods import cards, pod


def half(w, name):
    """A pod that takes half of a card of 10000 MiB."""
    return w.place(name, gpus=1, mem=5000, cores=10)


def one_card(w):
    w.node("one", nvidia("one", cards=1, mem=10000))


def at_the_end_of_a_wire(w, **more):
    """The only scheduler is one whose wire to the API server can be cut."""
    w.pause()
    port, wire = w.wire(**more)
    return w.replica("far", api_port=port).serve_webhook().start().start_kube_scheduler(), wire


@test("faults: a killed scheduler knows what it gave when it is back")
def _(w):
    one_card(w)
    half(w, "before")
    w.hami.child.kill()
    start = time.monotonic()
    w.hami.start(*FLAGS)
    note(f"ready {time.monotonic() - start:.2f} s after its start")
    half(w, "after")
    assert "CardInsufficientMemory" in w.refused_place("more", gpus=1, mem=1000, cores=1)


@test("faults: a pod that is ending holds its card, also across a restart")
def _(w):
    one_card(w)
    w.place("ending", gpus=1, mem=10000, cores=10, spec={"terminationGracePeriodSeconds": 3600})
    w.kubectl("delete", "pod", "-n", w.ns, "ending", "--wait=false")
    assert w.get("ending")["metadata"]["deletionTimestamp"]
    w.hami.child.kill()
    w.hami.start(*FLAGS)
    w.refused_place("next", gpus=1, mem=1000, cores=1)
    w.delete("ending")
    w.bound("next")


@test("faults: a scheduler that is asked to stop stops by itself")
def _(w):
    w.hami.child.signal(signal.SIGTERM)
    assert w.hami.child.process.wait(30) == 0, w.hami.child.tail()


@test("faults: a restarted API server is found again")
def _(w):
    one_card(w)
    half(w, "before")
    w.plane.children["apiserver"].kill()
    w.plane.start_apiserver()
    w.api.close()
    half(w, "after")
    assert "CardInsufficientMemory" in w.refused_place("more", gpus=1, mem=1000, cores=1)
    assert w.hami.child.running()


@test("faults: a restarted etcd is survived")
def _(w):
    one_card(w)
    half(w, "before")
    w.plane.children["etcd"].kill()
    w.plane.start_etcd()
    w.eventually(w.plane.ready, "the API server has its etcd back")
    half(w, "after")
    w.nothing_is_given_twice()


@test("faults: what happened while the watch was broken is learnt")
def _(w):
    one_card(w)
    far, wire = at_the_end_of_a_wire(w)
    w.place("holds", gpus=1, mem=10000, cores=10)
    wire.signal(signal.SIGUSR1)
    w.api.delete("pods", "holds", w.ns)
    w.api.delete("nodes", "one")
    w.node("two", nvidia("two", cards=1, mem=5000))
    wire.signal(signal.SIGUSR2)
    w.pod("next", gpus=1, mem=5000, cores=10)
    assert w.bound("next")["spec"]["nodeName"] == "two"
    assert far.child.running()


@test("faults: resource versions that etcd has forgotten lead to a new list (410)")
def _(w):
    one_card(w)
    far, wire = at_the_end_of_a_wire(w)
    w.place("holds", gpus=1, mem=10000, cores=10)
    wire.signal(signal.SIGUSR1)
    w.api.delete("pods", "holds", w.ns)
    # A new API server starts its watch cache here, beyond what the scheduler has seen.
    w.node("two", nvidia("two", cards=1, mem=1000))
    w.plane.compact_etcd()
    w.plane.children["apiserver"].kill()
    w.plane.start_apiserver()
    w.api.close()
    since = w.plane.audit_position()
    wire.signal(signal.SIGUSR2)
    half(w, "next")

    def listed():
        return {r["objectRef"]["resource"] for r in w.plane.audit(since)
                if (r["user"]["username"], r["verb"], r["responseStatus"]["code"]) == (USER, "list", 200)}
    w.eventually(lambda: {"pods", "nodes"} <= listed(), "pods and nodes are listed anew")
    assert far.child.running()


@test("faults: a slow API server slows down and breaks nothing")
def _(w):
    for i in range(2):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", mem=10000))
    at_the_end_of_a_wire(w, delay_ms=200)
    names = [f"p{i}" for i in range(20)]
    w.create(*(pod(name, gpus=1, mem=2000, cores=20) for name in names))
    w.all_bound(names)
    w.nothing_is_given_twice()


@test("faults: a pod made anew under its name does not get what was decided for the old one")
def _(w):
    one_card(w)
    far, _ = at_the_end_of_a_wire(w, delay_ms=500)
    w.webhook_works()
    wanted = pod("twice", gpus=1, mem=5000, cores=10, spec={"nodeSelector": {"no": "such-node"}})
    old = w.create(wanted)
    question = {"Pod": old, "Nodes": None, "NodeNames": ["one"]}
    w.eventually(lambda: far.ask("filter", question)["NodeNames"] == ["one"], "the node is known")
    w.api.delete("pods", "twice", w.ns)
    w.api.create("pods", wanted, w.ns)
    # Word of it is still on the wire.
    binding = {"PodName": "twice", "PodNamespace": w.ns, "PodUID": old["metadata"]["uid"], "Node": "one"}
    assert not far.grants("bind", binding, limit_s=30)
    assert not w.get("twice")["spec"].get("nodeName")


def served(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


@test("faults: a renewed certificate is served from then on")
def _(w):
    w.pause()
    r = w.replica("mounted", cert=True).start().serve_webhook()
    before = served(r.webhook_port)
    w.plane.pki.issue(r.name, f"/CN={r.name}", LOOPBACK)
    w.eventually(lambda: served(r.webhook_port) != before, "the new certificate is served")
    assert w.create(pod("p", gpus=1))["spec"]["schedulerName"] == "hami-scheduler"


@test("faults: a self-made certificate is renewed, and the API server trusts the new one")
def _(w):
    before = served(w.hami.webhook_port), w.hami.webhook_bundle()
    w.hami.child.signal(signal.SIGHUP)
    w.eventually(lambda: served(w.hami.webhook_port) != before[0] and w.hami.webhook_bundle() != before[1], "both have changed")
    assert w.create(pod("p", gpus=1))["spec"]["schedulerName"] == "hami-scheduler"


@test("faults: a new token is read when the old one is refused")
def _(w):
    one_card(w)
    half(w, "before")
    account = w.api.get("serviceaccounts", NS, ACCOUNT)
    w.api.delete("serviceaccounts", ACCOUNT, NS)  # every token of it is void from now on
    w.kubectl("create", "serviceaccount", "-n", NS, ACCOUNT)
    assert w.api.get("serviceaccounts", NS, ACCOUNT)["metadata"]["uid"] != account["metadata"]["uid"]
    with open(w.plane.path(w.hami.name + ".token"), "w") as f:
        f.write(w.plane.token(NS, ACCOUNT))
    half(w, "after")
    assert w.hami.child.running()


@test("faults: register annotations that make no sense harm nobody else")
def _(w):
    one_card(w)
    for number, text in enumerate(("", "[", "[]", "null", "{}", '[{"id":"x","count":-1,"devmem":-5,"devcore":1e99,"health":true}]',
                                   '[{"id":"GPU-x","count":1,"devmem":1,"devcore":1,"type":"a"},' * 2000, "x" * 100000)):
        w.node(f"odd-{number}")
        w.annotate_node(f"odd-{number}", **{"hami.io/node-nvidia-register": text})
    half(w, "works")
    assert w.hami.child.running() and cards(w.get("works")) == ["GPU-one-0"]


@test("faults: a pod with an odd assignment of its own making is not believed")
def _(w):
    one_card(w)
    # By the cluster's administrator, whom the policy lets.
    w.create(pod("forged", annotations={"hami.io/vgpu-node": "one", "hami.io/vgpu-devices-allocated": "GPU-one-0,NVIDIA,10000,100:;"}))
    w.create(pod("negative", annotations={"hami.io/vgpu-node": "one", "hami.io/vgpu-devices-allocated": "GPU-one-0,NVIDIA,-90000,-100:;"}))
    w.place("all", gpus=1, mem=10000, cores=10)
    assert "CardInsufficientMemory" in w.refused_place("more", gpus=1, mem=1000, cores=1)
