# SPDX-License-Identifier: Apache-2.0
"""The control plane's one binary (kube/): found in the cache, or built once.

The cache folder is named after what the binary is made of, so that another
version never takes the place of this one, and a build that was interrupted
leaves nothing behind. The first build takes minutes (2600 packages) and prints
how far it is; a machine whose Go is too old gets a newer one (toolchain.py);
a machine without Go or without the modules is told why it has no control plane.

    python3 tests/e2e/kube.py    builds it, and says where it is
"""
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import toolchain

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kube")
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "extender")
LIST_LIMIT_S, BUILD_LIMIT_S, REPORT_S = 600, 1800, 30
NEEDED_DISK = 7 << 30


class Absent(Exception):
    """There is no control plane to be had here; the text says why."""


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    digest = hashlib.sha256()
    for name in sorted(os.listdir(SOURCE)):
        with open(os.path.join(SOURCE, name), "rb") as f:
            digest.update(hashlib.sha256(f.read()).digest())
    return os.path.join(cache, "hami", "kube-" + digest.hexdigest()[:16])


def find(say=print):
    """The folder with the programs; builds it unless HAMI_E2E_BUILD=0. Raises Absent or CalledProcessError."""
    folder = cache_folder()
    if os.path.exists(os.path.join(folder, "kube")):
        return folder
    if os.environ.get("HAMI_E2E_BUILD") == "0":
        raise Absent("the control plane is not built and HAMI_E2E_BUILD=0 forbids it; run `make e2e` once")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two that want it one builds
        if not os.path.exists(os.path.join(folder, "kube")):
            build(folder, go_environment(say), say)
    return folder


def go_environment(say):
    with open(os.path.join(SOURCE, "go.mod")) as f:
        needed = toolchain.version_of(re.search(r"^go .*$", f.read(), re.M)[0])
    try:
        return toolchain.environment(needed, os.path.dirname(cache_folder()), lambda text: say("kube: " + text))
    except toolchain.Absent as why:
        raise Absent(f"the control plane is built with Go: {why}") from None


def packages(env):
    """All packages of the program; downloads the modules on the way."""
    try:
        r = subprocess.run(["go", "list", "-deps", "."], cwd=SOURCE, env=env, capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=LIST_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Absent(f"the control plane's Go modules did not arrive within {LIST_LIMIT_S} s") from None
    if r.returncode != 0:
        raise Absent("the control plane's Go modules cannot be had: " + (r.stderr.strip().splitlines() or ["?"])[-1])
    return len(r.stdout.split())


def link_flags():
    """Without a version in the binary the API server calls itself v0.0.0."""
    with open(os.path.join(SOURCE, "go.mod")) as f:
        version = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\S*)", f.read())
    values = {"gitVersion": version[1], "gitMajor": version[2], "gitMinor": version[3], "gitTreeState": "clean"}
    return "-s -w " + " ".join(f"-X k8s.io/{package}.{key}={value}" for key, value in values.items()
                               for package in ("component-base/version", "client-go/pkg/version"))


def build(folder, env, say):
    cache = subprocess.run(["go", "env", "GOCACHE"], env=env, cwd="/", capture_output=True, text=True).stdout.strip()
    os.makedirs(cache, exist_ok=True)
    if shutil.disk_usage(cache).free < NEEDED_DISK:
        raise Absent(f"building the control plane needs {NEEDED_DISK >> 30} GiB in {cache}")
    start = time.monotonic()
    say("kube: fetching the modules of etcd and Kubernetes")
    total = packages(env)
    say(f"kube: building {total} packages; this is done once and takes minutes")
    unfinished = tempfile.mkdtemp(prefix="kube-", dir=os.path.dirname(folder))
    try:
        compile_into(unfinished, env, total, say)
        for name in PROGRAMS:
            os.symlink("kube", os.path.join(unfinished, name))
        os.chmod(unfinished, 0o755)
        os.rename(unfinished, folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    say(f"kube: built in {time.monotonic() - start:.0f} s: {folder}")


def compile_into(folder, env, total, say):
    # The compiler collects garbage for a fifth of its time, in processes that live for seconds.
    env = {**env, "GOGC": "off", "GOMEMLIMIT": "2GiB"}
    command = ["go", "build", "-v", "-trimpath", "-ldflags", link_flags(), "-o", os.path.join(folder, "kube"), "."]
    done, said, other = 0, time.monotonic(), []
    # timeout(1), because reading the output must not outlive it.
    with subprocess.Popen(["timeout", str(BUILD_LIMIT_S), *command], cwd=SOURCE, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
        for line in p.stderr:
            done += " " not in line.strip()  # -v names one package a line, complaints have words
            other += [line] if " " in line.strip() else []
            if time.monotonic() - said > REPORT_S:
                said = time.monotonic()
                say(f"kube: {done} of {total} packages")
    if p.returncode == 124:
        raise Absent(f"the control plane was not built within {BUILD_LIMIT_S} s ({done} of {total} packages); the next run goes on from there")
    if p.returncode != 0:
        raise subprocess.CalledProcessError(p.returncode, command, stderr="".join(other[-20:]))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the unfinished folder goes
    try:
        print(find(lambda text: print(text, flush=True)))
    except Absent as why_not:
        print(why_not)
