#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small CUDA driver client for the black-box tests.

    client.py info           {"mem": BYTES, "free": BYTES, "count": N, "cards": [UUID], "listed": [UUID]}:
                             CUDA's figures and cards, and NVML's cards
    client.py alloc MIB...   allocates each, prints the driver's answers
    client.py hold MIB       allocates, prints "ready", then obeys lines on
                             standard input: "alloc MIB", "free", "info",
                             "launch [TIME]" (1us); ends at end of input
"""
import ctypes
import json
import sys
import uuid

cu = ctypes.CDLL("libcuda.so.1")


def call(name, *args):
    return getattr(cu, name)(*args)


def start():
    dev, ctx = ctypes.c_int(), ctypes.c_void_p()
    for name, args in (("cuInit", (0,)), ("cuDeviceGet", (ctypes.byref(dev), 0)),
                       ("cuDevicePrimaryCtxRetain", (ctypes.byref(ctx), dev)), ("cuCtxSetCurrent", (ctx,))):
        r = call(name, *args)
        if r:
            print(json.dumps({"failed": name, "result": r}), flush=True)
            sys.exit(3)


def listed():
    nv, n = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_uint()
    nv.nvmlInit_v2()
    nv.nvmlDeviceGetCount_v2(ctypes.byref(n))
    uuids = []
    for i in range(n.value):
        device, uuid = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        if nv.nvmlDeviceGetHandleByIndex_v2(i, ctypes.byref(device)) == 0:
            nv.nvmlDeviceGetUUID(device, uuid, 96)
            uuids.append(uuid.value.decode())
    return uuids


def uuid_of(ordinal):
    raw = ctypes.create_string_buffer(16)
    call("cuDeviceGetUuid_v2", raw, ordinal)
    return f"GPU-{uuid.UUID(bytes=raw.raw)}"


def info():
    free, total, n = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_int()
    call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    call("cuDeviceGetCount", ctypes.byref(n))
    return {"mem": total.value, "free": free.value, "count": n.value, "cards": [uuid_of(i) for i in range(n.value)], "listed": listed()}


def alloc(mib):
    p = ctypes.c_uint64()
    r = call("cuMemAlloc_v2", ctypes.byref(p), ctypes.c_size_t(int(mib) << 20))
    return r, p.value


def launch(time="1us"):
    """One kernel of that length, to its end."""
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    ptx = b".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry %s()\n{\nret;\n}\n"
    name = b"sim_" + time.encode()
    ptx = ptx.replace(b"%s", name)
    return (call("cuModuleLoadData", ctypes.byref(module), ptx) or call("cuModuleGetFunction", ctypes.byref(function), module, name)
            or call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, None, None) or call("cuCtxSynchronize"))


def hold(mib):
    held = [alloc(mib)[1]]
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "alloc":
            r, p = alloc(words[1])
            held += [p] if r == 0 else []
            print(r, flush=True)
        elif words[0] == "free":
            while held:
                call("cuMemFree_v2", ctypes.c_uint64(held.pop()))
            print(0, flush=True)
        elif words[0] == "launch":
            print(launch(*words[1:]), flush=True)
        else:
            print(json.dumps(info()), flush=True)


start()
if sys.argv[1] == "info":
    print(json.dumps(info()))
elif sys.argv[1] == "alloc":
    print(json.dumps([alloc(m)[0] for m in sys.argv[2:]]))
else:
    hold(sys.argv[2])
