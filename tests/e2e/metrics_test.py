# SPDX-License-Identifier: Apache-2.0
"""What Prometheus scrapes: the reference's names, labels and units (scheduler.md section 1.4)."""
import re

from kit import test
from nodes import nvidia
from pods import cards, container

MIB = 1 << 20
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def samples(w):
    """{name: [(labels, value)]}; every line has to be one that Prometheus reads."""
    found = {}
    for line in w.hami.metrics().splitlines():
        if line and not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            found.setdefault(name, []).append((dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")), float(value)))
    return found


def of(w, name, **labels):
    rows = [(all_, value) for all_, value in samples(w).get(name, []) if labels.items() <= all_.items()]
    assert len(rows) == 1, (name, labels, rows)
    return rows[0]


@test("metrics: cards, shares and pods have the reference's names, labels and units")
def _(w):
    w.node("one", nvidia)
    p = w.place("p", gpus=1, mem=3000, cores=30)
    card, = cards(p)
    index = card[-1]
    mine = {"zone": "vGPU", "node": "one", "device_uuid": card}
    where = {**mine, "device_index": index, "device_type": "NVIDIA-A100-SXM4-40GB"}
    w.eventually(lambda: of(w, "hami_gpu_shared_count", **where)[1] == 1, "the pod is counted")
    assert of(w, "hami_gpu_memory_limit_bytes", **where)[1] == 40960 * MIB
    assert of(w, "hami_gpu_core_limit_ratio", **where)[1] == 100
    assert of(w, "hami_gpu_memory_allocated_bytes", **where, device_cores="100")[1] == 3000 * MIB
    assert of(w, "hami_gpu_core_allocated_ratio", **where)[1] == 30
    assert of(w, "hami_node_gpu_overview", **where, device_cores="100", device_memory_limit="40960")[1] == 3000 * MIB
    assert abs(of(w, "hami_node_gpu_memory_allocated_ratio", **where)[1] - 3000 / 40960) < 1e-4
    pod = {**mine, "namespace": w.ns, "pod": "p", "container_index": "0"}
    assert of(w, "hami_vgpu_memory_allocated_bytes", **pod)[1] == 3000 * MIB
    assert of(w, "hami_vgpu_core_allocated_ratio", **pod)[1] == 30
    assert of(w, "hami_build_info")[1] == 1


@test("metrics: a second container is told apart by its index")
def _(w):
    w.node("one", nvidia)
    w.place("p", containers=[container("log"), container("main", {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 1000})])
    assert of(w, "hami_vgpu_memory_allocated_bytes", namespace=w.ns, pod="p")[0]["container_index"] == "1"


@test("metrics: what ended is gone")
def _(w):
    w.node("one", nvidia)
    w.place("p", gpus=1, mem=3000)
    w.delete("p")
    w.eventually(lambda: not any(labels.get("pod") == "p" and labels.get("namespace") == w.ns
                                 for labels, _ in samples(w).get("hami_vgpu_memory_allocated_bytes", [])), "the pod's series end")
