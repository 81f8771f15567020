#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A thousand nodes of eight cards in a control group of 32 MiB: does the scheduler live in it?"""
import gzip
import os
import sys
import time

import kit
from kit import node, pod, slice_of, test

LIMIT = 32 << 20
NODES, PODS = 1000, 500
V2, V1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"


class Absent(Exception):
    pass


class Group:
    """A control group below the one we are in (version 2), or of the memory controller (version 1)."""

    def __init__(self):
        self.v2 = os.path.exists(V2 + "/cgroup.controllers")
        mine = [line.strip().split(":", 2) for line in open("/proc/self/cgroup")]
        names = [path for _, controllers, path in mine if ("memory" in controllers.split(",")) or (self.v2 and controllers == "")]
        if not names:
            raise Absent("there is no memory controller")
        top = V2 if self.v2 else V1
        above = top + names[0] if os.path.isdir(top + names[0]) else top
        self.path = f"{above.rstrip('/')}/hami-test-{os.getpid()}"
        limit, swap = ("memory.max", "memory.swap.max") if self.v2 else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        try:
            os.mkdir(self.path)
            self._write(limit, LIMIT)
        except OSError as why:
            self.remove()
            raise Absent(f"no control group may be made: {why.strerror} ({why.filename})")
        try:
            self._write(swap, 0 if self.v2 else LIMIT)
        except OSError:
            pass  # a kernel that does not count swap; then there is more room, as on such a node

    def _write(self, name, value):
        with open(os.path.join(self.path, name), "w") as f:
            f.write(str(value))

    def peak(self):
        """Bytes, 0 where the kernel does not say."""
        path = os.path.join(self.path, "memory.peak" if self.v2 else "memory.max_usage_in_bytes")
        return int(open(path).read()) if os.path.exists(path) else 0

    def kills(self):
        """How often the kernel ended a process for want of memory."""
        text = open(os.path.join(self.path, "memory.events" if self.v2 else "memory.oom_control")).read()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.split()[0] == "oom_kill")

    def remove(self):
        until = time.monotonic() + 5
        while os.path.isdir(self.path) and time.monotonic() < until:
            try:
                os.rmdir(self.path)
            except OSError:
                time.sleep(0.02)


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in f) if k in ("VmHWM", "RssAnon")}


def inside(w, group):
    """From now on the world's hami goes into the group before it starts."""
    path = os.path.join(w.dir, "hami")
    with open(path, "w") as f:
        f.write(f'#!/bin/sh\necho $$ > {group.path}/cgroup.procs && exec {w.build}/hami "$@"\n')
    os.chmod(path, 0o755)
    w.build = w.dir
    return w


@test("1000 nodes of eight cards and 500 pods with cards fit into 32 MiB, listed, placed, bound and scraped")
def _(build):
    group = Group()
    w = kit.World(build)
    try:
        for i in range(NODES):
            w.create(node(f"n{i}", cards=8))
        s = inside(w, group).start("-v", "1", wait=None)
        s.until("hami_scheduler_synced", 1)
        names = [f"n{i}" for i in range(NODES)]
        for i in range(PODS):
            s.place(pod(f"p{i}", slice_of(mem=1000, cores=3)), names)
        assert s.metrics().count("hami_vgpu_memory_allocated_bytes{") == PODS
        assert gzip.decompress(s.packed_metrics()[1]).count(b"hami_vgpu_memory_allocated_bytes{") == PODS
        use = resident(s.process.p.pid)
        print(f"# peak of the group {group.peak() >> 20} MiB, resident {use['VmHWM'] >> 10} MiB of which anonymous at the end {use['RssAnon'] >> 10} MiB")
        assert group.kills() == 0
        assert s.process.p.poll() is None
    finally:
        w.close()
        group.remove()


if __name__ == "__main__":
    try:
        Group().remove()
    except Absent as why:
        print(f"1..1\nok 1 - a scheduler in 32 MiB # SKIP {why}")
        sys.exit(0)
    kit.main()
