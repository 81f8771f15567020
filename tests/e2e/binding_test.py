# SPDX-License-Identifier: Apache-2.0
"""One pod, one decision, one write."""
import time

from hami import USER
from kit import note, test
from nodes import nvidia
from pods import annotation, cards, devices, job, pod


@test("a pod is bound in one write that carries its assignment")
def _(w):
    w.node("gpu-1", nvidia)
    since = w.plane.audit_position()
    p = w.place("one", gpus=1, mem=3000, cores=30)
    (uuid, kind, mem, cores), = devices(p)[0]
    assert uuid in ("GPU-gpu-1-0", "GPU-gpu-1-1") and (kind, mem, cores) == ("NVIDIA", 3000, 30), devices(p)
    assert annotation(p, "hami.io/vgpu-node") == p["spec"]["nodeName"] == "gpu-1"
    assert annotation(p, "hami.io/vgpu-devices-to-allocate") == annotation(p, "hami.io/vgpu-devices-allocated")
    assert abs(int(annotation(p, "hami.io/vgpu-time")) - time.time()) < 300
    assert w.requests(since, "one", USER) == [(USER, "create", "binding")], w.requests(since, "one")
