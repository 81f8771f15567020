# SPDX-License-Identifier: Apache-2.0
"""tinygrad on the CUDA driver with its own PTX (DEV=CUDA:PTX, once PTX=1): a product is realised, and a
tensor larger than the device is refused. Kernels compute nothing on the
simulated driver, so no value is looked at.

    tinygrad_matmul.py TOTAL_MIB
"""
import sys

from tinygrad import Device, Tensor

total_mib = int(sys.argv[1])
assert Device.DEFAULT.split(":")[0] == "CUDA", Device.DEFAULT
product = (Tensor.rand(256, 256) @ Tensor.rand(256, 256)).realize()
assert product.shape == (256, 256)
assert product.numpy().shape == (256, 256)
device = Device["CUDA"]
device.synchronize()
try:
    device.allocator.alloc((total_mib + 1) << 20)
    raise SystemExit("a tensor larger than the device was accepted")
except (MemoryError, RuntimeError) as error:
    assert "memory" in str(error).lower() or "failed on CUDA" in str(error), error
device.allocator.alloc((total_mib // 2) << 20)
print("tinygrad ok")
