#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is set up wrongly around the scheduler, and how it says so."""
import base64
import json
import signal

import kit
from contract import world
from kit import gpu, pod, slice_of, test

REGISTER = "hami.io/node-nvidia-register"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def node(name, register=None, annotations=None, **more):
    return kit.node(name, annotations={**({REGISTER: json.dumps(register)} if register else {}), **(annotations or {})}, **more)


def configuration(*names):
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "hami-webhook"},
            "webhooks": [{"name": name, "clientConfig": {"url": "https://x"}} for name in names]}


def said(s, event):
    return [line for line in s.process.lines if f"event={event} " in line]


@test("a webhook configuration that is missing is said once, and again when what is wrong changes")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0", "--webhook-configuration", "hami-webhook"]) as (w, s):
        def look():
            """SIGHUP makes a certificate and looks for the configuration at once; a binding later the answer has come."""
            start = len(s.process.lines)
            s.process.p.send_signal(signal.SIGHUP)
            s.process.line("event=certificate-made", start=start)
            s.place(pod(f"p{start}", slice_of(mem=1)), ["a"])
        s.process.line("event=webhook-configuration .*not found")
        for _ in range(3):
            look()
        assert len(said(s, "webhook-configuration")) == 1, said(s, "webhook-configuration")
        w.api("POST", CONFIGURATIONS, configuration("a.example.org", "b.example.org"))
        look()
        s.process.line("event=webhook-configuration .*holds no webhook vgpu.hami.io")
        look()
        assert len(said(s, "webhook-configuration")) == 2, said(s, "webhook-configuration")
        w.api("DELETE", CONFIGURATIONS + "/hami-webhook")
        w.api("POST", CONFIGURATIONS, configuration("vgpu.hami.io"))
        look()
        s.process.line("event=webhook-configuration-good")
        assert base64.b64decode(w.api("GET", CONFIGURATIONS + "/hami-webhook").json["webhooks"][0]["clientConfig"]["caBundle"])


@test("a decision about a pod without cards has a deadline of its own")
def _(build):
    """Nothing else ends here that could take it along."""
    with world(build, node("a"), flags=["--reservation-time", "200ms"]) as (w, s):
        p = w.create(pod("p", {}))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        s.process.line("event=decisions-expired .*pods=1")
        assert "nothing was decided" in s.bind(p, "a")
        assert s.filter(p, ["a"])["NodeNames"] == ["a"] and s.bind(p, "a") == ""


