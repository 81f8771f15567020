# SPDX-License-Identifier: Apache-2.0
"""What happens to a pod before it exists: completed, left alone, or refused with what to write instead."""
from kit import test
from nodes import ascend, nvidia
from pods import container, pod


def limits(p, number=0):
    return p["spec"]["containers"][number]["resources"]["limits"]


def environment(p, number=0):
    return {e["name"]: e.get("value") for e in p["spec"]["containers"][number].get("env", [])}


# limits asked for, limits and annotations that the stored pod has
COMPLETED = {
    "a whole card is exclusive": ({"nvidia.com/gpu": 1}, {"nvidia.com/gpucores": "100"}, {}),
    "memory makes a card shared": ({"nvidia.com/gpu": 1, "nvidia.com/gpumem": 3000}, {"nvidia.com/gpucores": None}, {}),
    "memory alone asks for one card": ({"nvidia.com/gpumem": 3000}, {"nvidia.com/gpu": "1"}, {}),
    "cores alone ask for one card": ({"nvidia.com/gpucores": 30}, {"nvidia.com/gpu": "1"}, {}),
    "all of the memory is exclusive": ({"nvidia.com/gpu": 1, "nvidia.com/gpumem-percentage": 100}, {"nvidia.com/gpucores": "100"}, {}),
    "half of the memory is shared": ({"nvidia.com/gpu": 1, "nvidia.com/gpumem-percentage": 50}, {"nvidia.com/gpucores": None}, {}),
    "Ascend memory becomes a template's": ({"huawei.com/Ascend310P": 1, "huawei.com/Ascend310P-memory": 2000},
                                           {"huawei.com/Ascend310P-memory": "3072"}, {}),
    "Ascend memory above the templates is a card": ({"huawei.com/Ascend310P": 1, "huawei.com/Ascend310P-memory": 12289},
                                                    {"huawei.com/Ascend310P-memory": "21527"}, {}),
    "Ascend without memory is a card": ({"huawei.com/Ascend910B2": 1}, {"huawei.com/Ascend910B2-memory": "65536"}, {}),
    "half an Ascend 910C module becomes one": ({"huawei.com/Ascend910C": 1}, {"huawei.com/Ascend910C": "2"}, {}),
    "Kunlunxin memory becomes a slice's": ({"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 30000},
                                           {"kunlunxin.com/vxpu-memory": "49152"}, {}),
    "several Moore Threads cards are whole": ({"mthreads.com/vgpu": 2},
                                              {"mthreads.com/sgpu-core": "32", "mthreads.com/sgpu-memory": "192"},
                                              {"mthreads.com/request-gpu-num": "2"}),
    "several Iluvatar cards have all their cores": ({"iluvatar.ai/BI-V150-vgpu": 2}, {"iluvatar.ai/BI-V150.vCore": "200"}, {}),
    "a MetaX slice gets its QoS policy": ({"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": 4}, {},
                                          {"metax-tech.com/sgpu-qos-policy": "best-effort"})}


@test("webhook: requests are completed as each family's users expect")
def _(w):
    for number, (name, (asked, stored, annotations)) in enumerate(COMPLETED.items()):
        p = w.create(pod(f"p{number}", limits=asked))
        assert p["spec"]["schedulerName"] == "hami-scheduler", name
        assert {key: limits(p).get(key) for key in stored} == stored, (name, limits(p))
        assert {key: p["metadata"].get("annotations", {}).get(key) for key in annotations} == annotations, (name, p["metadata"])


@test("webhook: priority and container name reach the environment")
def _(w):
    p = w.create(pod("a", gpus=1, mem=1000, priority=1))
    assert environment(p)["CUDA_TASK_PRIORITY"] == "1"
    p = w.create(pod("b", limits={"iluvatar.ai/MR-V100-vgpu": 1}))
    assert environment(p)["SOL_CONTINER_NAME"] == "main"


@test("webhook: nothing else of a pod is touched")
def _(w):
    spec = {"tolerations": [{"key": "x", "operator": "Exists"}], "priorityClassName": "system-node-critical", "hostAliases":
            [{"ip": "192.0.2.1", "hostnames": ["h"]}], "os": {"name": "linux"}, "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}}}]}
    bare = w.create(pod("bare", spec={**spec, "schedulerName": "hami-scheduler"}))
    full = w.create(pod("full", gpus=1, mem=3000, spec=spec))
    for p in (bare, full):
        p["spec"]["containers"][0].pop("resources")
        for volume in p["spec"]["volumes"] + p["spec"]["containers"][0]["volumeMounts"]:
            volume.pop("name")  # of the service account's token, random
    assert bare["spec"] == full["spec"], (bare["spec"], full["spec"])


@test("webhook: pods of other schedulers and pods that opt out are left alone")
def _(w):
    for number, more in enumerate(({"spec": {"schedulerName": "another"}}, {"labels": {"hami.io/webhook": "ignore"}})):
        p = w.create(pod(f"p{number}", gpus=1, **more))
        assert "nvidia.com/gpucores" not in limits(p) and p["spec"]["schedulerName"] != "hami-scheduler", p["spec"]
    w.api.patch("namespaces", w.ns, {"metadata": {"labels": {"hami.io/webhook": "ignore"}}})
    w.eventually(lambda: "nvidia.com/gpucores" not in limits(w.create({**pod("x", gpus=1), "metadata": {"generateName": "x-"}})),
                 "the namespace's label counts")


PRIVILEGED = {"securityContext": {"privileged": True}}
GPU = {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 1000}
# a pod, and words that its refusal has to have: what is wrong, and what to write
REFUSED = {
    "a privileged container beside a slice": (
        pod("p", containers=[container("main", GPU), container("root", **PRIVILEGED)]), ["privileged", "root"]),
    "a privileged container with a slice": (pod("p", containers=[container("main", GPU, **PRIVILEGED)]), ["privileged", "main"]),
    "a node chosen by the user": (pod("p", limits=GPU, spec={"nodeName": "gpu-1"}), ["node"]),
    "more than all of the memory": (pod("p", gpus=1, pct=101), ["nvidia.com/gpumem-percentage", "101", "100"]),
    "assignment annotations of the user's": (
        pod("p", limits=GPU, annotations={"hami.io/vgpu-devices-allocated": "GPU-gpu-1-0,NVIDIA,1,1:;"}), ["hami.io/vgpu-devices-allocated"]),
    "every card visible beside a limit": (
        pod("p", containers=[container("main", GPU, env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}])]),
        ["NVIDIA_VISIBLE_DEVICES", "all"]),
    "certain cards visible beside a limit": (
        pod("p", containers=[container("main", GPU, env=[{"name": "NVIDIA_VISIBLE_DEVICES", "value": "GPU-gpu-1-0"}])]),
        ["NVIDIA_VISIBLE_DEVICES", "GPU-gpu-1-0", "nvidia.com/use-gpuuuid"]),
    "a node policy that does not exist": (
        pod("p", limits=GPU, annotations={"hami.io/node-scheduler-policy": "binpak"}), ["hami.io/node-scheduler-policy", "binpak", "binpack"]),
    "a card policy that does not exist": (
        pod("p", limits=GPU, annotations={"hami.io/gpu-scheduler-policy": "sprad"}), ["hami.io/gpu-scheduler-policy", "sprad", "spread"]),
    "a mode that does not exist": (pod("p", limits=GPU, annotations={"nvidia.com/vgpu-mode": "mgi"}), ["nvidia.com/vgpu-mode", "mgi", "mig"]),
    "weights that cannot be read": (
        pod("p", limits=GPU, annotations={"hami.io/device-scoring-weights": "slot=1"}), ["hami.io/device-scoring-weights"]),
    "a card both wanted and unwanted": (
        pod("p", limits=GPU, annotations={"nvidia.com/use-gpuuuid": "GPU-1", "nvidia.com/nouse-gpuuuid": "GPU-1"}),
        ["nvidia.com/use-gpuuuid", "GPU-1"]),
    "memory with a unit that makes it absurd": (pod("p", gpus=1, mem="16Gi"), ["nvidia.com/gpumem", "16Gi"]),
    "an Ascend size that no card has": (
        pod("p", limits={"huawei.com/Ascend310P": 1, "huawei.com/Ascend310P-memory": 24577}), ["huawei.com/Ascend310P-memory", "24577"]),
    "slices of several Ascend cards": (
        pod("p", limits={"huawei.com/Ascend310P": 2, "huawei.com/Ascend310P-memory": 3072}), ["huawei.com/Ascend310P"]),
    "an odd number of Ascend 910C": (pod("p", limits={"huawei.com/Ascend910C": 3}), ["huawei.com/Ascend910C", "3"]),
    "Ascend cores without soft slicing": (
        pod("p", limits={"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-core": 40}), ["huawei.com/Ascend910B3-core", "huawei.com/vnpu-mode"]),
    "a Moore Threads size that does not exist": (
        pod("p", limits={"mthreads.com/vgpu": 1, "mthreads.com/sgpu-memory": 3}), ["mthreads.com/sgpu-memory", "3"]),
    "AMD cores above a card": (pod("p", limits={"amd.com/gpu": 1, "amd.com/gpucores": 101}), ["amd.com/gpucores", "101"]),
    "a MetaX class that does not exist": (
        pod("p", limits={"metax-tech.com/sgpu": 1}, annotations={"metax-tech.com/sgpu-app-class": "onlin"}),
        ["metax-tech.com/sgpu-app-class", "onlin", "online"]),
    "Neuron cores that make no whole devices": (pod("p", limits={"aws.amazon.com/neuroncore": 3}), ["aws.amazon.com/neuroncore", "3"])}


@test("webhook: what cannot be meant is refused, with the field, the value and what to write")
def _(w):
    w.node("gpu-1", nvidia, ascend("Ascend310P", mem=21527, cores=8, count=7))
    wrong = []
    for name, (p, words) in REFUSED.items():
        try:
            text = w.refusal(p)
        except AssertionError:
            wrong.append(f"{name}: was not refused")
            w.delete("p")
            continue
        wrong += [f"{name}: {word!r} is not in: {text}" for word in words if word not in text]
    assert not wrong, "\n".join(wrong)


@test("webhook: a request that no card of the cluster could hold is refused")
def _(w):
    w.pause()
    w.node("gpu-1", nvidia("gpu-1", cards=2, mem=40960))
    w.replica("strict").serve_webhook().start()
    w.webhook_works()
    text = w.refusal(pod("p", gpus=1, mem=90001))
    assert "CardInsufficientMemory" in text, text


@test("webhook: the owner of a refused pod is told why")
def _(w):
    bad = pod("unused", gpus=1, pct=101)["spec"]
    w.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"},
              "spec": {"template": {"spec": {**bad, "restartPolicy": "Never"}}}})
    text = w.event("work", "FailedCreate")
    assert "nvidia.com/gpumem-percentage" in text, text
