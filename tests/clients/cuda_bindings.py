# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's cuda-bindings on the driver API: copies, a launch, the limit.

    cuda_bindings.py TOTAL_MIB
"""
import sys

import numpy as np
from cuda.bindings import driver as cu


def must(answer):
    assert answer[0] == cu.CUresult.CUDA_SUCCESS, answer[0]
    return answer[1] if len(answer) == 2 else answer[1:]


total_mib = int(sys.argv[1])
must(cu.cuInit(0))
device = must(cu.cuDeviceGet(0))
context = must(cu.cuDevicePrimaryCtxRetain(device))
must(cu.cuCtxSetCurrent(context))
free, total = must(cu.cuMemGetInfo())
assert total == total_mib << 20, f"cuMemGetInfo total {total >> 20} MiB"
assert must(cu.cuDeviceTotalMem(device)) == total
assert 0 < free <= total

data = np.arange(1 << 16, dtype=np.uint32)
back = np.zeros_like(data)
pointer = must(cu.cuMemAlloc(data.nbytes))
must(cu.cuMemcpyHtoD(pointer, data.ctypes.data, data.nbytes))
must(cu.cuMemcpyDtoH(back.ctypes.data, pointer, data.nbytes))
assert (data == back).all()
must(cu.cuMemFree(pointer))

ptx = b".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry nothing()\n{\nret;\n}\n\0"
module = must(cu.cuModuleLoadData(ptx))
kernel = must(cu.cuModuleGetFunction(module, b"nothing"))
must(cu.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0))
must(cu.cuCtxSynchronize())

answer = cu.cuMemAlloc((total_mib << 20) + 1)
assert answer[0] == cu.CUresult.CUDA_ERROR_OUT_OF_MEMORY, answer
got, step = 0, 64 << 20
while (answer := cu.cuMemAlloc(step))[0] == cu.CUresult.CUDA_SUCCESS:
    got += step
assert answer[0] == cu.CUresult.CUDA_ERROR_OUT_OF_MEMORY
assert got <= total, "more than the limit was handed out"
assert got >= free - (128 << 20), f"only {got >> 20} MiB of {free >> 20} MiB free"
print("cuda-bindings ok", got >> 20, "MiB of", total >> 20)
