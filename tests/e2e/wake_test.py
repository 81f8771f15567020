# SPDX-License-Identifier: Apache-2.0
"""Pods that wait go on as soon as there is room, whatever made it."""
import time

from kit import note, test
from nodes import nvidia, compact


def full(w):
    """One card, full; `waits` has been turned away often enough to be in the longest back-off."""
    w.node("one", nvidia("one", cards=1, mem=10000))
    w.place("holds", gpus=1, mem=10000, cores=10)
    w.refused_place("waits", gpus=1, mem=10000, cores=10)


def wakes(w, what, act):
    full(w)
    start = time.monotonic()
    act()
    w.bound("waits")
    note(f"bound {time.monotonic() - start:.2f} s after {what}")


@test("wake: a pod goes on when another is deleted")
def _(w):
    wakes(w, "the other pod's deletion", lambda: w.api.delete("pods", "holds", w.ns))


@test("wake: a pod goes on when another has ended")
def _(w):
    wakes(w, "the other pod's end", lambda: w.status("holds", phase="Succeeded"))


@test("wake: a pod goes on when a node comes")
def _(w):
    wakes(w, "a node came", lambda: w.node("two", nvidia))


@test("wake: a pod goes on when a node registers more")
def _(w):
    card = {"id": "GPU-one-1", "index": 1, "count": 10, "devmem": 10000, "devcore": 100, "type": "NVIDIA-A100", "mode": "hami-core", "health": True}
    first = {**card, "id": "GPU-one-0", "index": 0}
    wakes(w, "a second card was registered", lambda: w.annotate_node("one", **{"hami.io/node-nvidia-register": compact([first, card])}))


@test("wake: a pod goes on when a cordon is lifted")
def _(w):
    w.node("one", nvidia("one", cards=1))
    w.annotate_node("one", **{"hami.io/device-cordon": "GPU-one-0"})
    w.eventually(lambda: "CardCordoned" in w.outcome("waits", gpus=1, mem=100, cores=1), "the cordon is in force")
    w.annotate_node("one", **{"hami.io/device-cordon": None})
    w.bound("waits")


@test("wake: a pod that has waited long goes on without sitting out its back-off")
def _(w):
    full(w)
    # Each of these makes room for others, and lets kube-scheduler try `waits` once more in vain.
    w.node("small", nvidia("small", cards=1, mem=1000))
    for number in range(4):
        w.place(f"passes-{number}", gpus=1, mem=1000, cores=1)
        w.delete(f"passes-{number}")
    start = time.monotonic()
    w.api.delete("pods", "holds", w.ns)
    w.bound("waits")
    note(f"bound {time.monotonic() - start:.2f} s after room was made, after several attempts")
