# SPDX-License-Identifier: Apache-2.0
"""taichi on CUDA: its kernels are launched and its memory pool is allocated;
a pool larger than the device is refused.

    taichi_fill.py POOL_MIB
"""
import sys

import taichi as ti

ti.init(arch=ti.cuda, device_memory_GB=int(sys.argv[1]) / 1024, offline_cache=False, log_level=ti.ERROR)
assert ti.cfg.arch == ti.cuda, f"taichi fell back to {ti.cfg.arch}"
field = ti.field(ti.f32, shape=(512, 512))


@ti.kernel
def fill(value: ti.f32):
    for i, j in field:
        field[i, j] = value


fill(1.0)
ti.sync()
print("taichi ok")
