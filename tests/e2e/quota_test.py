# SPDX-License-Identifier: Apache-2.0
"""ResourceQuota objects with limits.<memory or cores of a family> (scheduler.md section 6.8)."""
from kit import test
from nodes import cambricon, nvidia
from pods import container, pod, quota

MEM, CORES = "limits.nvidia.com/gpumem", "limits.nvidia.com/gpucores"


def counted(w, *quotas):
    """Creates quotas and waits until the scheduler has seen them."""
    for q in quotas:
        w.create(q)
        for resource in q["spec"]["hard"]:
            name = resource.removeprefix("limits.")
            w.eventually(lambda: any(f'namespace="{w.ns}"' in line and f'quota_name="{name}"' in line
                                     for line in w.hami.metrics().splitlines() if line.startswith("hami_resource_quota_limit")),
                         f"{resource} is known")


@test("quota: a pod above the namespace's limit is refused at once")
def _(w):
    w.node("gpu-1", nvidia)
    counted(w, quota("q", **{MEM: 4000, CORES: 50}))
    for more, name in (({"mem": 5000}, "gpumem"), ({"mem": 1000, "cores": 60}, "gpucores")):
        text = w.refusal(pod("p", gpus=1, **more))
        assert "quota" in text and name in text, text
    assert "quota" in w.refusal(pod("p", gpus=2, mem=3000))
    w.place("fits", gpus=2, mem=2000, cores=25)
    assert "quota" in w.refusal(pod("p", gpus=1, mem=1))


@test("quota: what a percentage comes to is held against the limit when a card is chosen")
def _(w):
    w.node("gpu-1", nvidia)
    counted(w, quota("q", **{MEM: 4000}))
    assert "ResourceQuotaNotFit" in w.refused_place("half", gpus=1, pct=50, cores=1)


@test("quota: other namespaces are not concerned, and what ends is given back")
def _(w):
    w.node("gpu-1", nvidia)
    counted(w, quota("q", **{MEM: 4000}))
    w.place("first", gpus=1, mem=4000)
    assert "quota" in w.refusal(pod("second", gpus=1, mem=1000))
    elsewhere = w.api.create("pods", {**pod("elsewhere", gpus=1, mem=5000)}, "default")
    assert elsewhere["spec"]["schedulerName"] == "hami-scheduler"
    w.api.delete("pods", "elsewhere", "default")
    w.status("first", phase="Succeeded")
    w.eventually(lambda: not w.kubectl.try_("create", "-n", w.ns, "-f", "-", stdin=pod("second", gpus=1, mem=1000)).returncode,
                 "what the ended pod had is free again")
    w.bound("second")


@test("quota: a waiting pod goes on when the limit is raised, and when the quota is deleted")
def _(w):
    w.node("gpu-1", nvidia)
    counted(w, quota("q", **{MEM: 4000}))
    w.refused_place("half", gpus=1, pct=50, cores=1)
    w.api.patch("resourcequotas", "q", {"spec": {"hard": {MEM: "30000"}}}, w.ns)
    w.bound("half")
    w.refused_place("another-half", gpus=1, pct=50, cores=1)
    w.api.delete("resourcequotas", "q", w.ns)
    w.bound("another-half")


@test("quota: of several quotas the lowest counts, and it alone goes away with its object")
def _(w):
    w.node("gpu-1", nvidia)
    counted(w, quota("low", **{MEM: 2000}), quota("high", **{MEM: 6000}))
    assert "quota" in w.refusal(pod("p", gpus=1, mem=3000))
    w.api.delete("resourcequotas", "low", w.ns)
    w.eventually(lambda: not w.kubectl.try_("create", "-n", w.ns, "-f", "-", stdin=pod("p", gpus=1, mem=3000)).returncode, "the higher one counts")
    assert "quota" in w.refusal(pod("q", gpus=1, mem=7000))


@test("quota: zero blocks, and init containers count with their peak")
def _(w):
    w.node("gpu-1", nvidia)
    counted(w, quota("q", **{MEM: 4000, CORES: 0}))
    assert "quota" in w.refusal(pod("p", gpus=1, mem=100, cores=1))
    limits = {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 3000}
    w.place("peak", containers=[container("main", limits)], init=[container("first", limits), container("second", limits)])
    assert "quota" in w.refusal(pod("p", containers=[container("main", limits), container("beside", limits)]))


@test("quota: limits in a family's own units are understood")
def _(w):
    w.node("mlu-1", cambricon)
    counted(w, quota("q", **{"limits.cambricon.com/mlu.smlu.vmemory": 100}))
    asks = {"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vcore": 10}
    assert "quota" in w.refusal(pod("p", limits={**asks, "cambricon.com/mlu.smlu.vmemory": 200}))
    w.place("fits", limits={**asks, "cambricon.com/mlu.smlu.vmemory": 50})
