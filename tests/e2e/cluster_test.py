# SPDX-License-Identifier: Apache-2.0
"""The testbed itself: it works, and nothing of it stays behind."""
import os
import signal
import subprocess
import sys

from kit import test
from nodes import nvidia

CLUSTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cluster")


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


@test("testbed: a control plane that is killed leaves no process behind")
def _(w):
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen([sys.executable, CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            said = []
            for line in p.stdout:
                said.append(line)
                if line == "ready\n":
                    break
            pids = next((line.split()[1:] for line in said if line.startswith("pids ")), [])
            assert len(pids) == 3, said
            assert not any(gone(pid) for pid in pids)
            p.send_signal(number)
        w.eventually(lambda: all(gone(pid) for pid in pids), f"etcd, API server and controller manager end with {number}")


@test("testbed: simulated nodes stay ready and untainted")
def _(w):
    w.node("gpu-1", nvidia)
    n = w.api.get("nodes", None, "gpu-1")
    assert not n["spec"].get("taints") and n["status"]["conditions"][0]["status"] == "True", n
