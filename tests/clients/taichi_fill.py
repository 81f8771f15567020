# SPDX-License-Identifier: Apache-2.0
"""taichi on CUDA: its kernels are launched, memory can be had up to what the
device has and not beyond.

    taichi_fill.py TOTAL_MIB
"""
import sys

import taichi as ti

total_mib = int(sys.argv[1])
ti.init(arch=ti.cuda, offline_cache=False, log_level=ti.CRITICAL)
assert ti.cfg.arch == ti.cuda, f"taichi fell back to {ti.cfg.arch}"
field = ti.field(ti.f32, shape=(512, 512))


@ti.kernel
def fill(value: ti.f32):
    for i, j in field:
        field[i, j] = value


fill(1.0)
ti.sync()
kept, step_mib = [], 512
try:
    while len(kept) * step_mib <= total_mib:
        kept.append(ti.ndarray(ti.i8, shape=(step_mib, 1 << 20)))
    raise SystemExit("more than the device was handed out")
except RuntimeError as error:
    print("refused:", str(error)[:80])
assert len(kept) * step_mib >= total_mib // 2, f"refused after {len(kept) * step_mib} MiB of {total_mib}"
print("taichi ok")
