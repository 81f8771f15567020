# SPDX-License-Identifier: Apache-2.0
"""Which node and which card: policies, selectors, modes (NVIDIA; scheduler.md sections 6.3 to 6.5)."""
import json

from kit import test
from nodes import nvidia, nvidia_links, nvidia_mig
from pods import annotation, cards, devices, nvidia_limits

NODE_POLICY, CARD_POLICY = "hami.io/node-scheduler-policy", "hami.io/gpu-scheduler-policy"


def hold(w, name, card, **amounts):
    """Takes a part of one card."""
    return w.place(name, annotations={"nvidia.com/use-gpuuuid": card}, gpus=1, **amounts)


def where(w, name, **more):
    """The cards that a pod gets; the pod goes away again."""
    got = cards(w.place(name, **more))
    w.delete(name)
    return got


@test("placement: node and card policies fill or spread")
def _(w):
    w.node("one", nvidia("one", cards=2, mem=8000))
    w.node("two", nvidia("two", cards=2, mem=8000))
    hold(w, "first", "GPU-one-0", mem=2000, cores=25)
    hold(w, "second", "GPU-two-1", mem=6000, cores=75)
    rows = {("binpack", "binpack"): "GPU-two-1", ("binpack", "spread"): "GPU-two-0",
            ("spread", "binpack"): "GPU-one-0", ("spread", "spread"): "GPU-one-1"}
    for (node, card), expected in rows.items():
        got = where(w, f"{node}-{card}", gpus=1, mem=1000, cores=20, annotations={NODE_POLICY: node, CARD_POLICY: card})
        assert got == [expected], (node, card, got)
    got = where(w, "default", gpus=1, mem=1000, cores=20)
    assert got == ["GPU-two-0"], got  # nodes are filled, cards are spread


@test("placement: mutex takes only cards that nobody uses")
def _(w):
    w.node("one", nvidia)
    hold(w, "first", "GPU-one-1", mem=100)
    alone = {CARD_POLICY: "mutex"}
    assert cards(w.place("second", gpus=1, mem=100, annotations=alone)) == ["GPU-one-0"]
    assert "ExclusiveDeviceAllocateConflict" in w.refused_place("third", gpus=1, mem=100, annotations=alone)


@test("placement: a whole card is nobody else's")
def _(w):
    w.node("one", nvidia)
    whole, = cards(w.place("whole", gpus=1))
    shared, = cards(w.place("shared", gpus=1, mem=100))
    assert whole != shared
    assert "ExclusiveDeviceAllocateConflict" in w.refused_place("alone", gpus=1, mem=100, cores=100)
    w.delete("shared")
    w.bound("alone")
    assert "CardComputeUnitsExhausted" in w.refused_place("late", gpus=1, mem=100, annotations={"nvidia.com/nouse-gpuuuid": whole})


@test("placement: cards of one NUMA node stay together on request")
def _(w):
    w.node("one", nvidia("one", cards=4, numa=[0, 1, 0, 1]))
    got = where(w, "bound", gpus=2, mem=100, annotations={"nvidia.com/numa-bind": "true"})
    assert set(got) in ({"GPU-one-0", "GPU-one-2"}, {"GPU-one-1", "GPU-one-3"}), got
    assert "NumaNotFit" in w.refused_place("three", gpus=3, mem=100, annotations={"nvidia.com/numa-bind": "true"})


@test("placement: topology-aware takes the best connected pair and the least connected single card")
def _(w):
    links = {(0, 1): 10, (0, 2): 10, (0, 3): 10, (1, 2): 10, (1, 3): 200, (2, 3): 50}
    w.node("one", nvidia("one", cards=4), nvidia_links("one", links))
    by_links = {CARD_POLICY: "topology-aware"}
    assert set(where(w, "pair", gpus=2, mem=100, annotations=by_links)) == {"GPU-one-1", "GPU-one-3"}
    assert where(w, "single", gpus=1, mem=100, annotations=by_links) == ["GPU-one-0"]


@test("placement: product names and UUIDs that are wanted or unwanted are obeyed")
def _(w):
    w.node("a", nvidia("a", cards=2, type="NVIDIA-A100-SXM4-40GB"))
    w.node("h", nvidia("h", cards=2, type="NVIDIA-H100-80GB-HBM3"))
    rows = {"use-gputype": ("h100", {"GPU-h-0", "GPU-h-1"}), "nouse-gputype": ("H100, A30", {"GPU-a-0", "GPU-a-1"}),
            "use-gpuuuid": ("GPU-h-1, GPU-none", {"GPU-h-1"}), "nouse-gpuuuid": ("GPU-a-0,GPU-h-0,GPU-h-1", {"GPU-a-1"})}
    for key, (value, allowed) in rows.items():
        got = where(w, key, gpus=1, mem=100, annotations={"nvidia.com/" + key: value})
        assert set(got) <= allowed, (key, value, got)
    both = {"nvidia.com/use-gputype": "A100,H100", "nvidia.com/nouse-gputype": "A100"}
    assert set(where(w, "both", gpus=1, mem=100, annotations=both)) <= {"GPU-h-0", "GPU-h-1"}
    assert "CardTypeMismatch" in w.refused_place("none", gpus=1, mem=100, annotations={"nvidia.com/use-gputype": "V100"})
    assert "CardUuidMismatch" in w.refused_place("no", gpus=1, mem=100, annotations={"nvidia.com/use-gpuuuid": "GPU-none"})


