# SPDX-License-Identifier: Apache-2.0
"""Every accelerator family: what is written on a pod, and which cards its users may choose (vendors.md sections 1, 3, 9).

FAMILIES has a row per family: hardware, what is asked for, what of it is
given, the annotation that says so, the pair of annotations that choose cards,
and what else the family's own software reads.
"""
import json
import re

import nodes
from kit import test
from pods import annotation, cards, container, devices


class Family:
    def __init__(self, hardware, asks, key, kind, mem, cores, select=None, also=None, count=1, also_to_allocate=True):
        self.hardware, self.asks, self.key = hardware, asks, key
        self.kind, self.mem, self.cores, self.count = kind, mem, cores, count
        self.select, self.also, self.also_to_allocate = select, also or {}, also_to_allocate


def ascend(word, mem, hardware, given, temp, cores=0):
    """Templates: what is asked for grows to a template's size, which the runtime is told by name."""
    return Family(hardware, {f"huawei.com/{word}": 1, f"huawei.com/{word}-memory": mem}, f"hami.io/{word}-devices-allocated", word,
                  given, cores, (f"hami.io/use-{word}-uuid", f"hami.io/no-use-{word}-uuid"),
                  {"predicate-time": r"^\d{10}$", f"huawei.com/{word}": lambda text: [d.get("temp") for d in json.loads(text)] == [temp]})


def iluvatar(word):
    return Family(nodes.iluvatar(word), {f"iluvatar.ai/{word}-vgpu": 1, f"iluvatar.ai/{word}.vCore": 50, f"iluvatar.ai/{word}.vMem": 64},
                  f"hami.io/{word}-devices-allocated", word, 64 * 256, 50, (f"hami.io/use-{word}-uuid", f"hami.io/no-use-{word}-uuid"))


def one_json_list(text, **expected):
    device, = [d for slot in json.loads(text) for d in slot]
    return all(device[key] == value for key, value in expected.items())


