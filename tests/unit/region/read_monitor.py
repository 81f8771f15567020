#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The field's monitor, a Go program, adds up a live region correctly.

    read_monitor.py HOLDER READER
"""
import os
import subprocess
import sys
import tempfile


def expected(pid):
    return f"""magic 19920718
version 1 2
devices 3
device 0 GPU-aaaa 1000000 30 3120 100 20 3000
device 1 GPU-bbbb 2000000 0 0 0 0 0
device 2 GPU-cccc 0 100 70 0 0 70
processes 1 first {pid} 1
switch 1 recent 2 priority 1
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vgpu.cache")
        with subprocess.Popen([sys.argv[1], path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdout.readline()
            seen = subprocess.run([sys.argv[2], path], capture_output=True, text=True, timeout=60)
            holder.stdin.close()
            want = expected(holder.pid)
    good = seen.returncode == 0 and seen.stdout == want
    print(f"{'ok' if good else 'not ok'} 1 a_monitor_written_in_go_reads_the_region")
    if not good:
        print("".join(f"# {line}\n" for line in (seen.stdout + seen.stderr).splitlines()))
    print("1..1")
    return 0 if good else 1


sys.exit(main())
