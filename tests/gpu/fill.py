#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes device memory until it is refused: fill.py torch|jax|plain LIMIT_MIB.

Succeeds when the refusal came, and came below the limit.
"""
import ctypes
import sys

CHUNK_MIB = 64


def with_torch():
    import torch

    return torch.cuda.OutOfMemoryError, lambda: torch.empty(CHUNK_MIB << 20, dtype=torch.uint8, device="cuda")


def with_jax():
    import jax

    return Exception, lambda: jax.device_put(jax.numpy.zeros(CHUNK_MIB << 20, "uint8")).block_until_ready()


def plain():
    cuda = ctypes.CDLL("libcuda.so.1")
    context = ctypes.c_void_p()
    for result in (cuda.cuInit(0), cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), cuda.cuCtxSetCurrent(context)):
        if result != 0:
            sys.exit(f"fill: the driver answers {result}")

    def take():
        address = ctypes.c_uint64()
        result = cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(CHUNK_MIB << 20))
        if result == 2:
            raise MemoryError
        if result != 0:
            sys.exit(f"fill: cuMemAlloc answers {result}")
        return address

    return MemoryError, take


def main():
    refusal, take = {"torch": with_torch, "jax": with_jax, "plain": plain}[sys.argv[1]]()
    limit_mib = int(sys.argv[2])
    held = []
    try:
        while len(held) * CHUNK_MIB <= limit_mib:
            held.append(take())
    except refusal:
        pass
    print(f"held {len(held) * CHUNK_MIB} MiB of {limit_mib}")
    sys.exit(0 if held and len(held) * CHUNK_MIB <= limit_mib else 1)


main()
