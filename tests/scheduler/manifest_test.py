#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`hami yaml` writes what is asked for and finds what is wrong; `hami explain fit` judges the same request."""
import json
import os
import subprocess

import kit
from contract import world
from kit import node, test


def hami(build, *args, stdin="", env=None):
    return subprocess.run([os.path.join(build, "hami"), *args], capture_output=True, text=True, input=stdin, timeout=60,
                          env={**os.environ, **(env or {})})


def written(build, *flags):
    """Annotations, limits of the pod that the flags make."""
    r = hami(build, "yaml", "pod", "--name", "d", "--json", *flags)
    assert r.returncode == 0, (flags, r)
    pod = json.loads(r.stdout)
    return pod["metadata"].get("annotations", {}), pod["spec"]["containers"][0]["resources"]["limits"]


def check(build, text):
    """rc and findings of --check."""
    r = hami(build, "yaml", "--check", "-", "--json", stdin=text if isinstance(text, str) else json.dumps(text))
    return r.returncode, [(f["level"], f["object"], f["message"]) for f in json.loads(r.stdout)]


@test("yaml: a part that stands in the place of a count is written alone (vendors.md 3.8, 3.11)")
def _(build):
    drs, neuron = "enflame.com/drs-gcu", "aws.amazon.com/neuron"
    for flags, want in ((["--vendor", "Enflame"], {drs: 1}), (["--vendor", "Enflame", "--size", "3"], {drs: 3}),
                        (["--vendor", "Enflame", "--mem", "30G"], {"enflame.com/gcu-memory": 30}),
                        (["--vendor", "Enflame", "--mem", "3000"], {"enflame.com/gcu-memory": 3000}),
                        (["--vendor", "Enflame", "--gpus", "1", "--mem", "6G", "--cores", "40"], {"enflame.com/gcu-memory": 6, "enflame.com/gcu-core": 40}),
                        (["--vendor", "AWSNeuron"], {neuron: 1}), (["--vendor", "AWSNeuron", "--gpus", "4"], {neuron: 4}),
                        (["--vendor", "AWSNeuron", "--cores", "1"], {neuron + "core": 1}), (["--vendor", "AWSNeuron", "--cores", "30"], {neuron + "core": 30})):
        assert written(build, *flags)[1] == want, (flags, written(build, *flags), want)
    for flags, says in ((["--vendor", "Enflame", "--gpus", "2"], "--gpus 2: a container gets one slice"), (["--vendor", "Enflame", "--size", "2", "--mem", "6G"], "--size 2"),
                        (["--vendor", "AWSNeuron", "--gpus", "2", "--cores", "2"], "--gpus 2"), (["--size", "2"], "--size 2: NVIDIA GPU"),
                        (["--vendor", "AWSNeuron", "--cores", "3"], "neuroncore] is \"3\"")):
        r = hami(build, "yaml", "pod", "--name", "d", *flags)
        assert r.returncode == 64 and says in r.stderr and not r.stdout, (flags, r)


@test("yaml: Ascend's mode and MetaX' annotations can be written")
def _(build):
    assert written(build, "--vendor", "Ascend910B3", "--cores", "30", "--mem", "8G", "--mode", "hami-core") == (
        {"huawei.com/vnpu-mode": "hami-core"}, {"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-memory": 8192, "huawei.com/Ascend910B3-core": 30})
    r = hami(build, "yaml", "pod", "--name", "d", "--vendor", "Ascend910B3", "--cores", "30")
    assert r.returncode == 64 and "--cores 30" in r.stderr and "--mode hami-core" in r.stderr, r
    metax = "metax-tech.com/sgpu-"
    assert written(build, "--vendor", "Metax-SGPU", "--qos", "fixed-share", "--app-class", "offline", "--topology", "true")[0] == {
        metax + "qos-policy": "fixed-share", metax + "app-class": "offline", metax + "topology-aware": "true"}
    for flag in ("--qos", "--app-class", "--topology"):
        r = hami(build, "yaml", "pod", "--name", "d", flag, "true")
        assert r.returncode == 64 and flag + " true: NVIDIA GPU" in r.stderr, r
    r = hami(build, "yaml", "pod", "--name", "d", "--vendor", "MLU", "--mode", "mig")
    assert r.returncode == 64 and "--mode mig: Cambricon MLU" in r.stderr, r


@test("yaml: values that admission refuses are not written")
def _(build):
    sgpu = ["--vendor", "Metax-SGPU"]
    for flags, says in ((["--weights", "a"], "device-scoring-weights"), (["--mode", "x"], "vgpu-mode"), (["--node-policy", "x"], "node-scheduler-policy"),
                        (["--gpu-policy", "x"], "gpu-scheduler-policy"), (["--vendor", "DCU", "--uuid", "A", "--gpus", "2"], "use-gpuuuid"),
                        ([*sgpu, "--qos", "x"], "sgpu-qos-policy"), ([*sgpu, "--app-class", "x"], "sgpu-app-class"), ([*sgpu, "--topology", "x"], "sgpu-topology-aware"),
                        (["--vendor", "Mthreads", "--mem", "3"], "sgpu-memory")):
        for verb in (["yaml", "pod", "--name", "d"], ["yaml", "job", "--name", "d"]):
            r = hami(build, *verb, *flags)
            assert r.returncode == 64 and says in r.stderr and not r.stdout, (flags, r)


if __name__ == "__main__":
    kit.main()
