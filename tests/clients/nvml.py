# SPDX-License-Identifier: Apache-2.0
"""nvidia-ml-py: identity, memory in both versions, processes, refusals.

    nvml.py TOTAL_MIB CARDS

Starts a CUDA program (held by a pipe) to be seen in the process list.
"""
import ctypes
import os
import sys

import pynvml as nv

total_mib = int(sys.argv[1])
nv.nvmlInit()
assert nv.nvmlDeviceGetCount() == int(sys.argv[2]), nv.nvmlDeviceGetCount()
handle = nv.nvmlDeviceGetHandleByIndex(0)
uuid = nv.nvmlDeviceGetUUID(handle)
assert nv.nvmlDeviceGetUUID(nv.nvmlDeviceGetHandleByUUID(uuid)) == uuid
assert nv.nvmlDeviceGetName(handle)
assert nv.nvmlSystemGetDriverVersion().count(".") >= 1

v1 = nv.nvmlDeviceGetMemoryInfo(handle)
v2 = nv.nvmlDeviceGetMemoryInfo(handle, version=nv.nvmlMemory_v2)
assert v1.total == v2.total == total_mib << 20, (v1.total >> 20, v2.total >> 20)
assert v1.used + v1.free == v1.total
assert v2.used + v2.free + v2.reserved == v2.total

rates = nv.nvmlDeviceGetUtilizationRates(handle)
assert 0 <= rates.gpu <= 100
assert all(p.pid != os.getpid() for p in nv.nvmlDeviceGetComputeRunningProcesses(handle))

cuda = ctypes.CDLL("libcuda.so.1")
context, pointer = ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(100 << 20)) == 0
mine = [p for p in nv.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid == os.getpid()]
assert len(mine) == 1, "this process is not in the list"
assert mine[0].usedGpuMemory >= 100 << 20
assert nv.nvmlDeviceGetMemoryInfo(handle).used >= 100 << 20
total = ctypes.c_size_t()
assert cuda.cuDeviceTotalMem_v2(ctypes.byref(total), 0) == 0 and total.value == total_mib << 20

try:
    nv.nvmlDeviceGetHandleByIndex(99)
    raise AssertionError("device 99 exists")
except nv.NVMLError_InvalidArgument:
    pass
print("nvidia-ml-py ok", uuid)
nv.nvmlShutdown()
