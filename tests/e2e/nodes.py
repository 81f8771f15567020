# SPDX-License-Identifier: Apache-2.0
"""Simulated nodes of every accelerator family.

A family is a function of the node's name that gives what its device plugin
would have put on the node: register annotations in the family's own format,
and the resources that the kubelet would advertise. The formats are HAMi's wire
contract: JSON arrays and colon text of its nodes, vendors' own JSON, or nothing
but capacity.
"""
import json


class Hardware:
    """What a node has: annotations, resources (name: amount), labels, and the ids of its cards in order."""

    def __init__(self, cards, annotations=None, resources=None, labels=None):
        self.cards, self.annotations = cards, annotations or {}
        self.resources, self.labels = resources or {}, labels or {}


def node(name, *hardware, labels=None):
    """A Ready node object with any number of families on it. No agent runs there that would give back a node lock."""
    resources = {"cpu": "64", "memory": "512Gi", "pods": "1000"}
    annotations, all_labels = {"hami.io/node-agent": "none"}, {"kubernetes.io/hostname": name, **(labels or {})}
    for h in hardware:
        annotations.update(h.annotations)
        resources.update({key: str(amount) for key, amount in h.resources.items()})
        all_labels.update(h.labels)
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": all_labels, "annotations": annotations},
            "status": {"capacity": resources, "allocatable": resources,
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def without_zeros(device):
    """Device plugins written in Go leave zero and false out."""
    return {key: value for key, value in device.items() if value or key == "id"}


def json_devices(key, ids, type, mem, cores, count, resources, numa=None, mode="", custom=None, healthy=True):
    devices = [without_zeros({"id": id, "index": i, "count": count, "devmem": mem, "devcore": cores, "type": type,
                              "numa": numa[i] if numa else 0, "mode": mode, "health": healthy,
                              "custominfo": custom(i) if custom else None}) for i, id in enumerate(ids)]
    return Hardware(ids, {key: compact(devices)}, resources)


def text_devices(key, ids, type, mem, cores, count, resources):
    """Nine fields, and a colon behind each device."""
    text = "".join(f"{id},{count},{mem},{cores},{type},0,true,{i},hami-core:" for i, id in enumerate(ids))
    return Hardware(ids, {key: text}, resources)


def nvidia(name, cards=2, mem=40960, cores=100, split=10, type="NVIDIA-A100-SXM4-40GB", numa=None, mode="hami-core", healthy=True):
    ids = [f"GPU-{name}-{i}" for i in range(cards)]
    return json_devices("hami.io/node-nvidia-register", ids, type, mem, cores, split, {"nvidia.com/gpu": cards * split},
                        numa, mode, healthy=healthy)


def nvidia_links(name, scores):
    """Pair scores between cards: {(0, 1): 100, ...}; goes beside nvidia()."""
    ids = sorted({i for pair in scores for i in pair})
    rows = [{"uuid": f"GPU-{name}-{i}", "score": {f"GPU-{name}-{b if a == i else a}": s for (a, b), s in scores.items() if i in (a, b)}}
            for i in ids]
    return Hardware([], {"hami.io/node-nvidia-score": compact(rows)})


MIG_PROFILES = [
    {"name": "1g.5gb", "memoryMB": 4864, "core": 15, "sliceCount": 1, "placements": [{"start": s, "size": 1} for s in range(7)]},
    {"name": "2g.10gb", "memoryMB": 9856, "core": 29, "sliceCount": 2, "placements": [{"start": s, "size": 2} for s in (0, 2, 4)]},
    {"name": "3g.20gb", "memoryMB": 19968, "core": 43, "sliceCount": 3, "placements": [{"start": s, "size": 4} for s in (0, 4)]},
    {"name": "7g.40gb", "memoryMB": 40192, "core": 100, "sliceCount": 7, "placements": [{"start": 0, "size": 8}]}]


def nvidia_mig(name, cards=1, mem=40960):
    ids = [f"GPU-{name}-{i}" for i in range(cards)]
    devices = [without_zeros({"id": id, "index": i, "count": 7, "devmem": mem, "devcore": 100, "type": "NVIDIA-A100-SXM4-40GB",
                              "mode": "mig", "migProfiles": MIG_PROFILES, "health": True}) for i, id in enumerate(ids)]
    return Hardware(ids, {"hami.io/node-nvidia-register": compact(devices)}, {"nvidia.com/gpu": cards * 7})


def ascend(word, cards=2, mem=32768, cores=20, count=4, network=None, soft=False):
    def family(name, cards=cards):
        ids = [f"{word}-{name}-{i}" for i in range(cards)]
        custom = (lambda i: {"NetworkID": network(i)}) if network else None
        hardware = json_devices(f"hami.io/node-register-{word}", ids, word, mem, cores, count, {f"huawei.com/{word}": cards * count},
                                custom=custom)
        if soft:
            hardware.annotations["hami-vnpu-core"] = "true"
        return hardware
    return family


def cambricon(name, cards=2, mem_units=96):
    ids = [f"{name}-cambricon-mlu-{i}" for i in range(cards)]
    return Hardware(ids, resources={"cambricon.com/mlu.smlu.vcore": 100 * cards, "cambricon.com/mlu.smlu.vmemory": mem_units * cards})


def hygon(name, cards=2):
    return text_devices("hami.io/node-dcu-register", [f"DCU-{name}-{i}" for i in range(cards)], "DCU-K100_AI", 65520, 100, 4,
                        {"hygon.com/dcunum": cards * 4})


def iluvatar(word="MR-V100"):
    def family(name, cards=2):
        return text_devices(f"hami.io/node-{word}-register", [f"{word}-{name}-{i}" for i in range(cards)], word, 32768, 100, 10,
                            {f"iluvatar.ai/{word}-vgpu": cards * 10})
    return family


def mthreads(name, cards=2):
    ids = [f"{name}-mthreads-{i}" for i in range(cards)]
    return Hardware(ids, resources={"mthreads.com/sgpu-core": 16 * cards, "mthreads.com/sgpu-memory": 96 * cards,
                                    "mthreads.com/vgpu": 100 * cards})


def metax(name, cards=2):
    return Hardware([f"{name}-metax-{i}" for i in range(cards)], resources={"metax-tech.com/gpu": cards})


def metax_sgpu(name, cards=2):
    ids = [f"GPU-{name}-{i}" for i in range(cards)]
    devices = [{"uuid": id, "bdf": f"0000:{i:02x}:00.0", "model": "MXC500", "totalDevCount": 16, "totalCompute": 100, "totalVRam": 65536,
                "availableDevCount": 16, "availableCompute": 100, "availableVRam": 65536, "numa": 0, "healthy": True, "linkZone": 1}
               for i, id in enumerate(ids)]
    return Hardware(ids, {"metax-tech.com/node-gpu-devices": compact(devices)}, {"metax-tech.com/sgpu": 16 * cards})


def enflame(name, cards=2):
    return Hardware([f"{name}-GCU-{i}" for i in range(cards)], resources={"enflame.com/gcu": cards})


def enflame_drs(name, cards=2):
    devices = [{"index": str(i), "minor": str(i), "capacity": 6} for i in range(cards)]
    profiles = {f"{size}g.{gb}gb": str(id) for id, (size, gb) in enumerate(((1, 8), (2, 16), (3, 24), (6, 48)))}
    return Hardware([f"{name}-enflame-drs-{i}" for i in range(cards)],
                    {"enflame.com/gcu-drs-capacity": compact({"devices": devices, "profiles": profiles})}, {"enflame.com/drs-gcu": 6 * cards})


def kunlun(name, cards=8):
    return Hardware([f"{name}-kunlun-{i}" for i in range(cards)], resources={"kunlunxin.com/xpu": cards})


def kunlun_vxpu(name, cards=8):
    return json_devices("hami.io/node-register-xpu", [f"XPU-{name}-{i}" for i in range(cards)], "XPU", 98304, 100, 4,
                        {"kunlunxin.com/vxpu": cards * 4})


def neuron(name, cards=2, instance="inf2.24xlarge"):
    return Hardware([f"{name}-AWSNeuron-{i}" for i in range(cards)],
                    resources={"aws.amazon.com/neuron": cards, "aws.amazon.com/neuroncore": 2 * cards},
                    labels={"node.kubernetes.io/instance-type": instance})


def amd(name, cards=2):
    return json_devices("hami.io/node-amd-register", [f"amd-{name}-{i}" for i in range(cards)], "AMD Instinct MI300X", 196592, 304, 10,
                        {"amd.com/gpu": cards * 10}, custom=lambda i: {"pciBDF": f"0000:{i:02x}:00.0"})


def biren(name, cards=2):
    return json_devices("hami.io/node-biren-register", [f"card_{name}-{i}" for i in range(cards)], "Biren106C", 32768, 100, 1,
                        {"birentech.com/gpu": cards})


def vastai(name, cards=2, die=False):
    return json_devices("hami.io/node-va-register", [f"va-{name}-{i}" for i in range(cards)], "Vastai", 32768, 100, 1,
                        {"vastaitech.com/va": cards},
                        custom=(lambda i: {"DeviceStrategy": "die", "AIC": f"aic-{i // 2}"}) if die else None)
