# SPDX-License-Identifier: Apache-2.0
"""Init containers and sidecars: their places in the annotation, and what they hold for how long (scheduler.md 4.2, 4.6)."""
from kit import test
from nodes import nvidia
from pods import container, devices


def gpu(mem, cores=1):
    return {"nvidia.com/gpu": 1, "nvidia.com/gpumem": mem, "nvidia.com/gpucores": cores}


def ended(*names):
    return [{"name": n, "image": "none", "imageID": "none", "ready": True, "restartCount": 0,
             "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}} for n in names]


@test("init: init containers come first, and each has its own place")
def _(w):
    w.node("one", nvidia)
    p = w.place("p", init=[container("mesh"), container("load", gpu(5000))], containers=[container("main", gpu(3000)), container("log")])
    given = devices(p)
    assert [[d[2] for d in slot] for slot in given] == [[], [5000], [3000], []], given


@test("init: a pod holds the larger of its init and its main phase")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=8000))
    w.place("p", init=[container("load", gpu(5000))], containers=[container("main", gpu(3000))])
    w.place("q", gpus=1, mem=3000, cores=1)
    assert "CardInsufficientMemory" in w.refused_place("r", gpus=1, mem=1000, cores=1)


@test("init: what only the init phase needed is free when it is over")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=8000))
    w.place("p", init=[container("load", gpu(5000))], containers=[container("main", gpu(3000))])
    w.refused_place("q", gpus=1, mem=5000, cores=1)
    w.status("p", initContainerStatuses=ended("load"))
    w.bound("q")
    assert "CardInsufficientMemory" in w.refused_place("r", gpus=1, mem=1000, cores=1)


@test("init: a container without a card does not make the main phase free")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=8000))
    w.place("p", init=[container("mesh")], containers=[container("main", gpu(8000))])
    w.status("p", initContainerStatuses=ended("mesh"))
    assert "CardInsufficientMemory" in w.refused_place("q", gpus=1, mem=1000, cores=1)


@test("init: a sidecar runs beside the main containers and counts with them")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=8000))
    w.place("p", init=[container("side", gpu(3000), restartPolicy="Always")], containers=[container("main", gpu(3000))])
    assert "CardInsufficientMemory" in w.refused_place("q", gpus=1, mem=3000, cores=1)
    w.place("r", gpus=1, mem=2000, cores=1)


@test("init: main containers that share a card count together")
def _(w):
    w.node("one", nvidia("one", cards=1, mem=8000))
    w.place("p", containers=[container("a", gpu(3000, 40)), container("b", gpu(3000, 40))])
    assert "CardInsufficientMemory" in w.refused_place("q", gpus=1, mem=3000, cores=1)
    assert "CardInsufficientCore" in w.refused_place("r", gpus=1, mem=1000, cores=30)
