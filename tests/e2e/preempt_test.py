# SPDX-License-Identifier: Apache-2.0
"""Preemption for cards: which configuration of kube-scheduler asks for it, and what it costs (docs/kubernetes.md)."""
from kit import FLAGS, test
from nodes import Hardware, nvidia
from pods import cards, pod

HIGH = "e2e-high"
COUNTED = {"nvidia.com/gpu", "nvidia.com/gpumem"}  # by kube-scheduler too


def priority(w):
    if not w.plane.has("priorityclasses", None, HIGH):
        w.kubectl("create", "priorityclass", HIGH, "--value=1000")


def count_too(*names):
    """The configuration of deploy/, with some resources counted by kube-scheduler as well."""
    def edit(text):
        for name in names:
            line = f"{{name: {name}, ignoredByScheduler: true}}"
            assert line in text, name
            text = text.replace(line, f"{{name: {name}}}")
        return text
    return edit


def scheduler(w, *names):
    w.pause()
    r = w.replica("preempting").serve_webhook().start(*FLAGS).start_kube_scheduler(count_too(*names))
    w.webhook_works()
    return r


def important(w, **amounts):
    w.pod("important", spec={"priorityClassName": HIGH}, **amounts)


def gone(w, names):
    """Of these the ones that were preempted."""
    there = {p["metadata"]["name"] for p in w.api.list("pods", w.ns) if not p["metadata"].get("deletionTimestamp")}
    return {n for n in names if n not in there}


@test("preempt: as deployed nobody has to go for a card alone")
def _(w):
    priority(w)
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=10000, split=1))
    w.place("low", gpus=1)
    important(w, gpus=1)
    w.waiting("important")
    assert not gone(w, ["low"])


@test("preempt: whole cards are preempted for where kube-scheduler counts nvidia.com/gpu too")
def _(w):
    priority(w)
    w.node("gpu-1", nvidia("gpu-1", cards=2, split=1))
    scheduler(w, "nvidia.com/gpu")
    given = {name: cards(w.place(name, gpus=1))[0] for name in ("old", "young")}
    important(w, gpus=1)
    p = w.bound("important")
    went = gone(w, given)
    assert len(went) == 1 and cards(p) == [given[went.pop()]], (went, cards(p))
    w.nothing_is_given_twice()


@test("preempt: slices are preempted for where the node tells its memory and kube-scheduler counts it too")
def _(w):
    priority(w)
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=10000), Hardware([], resources={"nvidia.com/gpumem": 10000}))
    scheduler(w, *COUNTED)
    for name in ("small", "large"):
        w.place(name, gpus=1, mem=2000 if name == "small" else 8000, cores=10)
    important(w, gpus=1, mem=7000, cores=10)
    w.bound("important")
    assert gone(w, ["small", "large"]) == {"large"}
    w.nothing_is_given_twice()


@test("preempt: nobody has to go where a node has the memory in sum and on no card")
def _(w):
    """The price of counting by sums: two cards with 4000 free each have room for 7000 in kube-scheduler's eyes."""
    priority(w)
    w.node("gpu-1", nvidia("gpu-1", cards=2, mem=10000), Hardware([], resources={"nvidia.com/gpumem": 20000}))
    scheduler(w, *COUNTED)
    for name in ("one", "two"):
        w.place(name, gpus=1, mem=6000, cores=10)
    important(w, gpus=1, mem=7000, cores=10)
    assert "CardInsufficientMemory" in w.waiting("important")
    assert not gone(w, ["one", "two"])


@test("preempt: memory that kube-scheduler counts and no node tells keeps every pod waiting")
def _(w):
    w.node("gpu-1", nvidia)
    scheduler(w, *COUNTED)
    assert "Insufficient nvidia.com/gpumem" in w.refused_place("p", gpus=1, mem=3000)
