# SPDX-License-Identifier: Apache-2.0
"""A pod that waits says why: in its condition, in events, and by `hami explain` (scheduler.md 1.5, 7.4)."""
from kit import FLAGS, test
from nodes import hygon, nvidia
from pods import annotation

# what is asked for, and the code that the condition has to name
REASONS = {
    "CardInsufficientMemory": {"gpus": 1, "mem": 9000, "cores": 1},
    "CardInsufficientCore": {"gpus": 1, "mem": 100, "cores": 60},
    "CardTypeMismatch": {"gpus": 1, "mem": 100, "annotations": {"nvidia.com/use-gputype": "H100"}},
    "CardUuidMismatch": {"gpus": 1, "mem": 100, "annotations": {"nvidia.com/use-gpuuuid": "GPU-none"}},
    "NodeInsufficientDevice": {"gpus": 3, "mem": 100}}


def half_full(w):
    w.node("one", nvidia("one", mem=10000))
    for card in ("GPU-one-0", "GPU-one-1"):
        w.place("on-" + card[-1], gpus=1, mem=5000, cores=50, annotations={"nvidia.com/use-gpuuuid": card})


@test("reasons: the condition of a waiting pod names the reason")
def _(w):
    half_full(w)
    for number, (code, asked) in enumerate(REASONS.items()):
        message = w.refused_place(f"p{number}", **asked)
        assert code in message and "0/1 nodes are available" in message, (code, message)


@test("reasons: slots that are used up are named")
def _(w):
    w.node("one", nvidia("one", cards=1, split=1))
    w.place("only", gpus=1, mem=100, cores=1)
    assert "CardTimeSlicingExhausted" in w.refused_place("p", gpus=1, mem=100, cores=1)


@test("reasons: nodes without a card of the family, and without any, are told apart")
def _(w):
    w.node("other", hygon)
    w.node("bare")
    message = w.refused_place("p", gpus=1, mem=100)
    assert "0/2 nodes are available" in message and "node unregistered" in message, message


@test("reasons: several reasons are counted by card")
def _(w):
    w.node("one", nvidia("one", mem=10000))
    w.place("on-0", gpus=1, mem=5000, cores=1, annotations={"nvidia.com/use-gpuuuid": "GPU-one-0"})
    message = w.refused_place("p", gpus=1, mem=6000, annotations={"nvidia.com/nouse-gpuuuid": "GPU-one-1"})
    assert "1/2 CardInsufficientMemory" in message and "1/2 CardUuidMismatch" in message, message


@test("reasons: events say what was decided")
def _(w):
    w.pause()
    w.replica("talks").serve_webhook().start(*FLAGS, "--events=all").start_kube_scheduler()
    w.webhook_works()
    half_full(w)
    w.refused_place("waits", gpus=1, mem=9000, cores=1)
    assert "CardInsufficientMemory" in w.event("waits", "FailedScheduling")
    failed = w.event("waits", "FilteringFailed")
    assert "1 nodes" in failed, failed
    assert w.event("on-0", "FilteringSucceed").startswith("find fit node(one)")
    assert w.event("on-0", "BindingSucceed") == f"Successfully binding node [one] to {w.ns}/on-0"


@test("reasons: a pod that waits has been given nothing")
def _(w):
    half_full(w)
    w.refused_place("waits", gpus=1, mem=9000, cores=1)
    p = w.get("waits")
    assert not any(annotation(p, key) for key in ("hami.io/vgpu-node", "hami.io/vgpu-devices-allocated", "hami.io/vgpu-devices-to-allocate"))