@test("the impossible is refused with the most that any node has, and families that no node has together are")
def _(build):
    big, dcu = node("big", cards=1, mem=80000), node("dcu", cards=0)
    dcu["metadata"]["annotations"]["hami.io/node-dcu-register"] = "DCU-0,4,65536,100,DCU-Z100L,0,true:"
    with world(build, node("many", cards=4), big, dcu, flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        def refused(*containers):
            r = s.review(pod("p", *containers))
            return "" if r["allowed"] else r["status"]["message"]
        for asks, named in ((slice_of(mem=80001), "1 asked for (nvidia.com/gpu) of 80001 MiB (nvidia.com/gpumem)"),
                            (slice_of(gpus=5, mem=10), "5 asked for (nvidia.com/gpu)")):
            why = refused(asks)
            assert named in why, (asks, why)
            assert "a node has at most 4 (many)" in why and "80000 MiB (big)" in why, (asks, why)
        assert refused(slice_of(mem=80000)) == "" and refused({"hygon.com/dcunum": 1}) == ""
        why = refused(slice_of(mem=10), {"hygon.com/dcunum": 1})
        assert "NVIDIA GPU is on node many" in why and "Hygon DCU is on node dcu" in why and "separate pods" in why, why
        assert refused(slice_of(mem=10), {"cambricon.com/vmlu": 1}) == ""  # such nodes may be about to come


@test("cards that are out of service today are not impossible: their pods are admitted and wait")
def _(build):
    sick = node("sick", register=[gpu(0, "sick", kind="NVIDIA L40", mem=48000, health=False)])
    cordoned = node("cordoned", cards=2, kind="NVIDIA H100", mem=80000, annotations={"hami.io/device-cordon": "GPU-cordoned-0,GPU-cordoned-1"})
    with world(build, node("a", mem=40000), sick, cordoned, flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        for kind, mem, gpus, reason in (("H100", 80000, 2, "2/2 CardCordoned"), ("L40", 48000, 1, "1/1 CardNotHealth")):
            annotations = {"nvidia.com/use-gputype": kind}
            r = s.review(pod("p", slice_of(gpus=gpus, mem=mem), annotations=annotations))
            assert r["allowed"], (kind, r)
            f = s.filter(w.create(pod("waits-" + kind.lower(), slice_of(gpus=gpus, mem=mem), annotations=annotations)), ["a", "sick", "cordoned"])
            assert reason in f["FailedNodes"].values(), (kind, f)
            r = s.review(pod("p", slice_of(gpus=gpus, mem=mem + 1), annotations=annotations))
            assert not r["allowed"] and "no node could hold it" in r["status"]["message"], (kind, r)


@test("a card's UUID on two nodes, as of a machine that was renamed: each node's card is counted for itself")
def _(build):
    with world(build, node("old", register=[gpu(0, "x", mem=1000)]), node("new", register=[gpu(0, "x", mem=1000)])) as (w, s):
        given = {s.place(pod(f"p{i}", slice_of(mem=1000, cores=1)), ["old", "new"])["spec"]["nodeName"] for i in range(2)}
        assert given == {"old", "new"}, given
        f = s.filter(w.create(pod("p2", slice_of(mem=1, cores=1))), ["old", "new"])
        assert f["FailedNodes"] == {n: "1/1 CardInsufficientMemory" for n in ("old", "new")}, f
        w.api("DELETE", "/api/v1/nodes/old")
        s.process.line("event=node-removed .*node=old")
        assert s.metric("hami_gpu_memory_allocated_bytes", node="new", device_uuid="GPU-x-0") == 1000 << 20
        assert s.metric("hami_gpu_memory_allocated_bytes", node="old") is None


@test("a card's UUID twice on one node is a register that cannot be read, and is said")
def _(build):
    twice = [gpu(0, "x"), gpu(1, "x", id="GPU-x-0")]
    with world(build, node("a", register=[gpu(0, "x", mem=1000)]), node("b", register=twice)) as (w, s):
        s.process.line("event=register-malformed .*node=b .*same id GPU-x-0")
        assert s.filter(w.create(pod("p", slice_of(mem=1, cores=1))), ["b"])["FailedNodes"] == {"b": "node unregistered"}
        w.annotate("/api/v1/nodes/a", **{REGISTER: json.dumps(twice)})
        s.process.line("event=register-malformed .*node=a")
        s.place(pod("q", slice_of(mem=1000, cores=1)), ["a"])  # what was known before stays in use


PAIRS = "hami.io/node-nvidia-score"
ODD_SCORES = ["NaN", '[{"uuid":"GPU-a-0","score":{"GPU-a-1":NaN}}]', '[{"uuid":"GPU-a-0","score":{"GPU-a-1":1e308}}]',
              '[{"uuid":"GPU-a-0","score":{"GPU-a-1":-1}}]', '[{"uuid":"GPU-a-0","score":{"GPU-a-1":99999999999999999999}}]',
              '[{"uuid":"GPU-a-0","score":{"GPU-a-1":65536}}]', '[{"uuid":"GPU-a-0","score":[1]}]', "[[]]", "{}", "", "x" * 100000]


@test("pair scores that are no numbers are left out, said, and harm no placement")
def _(build):
    for text in ODD_SCORES:
        with world(build, node("a", annotations={PAIRS: text})) as (w, s):
            s.process.line("event=scores-malformed .*node=a")
            p = s.place(pod("p", slice_of(gpus=2, mem=100, cores=1), annotations={"hami.io/gpu-scheduler-policy": "topology-aware"}), ["a"])
            assert p["metadata"]["annotations"]["hami.io/vgpu-devices-allocated"].count("GPU-a-") == 2, (text[:80], p)


@test("the largest pair scores are added up without a wrap")
def _(build):
    pairs = [{"uuid": f"GPU-a-{i}", "score": {f"GPU-a-{j}": 65535 if {i, j} <= {1, 2, 3} else 65534 for j in range(4) if j != i}} for i in range(4)]
    with world(build, node("a", cards=4, annotations={PAIRS: json.dumps(pairs)})) as (w, s):
        p = s.place(pod("p", slice_of(gpus=3, mem=100, cores=1), annotations={"hami.io/gpu-scheduler-policy": "topology-aware"}), ["a"])
        text = p["metadata"]["annotations"]["hami.io/vgpu-devices-allocated"]
        assert all(f"GPU-a-{i}," in text for i in (1, 2, 3)), text


ODD_WEIGHTS = ["slot=nan,core=1,memory=1", "slot=inf", "slot=1e308,core=1e308,memory=1e308", "slot=-1,core=2,memory=0", "slot=0,core=0,memory=0",
               "slot=99999999999999999999,core=1,memory=1", "slot=1,slot=2", "=", "," * 1000, "slot=1" * 5000]


@test("weights that are no numbers neither crash nor decide: the pod is placed as without them, or refused by name")
def _(build):
    with world(build, node("a", cards=1), node("b", cards=1), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        for i, text in enumerate(ODD_WEIGHTS):
            p = pod(f"p{i}", slice_of(mem=10, cores=1), annotations={"hami.io/device-scoring-weights": text})
            r = s.review(p)
            assert not r["allowed"] and "hami.io/device-scoring-weights" in r["status"]["message"], (text[:80], r)
            f = s.filter(w.create(p), ["a", "b"])  # one that admission was not asked about
            assert len(f["NodeNames"] or []) == 1 or "hami.io/device-scoring-weights" in f["Error"], (text[:80], f)


if __name__ == "__main__":
    kit.main()
