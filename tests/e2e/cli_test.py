# SPDX-License-Identifier: Apache-2.0
"""hami explain and hami yaml against the cluster, and the commands of the documentation."""
import json
import os
import re
import subprocess

from hami import TOP
from kit import test
from nodes import cambricon, nvidia
from pods import devices


def hami(w, *args, stdin=""):
    env = {**os.environ, "KUBECONFIG": w.plane.path("kubeconfig")}
    return subprocess.run([w.program, *args], capture_output=True, text=True, input=stdin, env=env, timeout=60)


@test("cli: what hami yaml writes is placed as it says")
def _(w):
    w.node("gpu-1", nvidia)
    w.node("mlu-1", cambricon)
    written = hami(w, "yaml", "pod", "--name", "one", "--mem", "3000", "--cores", "30", "--uuid", "GPU-gpu-1-1")
    w.kubectl("create", "-n", w.ns, "-f", "-", stdin=written.stdout)
    assert devices(w.bound("one")) == [[("GPU-gpu-1-1", "NVIDIA", 3000, 30)]]
    written = hami(w, "yaml", "pod", "--name", "two", "--vendor", "MLU", "--mem", "5G", "--cores", "10")
    w.kubectl("create", "-n", w.ns, "-f", "-", stdin=written.stdout)
    (_, kind, mem, cores), = devices(w.bound("two"), "hami.io/cambricon-mlu-devices-allocated")[0]
    assert (kind, mem, cores) == ("MLU", 5120, 10)


@test("cli: hami yaml --check says what admission says")
def _(w):
    written = hami(w, "yaml", "job", "--name", "work", "--gpus", "2", "--mem", "3000").stdout
    assert hami(w, "yaml", "--check", "-", stdin=written).returncode == 0
    bad = written.replace("nvidia.com/gpumem:", "nvidia.com/gpumem-percentage: 101\n            nvidia.com/gpumem:")
    r = hami(w, "yaml", "--check", "-", stdin=bad)
    assert r.returncode == 64 and "nvidia.com/gpumem-percentage" in r.stdout + r.stderr, r


@test("cli: hami explain says why a pod waits and what would help")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=8000))
    w.refused_place("waits", gpus=1, mem=9000, cores=1)
    r = hami(w, "explain", "pod", f"{w.ns}/waits")
    assert "CardInsufficientMemory" in r.stdout, r
    helps = int(re.search(r"nvidia\.com/gpumem 9000 -> (\d+)", r.stdout)[1])
    w.place("helped", gpus=1, mem=helps, cores=1)
    answer = json.loads(hami(w, "explain", "pod", f"{w.ns}/waits", "--json").stdout)
    assert "CardInsufficientMemory" in json.dumps(answer), answer


@test("cli: hami explain answers the same from a snapshot of the scheduler, without the cluster")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=8000))
    w.refused_place("waits", gpus=1, mem=9000, cores=1)
    snapshot = w.plane.path("snapshot.json")
    with open(snapshot, "w") as f:
        f.write(w.hami.get("/debug/snapshot")[1])
    live = hami(w, "explain", "pod", f"{w.ns}/waits").stdout
    r = subprocess.run([w.program, "explain", "pod", f"{w.ns}/waits", "--snapshot", snapshot], capture_output=True, text=True,
                       env={**os.environ, "KUBECONFIG": "/nonexistent", "HOME": "/nonexistent"})
    said, live = (re.sub(r"besides\n(  .*\n)+", "", text) for text in (r.stdout, live))  # the pod that it asked with may not have it yet
    assert said == live and "does not fit" in said, (r, live)


@test("docs: the five commands of docs/kubernetes.md are accepted by the API server")
def _(w):
    with open(os.path.join(TOP, "docs", "kubernetes.md")) as f:
        block = re.search(r"in five commands\n.*?```\n(.*?)```", f.read(), re.S)[1]
    commands = block.splitlines()
    assert len(commands) == 5 and commands[0].startswith("docker build")
    for name in ("README.md", "README.zh.md"):
        with open(os.path.join(TOP, name)) as f:
            lines = [line.split("  #")[0].rstrip() for line in f.read().splitlines()]
        assert commands == lines[(at := lines.index(commands[0])):at + 5], name
    for command in commands[1:]:
        if "rollout status" in command:  # nobody runs the pods here
            continue
        if "deploy/scheduler" in command:  # already applied; the webhook's address is ours
            command += " --dry-run=server"
        env = {**w.kubectl.env, "PATH": w.plane.programs + os.pathsep + os.environ["PATH"], "IMAGE": "registry.example/hami:1",
               "KUBE_SCHEDULER_IMAGE": "registry.example/kube-scheduler:1"}
        r = subprocess.run(["sh", "-c", command + ("" if "-n " in command else f" -n {'kube-system' if 'scheduler' in command else w.ns}")],
                           cwd=TOP, env=env, capture_output=True, text=True)
        assert r.returncode == 0, (command, r)
    w.node("gpu-1", nvidia)
    w.eventually(lambda: len(w.api.list("pods", w.ns, labelSelector="app=shared")) == 2, "the example has its pods")
    w.all_bound([p["metadata"]["name"] for p in w.api.list("pods", w.ns, labelSelector="app=shared")])


@test("docs: the image has every library that hami is linked with")
def _(w):
    linked = subprocess.run(["ldd", w.program], capture_output=True, text=True, check=True).stdout
    needed = subprocess.run(["readelf", "-d", w.program], capture_output=True, text=True, check=True).stdout
    packages = set()
    for name in re.findall(r"Shared library: \[(.*?)\]", needed):
        path = re.search(rf"{re.escape(name)} => (\S+)", linked)
        if path:
            owner = subprocess.run(["dpkg", "-S", os.path.realpath(path[1])], capture_output=True, text=True)
            packages |= {owner.stdout.split(":")[0]} if owner.returncode == 0 else set()
    with open(os.path.join(TOP, "deploy", "Dockerfile")) as f:
        image = f.read()
    assert packages and not {p for p in packages - {"libc6", ""} if p not in image}, packages