@test("placement: a cordoned card takes nothing new from that moment on")
def _(w):
    w.node("one", nvidia)
    hold(w, "before", "GPU-one-0", mem=100)
    w.annotate_node("one", **{"hami.io/device-cordon": "GPU-one-0, "})
    w.eventually(lambda: where(w, "probe", gpus=1, mem=100, annotations={CARD_POLICY: "binpack"}) == ["GPU-one-1"], "the cordon is in force")
    w.annotate_node("one", **{"hami.io/device-cordon": "GPU-one-0,GPU-one-1"})
    w.eventually(lambda: "CardCordoned" in w.outcome("late", gpus=1, mem=100), "both cards are cordoned")
    assert w.get("before")["spec"]["nodeName"] == "one"
    w.annotate_node("one", **{"hami.io/device-cordon": None})
    w.bound("late")


@test("placement: cards with a fault take nothing")
def _(w):
    w.node("sick", nvidia("sick", healthy=False))
    assert "CardNotHealth" in w.refused_place("one", gpus=1, mem=100)


@test("placement: a node selector and a taint count as everywhere")
def _(w):
    w.node("one", nvidia, labels={"pool": "a"})
    w.node("two", nvidia, labels={"pool": "b"})
    p = w.place("there", gpus=1, mem=100, spec={"nodeSelector": {"pool": "b"}})
    assert p["spec"]["nodeName"] == "two" and cards(p)[0].startswith("GPU-two-")


@test("placement: MIG instances go where the largest ones still fit")
def _(w):
    w.node("one", nvidia_mig)
    expected = [(15000, "3g.20gb", 4, 19968), (8000, "2g.10gb", 0, 9856), (4000, "1g.5gb", 3, 4864), (4000, "1g.5gb", 2, 4864)]
    for number, (mem, profile, start, given) in enumerate(expected):
        p = w.place(f"p{number}", gpus=1, mem=mem, annotations={"nvidia.com/vgpu-mode": "mig"})
        instance, = json.loads(annotation(p, "hami.io/vgpu-mig-allocations"))
        assert instance["profile"] == profile and instance["placement"]["start"] == start, (mem, instance)
        assert instance["gpuUUID"] == "GPU-one-0" and instance["containerIndex"] == instance["deviceIndex"] == 0
        assert devices(p)[0][0][2] == given, devices(p)


@test("placement: memory that is free but in no place for an instance is of no use")
def _(w):
    w.node("one", nvidia_mig)
    for name, mem in (("small", 4000), ("large", 15000)):
        w.place(name, gpus=1, mem=mem)
    assert "CardMigTopologyInfeasible" in w.refused_place("another", gpus=1, mem=15000)


@test("placement: a mode that is asked for is found on its nodes only")
def _(w):
    w.node("cut", nvidia_mig)
    w.node("soft", nvidia)
    for mode, node in (("hami-core", "soft"), ("mig", "cut")):
        p = w.place(mode, gpus=1, mem=4000, annotations={"nvidia.com/vgpu-mode": mode})
        assert p["spec"]["nodeName"] == node, mode


@test("placement: overcommitted nodes offer what they registered")
def _(w):
    w.node("wide", nvidia("wide", cards=1, mem=81920, cores=200))
    for name in ("a", "b"):
        w.place(name, gpus=1, mem=40000, cores=100)
    assert "CardInsufficient" in w.refused_place("c", gpus=1, mem=2000, cores=10)


@test("placement: percentages are of the card that is chosen")
def _(w):
    w.node("small", nvidia("small", cards=1, mem=10000))
    p = w.place("half", gpus=1, pct=50, cores=10)
    assert devices(p)[0][0][2] == 5000, devices(p)
    w.place("other-half", gpus=1, pct=50, cores=10)
    assert "CardInsufficientMemory" in w.refused_place("more", gpus=1, pct=1, cores=1)


@test("placement: scoring weights decide what counts as full")
def _(w):
    w.node("one", nvidia("one", cards=2, mem=10000))
    hold(w, "memory", "GPU-one-0", mem=8000, cores=1)
    hold(w, "compute", "GPU-one-1", mem=100, cores=90)
    for weights, expected in (("slot=0,core=0,memory=1", "GPU-one-1"), ("slot=0,core=1,memory=0", "GPU-one-0")):
        got = where(w, "w" + weights[-1], gpus=1, mem=100, cores=1,
                    annotations={"hami.io/device-scoring-weights": weights, CARD_POLICY: "spread"})
        assert got == [expected], (weights, got)


@test("placement: when kube-scheduler makes room, the pods that hold the cards are among those that go")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=10000))
    cpu = {"cpu": "30"}
    w.place("card", limits={**cpu, **nvidia_limits(gpus=1, mem=8000, cores=10)})
    w.place("plain", limits={"cpu": "34"}, spec={"schedulerName": "hami-scheduler"})
    w.pod("urgent", limits={"cpu": "20", **nvidia_limits(gpus=1, mem=8000, cores=10)}, spec={"priorityClassName": "system-cluster-critical"})
    w.bound("urgent")
    assert "card" not in {p["metadata"]["name"] for p in w.api.list("pods", w.ns)}
