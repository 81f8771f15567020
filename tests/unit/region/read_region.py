#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a live region as a program that has never seen our headers would.

The offsets below are typed in from the published layout 1.2, not taken from
the sources or from contract/; a change of a byte in either must fail here.
"""
import os
import struct
import subprocess
import sys
import tempfile
import threading

SLOT0, SLOT_BYTES, SLOTS = 1856, 1960, 1024
HEAD = {  # name: (offset, format, expected)
    "initialized_flag": (0, "<i", 19920718),
    "major_version": (4, "<I", 1),
    "minor_version": (8, "<I", 2),
    "sm_init_flag": (12, "<i", 0),
    "owner_pid": (16, "<Q", 0),
    "sem value": (24, "<I", 1),
    "sem waiters": (28, "<I", 0),
    "sem pshared": (32, "<I", 128),
    "device_num": (56, "<Q", 3),
    "uuid 0": (64, "9s", b"GPU-aaaa\0"),
    "uuid 1": (160, "9s", b"GPU-bbbb\0"),
    "uuid 2": (256, "9s", b"GPU-cccc\0"),
    "uuid 3": (352, "1s", b"\0"),
    "limit 0": (1600, "<Q", 1000000),
    "limit 1": (1608, "<Q", 2000000),
    "limit 2": (1616, "<Q", 0),
    "sm_limit 0": (1728, "<Q", 30),
    "sm_limit 1": (1736, "<Q", 0),
    "sm_limit 2": (1744, "<Q", 100),
    "proc_num": (2008896, "<i", 1),
    "utilization_switch": (2008900, "<i", 1),
    "recent_kernel": (2008904, "<i", 2),
    "priority": (2008908, "<i", 1),
    "sem_postinit value": (2008920, "<I", 1),
    "sem_postinit pshared": (2008928, "<I", 128),
}
SLOT = {
    "hostpid": (4, "<i", 0),
    "device 0 context": (8, "<Q", 100),
    "device 0 module": (16, "<Q", 20),
    "device 0 data": (24, "<Q", 3000),
    "device 0 offset": (32, "<Q", 0),
    "device 0 total": (40, "<Q", 3120),
    "device 1 total": (104, "<Q", 0),
    "device 2 data": (152, "<Q", 70),
    "device 2 total": (168, "<Q", 70),
    "monitorused 0": (1032, "<Q", 0),
    "device_util 0 sm": (1176, "<Q", 0),
    "status": (1928, "<i", 1),
    "seqlock": (1936, "<Q", 0),
}
EXT = {  # relative to 2 011 136
    "magic": (0, "<Q", 0x484D495245474E31),
    "major": (8, "<I", 1),
    "total_bytes": (20, "<I", 2174976),
    "limit_source": (40, "<I", 4),
    "suspended": (64, "<I", 0),
    "slot_map": (128, "<Q", 1),
    "device 0 bytes": (4096, "<Q", 3120),
    "device 0 peak": (4112, "<Q", 3120),
    "device 1 oom_count": (4096 + 512 + 24, "<Q", 1),
    "device 2 bytes": (4096 + 1024, "<Q", 70),
    "device 2 peak": (4096 + 1024 + 16, "<Q", 77),
}

failures = tests = 0


def report(ok, name, note=""):
    global failures, tests
    tests += 1
    failures += not ok
    print(f"{'ok' if ok else 'not ok'} {tests} {name}{' # ' + note if note and not ok else ''}")


def compare(data, base, table, what):
    for name, (offset, form, expected) in table.items():
        got = struct.unpack_from(form, data, base + offset)[0]
        report(got == expected, f"{what} {name} at {offset}", f"{got!r}, not {expected!r}")


def monitor_sum(data, device):
    """What an older monitor reports: live slots up to proc_num."""
    n = max(0, min(1024, struct.unpack_from("<i", data, 2008896)[0]))
    total = 0
    for i in range(n):
        at = SLOT0 + i * SLOT_BYTES
        if struct.unpack_from("<i", data, at + 1928)[0] != 0:
            total += struct.unpack_from("<Q", data, at + 8 + device * 64 + 32)[0]
    return total


def check_live(path, pid):
    with open(path, "rb") as f:
        data = f.read()
    report(len(data) >= 2008952, "file is at least layout 1.2 long")
    report(os.stat(path).st_blocks * 512 <= 65536, "at most 64 KiB of the file exist",
           str(os.stat(path).st_blocks * 512))
    compare(data, 0, HEAD, "region")
    compare(data, SLOT0, SLOT, "slot 0")
    compare(data, 2011136, EXT, "extension")
    report(struct.unpack_from("<i", data, SLOT0)[0] == pid, "slot 0 pid at 0")
    report(data[2008952] == 0, "byte 2008952 is left to older writers")
    report(monitor_sum(data, 0) == 3120 and monitor_sum(data, 2) == 70, "an older monitor adds up the same")
    report(not any(data[SLOT0 + SLOT_BYTES : 2008896]), "all other slots are zero")


def check_left(path):
    with open(path, "rb") as f:
        data = f.read()
    report(not any(data[SLOT0:2008896]), "after the process left all slots are zero")
    report(struct.unpack_from("<i", data, 2008896)[0] == 0, "proc_num is back at 0")
    report(struct.unpack_from("<Q", data, 2011136 + 4096)[0] == 0, "nothing is charged any more")


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vgpu.cache")
        with subprocess.Popen([sys.argv[1], path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            watchdog = threading.Timer(30, holder.kill)
            watchdog.start()
            report(holder.stdout.readline() == b"ready\n", "the holder joins")
            check_live(path, holder.pid)
            caches = [n for n in os.listdir(folder) if n.endswith(".cache") or "libvgpu.so" in n]
            report(len(caches) <= 2, "an older monitor finds at most two files")
            holder.stdin.close()
            report(holder.wait() == 0, "the holder leaves")
            watchdog.cancel()
        check_left(path)
    print(f"1..{tests}")
    return 1 if failures else 0


sys.exit(main())