NANOSECONDS = r"^\d{19}$"
FAMILIES = {
    "NVIDIA": Family(nodes.nvidia, {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 3000, "nvidia.com/gpucores": 30},
                     "hami.io/vgpu-devices-allocated", "NVIDIA", 3000, 30, ("nvidia.com/use-gpuuuid", "nvidia.com/nouse-gpuuuid")),
    "Ascend910A": ascend("Ascend910A", 2000, nodes.ascend("Ascend910A", mem=32768, cores=30, count=15), 2184, "vir02"),
    "Ascend910B2": ascend("Ascend910B2", 9000, nodes.ascend("Ascend910B2", mem=65536, cores=24, count=8), 16384, "vir06_1c_16g"),
    "Ascend910B3": ascend("Ascend910B3", 20000, nodes.ascend("Ascend910B3", mem=65536), 32768, "vir10_3c_32g"),
    "Ascend910B4-1": ascend("Ascend910B4-1", 100, nodes.ascend("Ascend910B4-1", mem=65536), 16384, "vir05_1c_16g"),
    "Ascend910B4": ascend("Ascend910B4", 8192, nodes.ascend("Ascend910B4", mem=32768), 8192, "vir05_1c_8g"),
    "Ascend310P": ascend("Ascend310P", 2000, nodes.ascend("Ascend310P", mem=21527, cores=8, count=7), 3072, "vir01"),
    "Cambricon MLU": Family(
        nodes.cambricon, {"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vmemory": 20, "cambricon.com/mlu.smlu.vcore": 10},
        "hami.io/cambricon-mlu-devices-allocated", "MLU", 5120, 10, ("cambricon.com/use-gpuuuid", "cambricon.com/nouse-gpuuuid"),
        {"CAMBRICON_DSMLU_ASSIGNED": "^false$", "CAMBRICON_DSMLU_ASSIGHED": "^false$", "CAMBRICON_DSMLU_PROFILE": r"^[01]_10_20$"}),
    "Hygon DCU": Family(nodes.hygon, {"hygon.com/dcunum": 1, "hygon.com/dcumem": 2000, "hygon.com/dcucores": 60},
                        "hami.io/dcu-devices-allocated", "DCU", 2000, 60, ("hygon.com/use-gpuuuid", "hygon.com/nouse-gpuuuid")),
    "Iluvatar MR-V100": iluvatar("MR-V100"), "Iluvatar MR-V50": iluvatar("MR-V50"),
    "Iluvatar BI-V150": iluvatar("BI-V150"), "Iluvatar BI-V100": iluvatar("BI-V100"),
    "Moore Threads": Family(
        nodes.mthreads, {"mthreads.com/vgpu": 1, "mthreads.com/sgpu-memory": 32, "mthreads.com/sgpu-core": 8},
        "hami.io/mthreads-vgpu-devices-allocated", "Mthreads", 16384, 8, ("mthreads.ai/use-gpuuuid", "mthreads.ai/nouse-gpuuuid"),
        {"mthreads.com/gpu-index": r"^[01]$", "mthreads.com/predicate-node": "^x$", "mthreads.com/predicate-time": NANOSECONDS},
        also_to_allocate=False),
    "MetaX GPU": Family(nodes.metax, {"metax-tech.com/gpu": 1}, "hami.io/metax-gpu-devices-allocated", "Metax-GPU", 65536, 100),
    "MetaX sGPU": Family(
        nodes.metax_sgpu, {"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": 4, "metax-tech.com/vcore": 20},
        "hami.io/metax-sgpu-devices-allocated", "Metax-SGPU", 4096, 20, ("metax-tech.com/use-gpuuuid", "metax-tech.com/nouse-gpuuuid"),
        {"metax-tech.com/gpu-devices-allocated": lambda text: one_json_list(text, compute=20, vRam=4096),
         "metax-tech.com/predicate-time": NANOSECONDS}),
    "Enflame GCU": Family(nodes.enflame, {"enflame.com/gcu": 1}, "hami.io/enflame-gcu-devices-allocated", "GCU", 100, 100),
    "Enflame DRS": Family(
        nodes.enflame_drs, {"enflame.com/drs-gcu": 3}, "hami.io/enflame-vgpu-devices-allocated", "Enflame", 24 * 1024, 50,
        ("enflame.com/use-gpuuuid", "enflame.com/nouse-gpuuuid"),
        {"enflame.com/gcu-assigned": "^false$", "enflame.com/gcu-assigned-time": NANOSECONDS, "enflame.com/gcu-assigned-minor": r"^[01]$",
         "enflame.com/gcu-request-size": "^3$",
         "assigned-containers": lambda text: json.loads(text)["main"] == {
             "allocated": False, "request": 3, "profileID": "2", "profileName": "3g.24gb"}}, also_to_allocate=False),
    "Kunlunxin XPU": Family(
        nodes.kunlun, {"kunlunxin.com/xpu": 4}, "hami.io/kunlun-allocated", "kunlun", 98304, 100, None,
        {"BAIDU_COM_DEVICE_IDX": lambda text: sorted(text.split(",")) in (list("0123"), list("4567"))}, count=4, also_to_allocate=False),
    "Kunlunxin vXPU": Family(
        nodes.kunlun_vxpu, {"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 20000}, "hami.io/xpu-devices-allocated", "XPU", 24576, 25,
        ("hami.io/use-xpu-uuid", "hami.io/no-use-xpu-uuid")),
    "AWS Neuron device": Family(
        nodes.neuron, {"aws.amazon.com/neuron": 2}, "hami.io/aws-neuron-devices-allocated", "AWSNeuron", 0, 3, None,
        {"AWS_NEURON_IDS": "^0,1$", "NEURON_ALLOCATED": "^false$", "NEURON_ALLOC_TIME": NANOSECONDS, "aws.amazon.com/predicate-node": "^x$"},
        count=2, also_to_allocate=False),
    "AWS NeuronCore": Family(
        nodes.neuron, {"aws.amazon.com/neuroncore": 1}, "hami.io/aws-neuron-devices-allocated", "AWSNeuron", 0, 1,
        ("aws.amazon.com/use-neuron-uuid", "aws.amazon.com/nouse-neuron-uuid"),
        {"AWS_NEURON_IDS": r"^[02]$", "NEURON_RESOURCE_TYPE": "^aws.amazon.com/neuroncore$"}, also_to_allocate=False),
    "AMD": Family(nodes.amd, {"amd.com/gpu": 1, "amd.com/gpumem": 4096, "amd.com/gpucores": 10}, "hami.io/amd-devices-allocated",
                  "AMD Instinct MI300X", 4096, 30, ("amd.com/use-gpu-uuid", "amd.com/nouse-gpu-uuid")),
    "Biren": Family(nodes.biren, {"birentech.com/gpu": 1}, "hami.io/Biren-devices-allocated", "Biren", 0, 0,
                    ("birentech.com/use-gpuuuid", "birentech.com/nouse-gpuuuid")),
    "Vastai": Family(nodes.vastai, {"vastaitech.com/va": 1}, "hami.io/Vastai-devices-allocated", "Vastai", 0, 0,
                     ("vastaitech.com/use-gpuuuid", "vastaitech.com/nouse-gpuuuid"))}


def bound_with(w, name, family, **annotations):
    return w.place(name, limits=family.asks, annotations=annotations)


def writes_what_its_software_reads(w, family):
    ids = w.node("x", family.hardware)
    p = bound_with(w, "one", family)
    given, = devices(p, family.key)
    assert len({d[0] for d in given}) == len(given) == family.count and {d[0] for d in given} <= set(ids), given
    assert {d[1:] for d in given} == {(family.kind, family.mem, family.cores)}, given
    assert annotation(p, "hami.io/vgpu-node") == "x"
    if family.also_to_allocate:
        assert annotation(p, family.key.replace("-allocated", "-to-allocate")) == annotation(p, family.key)
    for key, check in family.also.items():
        value = annotation(p, key)
        assert value is not None and (check(value) if callable(check) else re.search(check, value)), (key, value)


def lets_its_users_choose_cards(w, family):
    ids = w.node("x", family.hardware)
    use, not_use = family.select
    for number, id in enumerate(ids[:2]):
        assert cards(bound_with(w, f"use-{number}", family, **{use: id}), family.key) == [id], (use, id)
        w.delete(f"use-{number}")
        p = bound_with(w, f"not-{number}", family, **{not_use: id})
        assert id not in cards(p, family.key), (not_use, id)
        w.delete(f"not-{number}")


def fills_up_and_empties(w, family):
    """What no longer fits waits, and gets the place of what ends."""
    w.node("x", family.hardware)
    number = 0
    while True:
        w.pod(f"p{number}", limits=family.asks)
        p = w.until(f"p{number}", lambda p: p["spec"].get("nodeName") or p["status"].get("conditions"), "decided")
        if not p["spec"].get("nodeName"):
            break
        number += 1
        assert number < 100
    assert number >= 1
    w.delete("p0")
    w.bound(f"p{number}")


for family_name, row in FAMILIES.items():
    test(f"vendors: {family_name} writes what its software reads")(lambda w, row=row: writes_what_its_software_reads(w, row))
    if row.select:
        test(f"vendors: {family_name} lets its users choose cards")(lambda w, row=row: lets_its_users_choose_cards(w, row))
    if family_name != "Kunlunxin vXPU":  # the same with 32 pods
        test(f"vendors: {family_name} fills up and empties")(lambda w, row=row: fills_up_and_empties(w, row))


@test("vendors: an Ascend 910C is given by whole modules")
def _(w):
    w.node("x", nodes.ascend("Ascend910C", cards=6, mem=65536, count=1))
    p = w.place("one", limits={"huawei.com/Ascend910C": 1})
    pair = sorted(int(card.rsplit("-", 1)[1]) for card in cards(p, "hami.io/Ascend910C-devices-allocated"))
    assert len(pair) == 2 and pair[0] % 2 == 0 and pair[1] == pair[0] + 1, pair


@test("vendors: soft slices of an Ascend go to nodes that offer them")
def _(w):
    w.node("hard", nodes.ascend("Ascend910B3", mem=65536))
    asks = {"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-memory": 28672, "huawei.com/Ascend910B3-core": 40}
    soft = {"huawei.com/vnpu-mode": "hami-core"}
    assert "ModeNotFit" in w.refused_place("early", limits=asks, annotations=soft)
    w.node("soft", nodes.ascend("Ascend910B3", mem=65536, soft=True))
    p = w.bound("early")
    assert p["spec"]["nodeName"] == "soft"
    (_, _, mem, cores), = devices(p, "hami.io/Ascend910B3-devices-allocated")[0]
    assert (mem, cores) == (28672, 40)
    runtime, = json.loads(annotation(p, "huawei.com/Ascend910B3"))
    assert "temp" not in runtime and runtime["memory"] == 28672 and runtime["core"] == 40, runtime


@test("vendors: Ascend cards of one network stay together")
def _(w):
    w.node("x", nodes.ascend("Ascend910B2", cards=6, mem=65536, network=lambda i: i % 2))
    got = cards(w.place("three", limits={"huawei.com/Ascend910B2": 3}), "hami.io/Ascend910B2-devices-allocated")
    assert len({int(card.rsplit("-", 1)[1]) % 2 for card in got}) == 1 and len(set(got)) == 3, got


@test("vendors: Kunlunxin slices of one card have one size")
def _(w):
    w.node("x", nodes.kunlun_vxpu)
    first = {"hami.io/use-xpu-uuid": "XPU-x-0"}
    w.place("small", limits={"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 24576}, annotations=first)
    w.place("same", limits={"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 24576}, annotations=first)
    w.refused_place("large", limits={"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 49152}, annotations=first)


@test("vendors: MetaX slices of one card have one QoS policy")
def _(w):
    w.node("x", lambda name: nodes.metax_sgpu(name, cards=1))
    asks = {"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": 4, "metax-tech.com/vcore": 20}
    w.place("fixed", limits=asks, annotations={"metax-tech.com/sgpu-qos-policy": "fixed-share"})
    message = w.refused_place("burst", limits=asks, annotations={"metax-tech.com/sgpu-qos-policy": "burst-share"})
    assert "CardQosPolicyMismatch" in message, message


@test("vendors: Neuron cores of one device are given one after the other")
def _(w):
    w.node("x", lambda name: nodes.neuron(name, cards=1))
    got = [devices(w.place(f"p{i}", limits={"aws.amazon.com/neuroncore": 1}), "hami.io/aws-neuron-devices-allocated")[0][0][3]
           for i in range(2)]
    assert sorted(got) == [1, 2], got


@test("vendors: a node with cards of two families serves both, also to one pod")
def _(w):
    w.node("x", nodes.nvidia, nodes.hygon)
    p = w.place("both", containers=[container("a", {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 1000}),
                                    container("b", {"hygon.com/dcunum": 1, "hygon.com/dcumem": 1000, "hygon.com/dcucores": 10})])
    assert [len(s) for s in devices(p)] == [1, 0] and [len(s) for s in devices(p, "hami.io/dcu-devices-allocated")] == [0, 1], p["metadata"]


@test("vendors: Hygon's product names that are wanted or unwanted are obeyed")
def _(w):
    w.node("x", nodes.hygon)
    asks = {"hygon.com/dcunum": 1, "hygon.com/dcumem": 100, "hygon.com/dcucores": 1}
    w.place("yes", limits=asks, annotations={"hygon.com/use-dcutype": "k100"})
    assert "CardTypeMismatch" in w.refused_place("no", limits=asks, annotations={"hygon.com/nouse-dcutype": "K100"})
