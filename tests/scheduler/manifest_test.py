#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`hami yaml` writes what is asked for and finds what is wrong; `hami explain fit` judges the same request."""
import json
import os
import re
import subprocess
import tempfile

import kit
from contract import capacity_node, mark, world
from kit import node, slice_of, test


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


@test("yaml: the default image has something to do where it is to go on; a job and an image of one's own have not")
def _(build):
    for flags, want in ((["pod"], ["sleep", "infinity"]), (["deployment"], ["sleep", "infinity"]), (["job"], None), (["pod", "--image", "busybox"], None)):
        r = hami(build, "yaml", flags[0], "--name", "d", "--json", *flags[1:])
        spec = json.loads(r.stdout)["spec"]
        assert spec.get("template", {}).get("spec", spec)["containers"][0].get("command") == want, (flags, r)
    own = hami(build, "yaml", "pod", "--name", "d", "--json", "--", "env")
    assert json.loads(own.stdout)["spec"]["containers"][0]["command"] == ["env"], own


@test("a file that is not there is named once, with the flag and the reason")
def _(build):
    for flags, says in ((["yaml", "--check", "/no/such"], "hami yaml: /no/such: No such file or directory"),
                        (["explain", "fit", "--snapshot", "/no/such"], "hami explain: --snapshot /no/such: No such file or directory"),
                        (["explain", "fit", "--kubeconfig", "/no/such"], "hami explain: /no/such: No such file or directory"),
                        (["yaml", "pod", "--name", "d", "--device-config-file", "/no/such"], "hami yaml: --device-config-file /no/such: No such file or directory"),
                        (["scheduler", "--device-config-file", "/no/such"], "hami scheduler: --device-config-file /no/such: No such file or directory")):
        r = hami(build, *flags)
        assert r.returncode == 70 and r.stderr == says + "\n", (flags, r)


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


@test("yaml: a family without memory takes neither amount nor percentage, and says so of both")
def _(build):
    for vendor in ("Metax-GPU", "GCU", "kunlun", "AWSNeuron", "Vastai", "Biren"):
        for mem in ("25%", "1G"):
            r = hami(build, "yaml", "pod", "--name", "d", "--vendor", vendor, "--mem", mem)
            assert r.returncode == 64 and "not divided by memory; leave it out" in r.stderr, (vendor, mem, r)


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


def pod_spec(limits, requests=None):
    return {"containers": [{"name": "c", "image": "x", "resources": {"limits": limits, **({"requests": requests} if requests else {})}}]}


def pod(limits=None, annotations=None, requests=None):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "d", "annotations": annotations or {}},
            "spec": pod_spec({"nvidia.com/gpu": 1} if limits is None else limits, requests)}


@test("yaml --check finds names that are nearly known ones, and what the API server refuses")
def _(build):
    gpu = {"nvidia.com/gpu": 1}
    for what, level, *says in ((pod({**gpu, "nvidia.com/gpu-mem": 3000}), "warning", "limits[nvidia.com/gpu-mem]", "did you mean nvidia.com/gpumem?"),
                               (pod({**gpu, "nvidia.co/gpucores": 30}), "warning", "did you mean nvidia.com/gpucores?"),
                               (pod(gpu, {"hami.io/gpu-schedular-policy": "spread"}), "warning", "did you mean hami.io/gpu-scheduler-policy?"),
                               (pod(gpu, {"nvidia.com/use-gpuuid": "A"}), "warning", "did you mean nvidia.com/use-gpuuuid?"),
                               (pod(gpu, {"nvidia.com/numa-bind": True}), "error", "annotation nvidia.com/numa-bind", "true is not a text", "in quotes"),
                               (pod(gpu, {"example.org/x": 1}), "error", "annotation example.org/x", "1 is not a text"),
                               (pod({}, requests=gpu), "error", "requests[nvidia.com/gpu] has no limit", "resources.limits"),
                               (pod(gpu, requests={"nvidia.com/gpumem": 10}), "error", "requests[nvidia.com/gpumem] has no limit")):
        rc, found = check(build, what)
        assert rc == 64 and any(f[0] == level and f[1] == "Pod default/d" and all(s in f[2] for s in says) for f in found), (what, rc, found)
    for what in (pod({**gpu, "cpu": 1, "example.org/gpu": 1}, {"example.org/x": "y", "hami.io/gpu-scheduler-policy": "spread", "example.org/z": None}), pod({**gpu, "memory": "1Gi"}, requests=gpu),
                 pod({}, requests={"enflame.com/gcu-memory": 6})):  # vendors.md 3.8: the webhook copies it to the limits
        assert check(build, what) == (0, []), (what, check(build, what))
    rc, found = check(build, pod({**gpu, "nvidia.com/gpumem": "16Gi"}, {"hami.io/gpu-scheduler-policy": "binpak"}))
    assert [f[0] for f in found] == ["error"] * len(found) and len(found) >= 2 and not any("; annotation" in f[2] for f in found), found  # one line each
    for limits, says in (({"nvidia.com/gpucores": 130}, "nvidia.com/gpucores] is 130, which is more than a card: it counts as 100"),
                         ({"nvidia.com/gpucores": "101"}, "is 101"), ({"nvidia.com/gpumem": 10, "nvidia.com/gpumem-percentage": 5}, "gpumem-percentage] does not count beside nvidia.com/gpumem")):
        rc, found = check(build, pod({**gpu, **limits}))
        assert rc == 0 and [f[0] for f in found] == ["note"] and says in found[0][2], (limits, found)
    for limits in ({"nvidia.com/gpucores": 100}, {"nvidia.com/gpumem": 0, "nvidia.com/gpumem-percentage": 5}):
        assert check(build, pod({**gpu, **limits})) == (0, []), limits
    rc, found = check(build, pod({**gpu, "nvidia.com/mig-1g.5gb": 1}))  # NVIDIA's own plugin has it
    assert rc == 0 and [f[0] for f in found] == ["note"] and "does not count it" in found[0][2], found


@test("yaml --check looks into every kind that holds a pod, and says when there was none")
def _(build):
    bad = {"metadata": {}, "spec": pod_spec({"nvidia.com/gpu": 1, "nvidia.com/gpumem": "16Gi"})}
    def named(kind, spec=None, **more):
        return {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "a"}, **({"spec": spec} if spec else {}), **more}
    for o, where in ((named("PodTemplate", template=bad), "PodTemplate default/a"), (named("Deployment", {"template": bad}), "Deployment default/a"),
                     (named("CronJob", {"jobTemplate": {"spec": {"template": bad}}}), "CronJob default/a"),
                     (named("Job", {"tasks": [{"name": "t", "template": {"spec": pod_spec({})}}, {"template": bad}]}), "Job default/a spec.tasks[1].template"),
                     (named("PyTorchJob", {"pytorchReplicaSpecs": {"Worker": {"template": bad}}}), "PyTorchJob default/a spec.pytorchReplicaSpecs.Worker.template"),
                     (named("JobSet", {"replicatedJobs": [{"template": {"spec": {"template": bad}}}]}), "JobSet default/a spec.replicatedJobs[0].template.spec.template"),
                     (named("LeaderWorkerSet", {"leaderWorkerTemplate": {"workerTemplate": bad}}), "LeaderWorkerSet default/a spec.leaderWorkerTemplate.workerTemplate"),
                     ({"apiVersion": "v1", "kind": "List", "items": [named("PodTemplate", template=bad)]}, "PodTemplate default/a")):
        rc, found = check(build, o)
        errors = [f for f in found if f[0] == "error"]
        assert rc == 64 and len(errors) == 1 and errors[0][1] == where and "16Gi" in errors[0][2], (o, rc, found)
    for text, says in (("", "empty"), ("---\n# only a remark\n", "empty"), ("hello\n", "document 1 is no object"), ("a: b\n", "apiVersion and kind"),
                       ("- kind: Pod\n", "document 1"), (json.dumps(named("Service")) + "\n---\nkind: Service\n", "document 2"),
                       (json.dumps(named("PodTemplate", template={"spec": pod_spec({"nvidia.com/gpu": 1})})) + "\n---\nx: y\n", "document 2")):
        rc, found = check(build, text)
        errors = [f for f in found if f[0] == "error"]
        assert rc == 64 and len(errors) == 1 and says in errors[0][2], (text, rc, found)
    services = json.dumps(named("Service", {"ports": []})) + "\n---\n" + json.dumps({"apiVersion": "v1", "kind": "List", "items": []})
    r = hami(build, "yaml", "--check", "-", stdin=services)
    assert r.returncode == 0 and r.stdout == "" and "nothing to check: 2 objects" in r.stderr, r
    assert [f[0] for f in check(build, services)[1]] == ["note"] and check(build, services)[0] == 0
    r = hami(build, "yaml", "--check", "-", stdin="{a: b")
    assert r.returncode == 64 and r.stdout == "" and "1:" in r.stderr, r
    r = hami(build, "yaml", "--check", "-", stdin=services + "\n---\n" + json.dumps(named("PodTemplate", template={"spec": pod_spec({"nvidia.com/gpu": 1})})))
    assert r.returncode == 0 and "1 pod, nothing to mend" in r.stdout and r.stderr == "", r


TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


@test("yaml --check says that a pod of another scheduler is left alone, whatever it asks for")
def _(build):
    def of(scheduler, limits):
        spec = {"containers": [{"name": "a", "image": "x", "resources": {"limits": limits}}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {**spec, "schedulerName": scheduler}}
    for limits in ({"nvidia.com/gpu": 1, "nvidia.com/gpumem": 8000}, {}):
        rc, found = check(build, of("volcano", limits))
        assert rc == 0 and len(found) == 1 and found[0][0] == "note" and 'spec.schedulerName is "volcano"' in found[0][2], found
    for own in ("default-scheduler", "hami-scheduler"):
        assert check(build, of(own, {"nvidia.com/gpu": 1})) == (0, []), own
        assert "asks for no accelerator" in check(build, of(own, {}))[1][0][2], own
    r = hami(build, "yaml", "--check", "a.yaml", "b.yaml")
    assert r.returncode == 64 and '--check takes one file, "b.yaml" is one too many' in r.stderr, r
    r = hami(build, "yaml", "pod", "--check", "a.yaml")
    assert r.returncode == 64 and "exclude each other" in r.stderr, r


@test("print: the admission policies are those of deploy/, and follow the levels of the checks")
def _(build):
    command = ["scheduler", "--print=admission-policy", "--scheduler-name=hami-scheduler", "--enable-ascend", "--enable-iluvatar"]
    with open(os.path.join(TOP, "deploy", "scheduler", "policy.yaml")) as f:
        kept = "".join(line for line in f if not line.startswith("#"))
    r = hami(build, *command)
    assert r.returncode == 0 and r.stderr == "" and r.stdout == kept, "deploy/scheduler/policy.yaml is not what is printed"
    with open(os.path.join(TOP, "contract", "admission.def")) as f:
        checks = set(re.findall(r'^ADMIT\(\w+, "([\w-]+)"', f.read(), re.M)) - {"impossible"}  # what the cluster holds no expression knows
    names = {"forged": ["hami-assignments"], **{c: ["hami-" + c] for c in checks - {"forged"}}}
    names["privileged"].append("hami-ephemeral-privileged")
    def actions(*flags):
        return dict(re.findall(r"policyName: (\S+)\n  validationActions: \[(\w+)\]", hami(build, *command, *flags).stdout))
    everything = actions()
    assert set(everything) == {n for l in names.values() for n in l} | {"hami-ephemeral-visible"} and set(everything.values()) == {"Deny"}, everything
    for check in checks:
        warned, off = actions(f"--admission-check={check}=warn"), actions(f"--admission-check={check}=off")
        assert warned == {**everything, **{n: "Warn" for n in names[check]}}, (check, warned)
        assert off == {n: a for n, a in everything.items() if n not in names[check]}, (check, off)
    both = "--admission-check=visible-all=warn,visible-cards="
    assert actions(both + "off")["hami-ephemeral-visible"] == "Warn" and actions(both + "deny")["hami-ephemeral-visible"] == "Deny"


@test("print: whose pods are looked at follows the scheduler's name and whether it takes over others'")
def _(build):
    def condition(*flags):
        text = hami(build, "scheduler", "--print=admission-policy", *flags).stdout
        return re.search(r"is-of-this-scheduler\n    expression: >-\n((?:      .*\n)+)", text)[1]
    own, theirs = "schedulerName == 'mine'", "schedulerName == 'default-scheduler'"
    for flags, has in ((["--scheduler-name=mine"], (True, True)), (["--scheduler-name=mine", "--force-overwrite-default-scheduler=false"], (True, False)), ([], (False, True))):
        text = condition(*flags)
        assert (own in text, theirs in text) == has, (flags, text)


@test("print: keys of device-config.yaml that nothing reads are warned of, as by the service")
def _(build):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write("nvidia:\n  resourceCountName: nvidia.com/gpu\n  resourceCoutName: x\nnvida: {}\n")
        f.flush()
        for what in ("managed-resources", "admission-policy"):
            r = hami(build, "scheduler", f"--print={what}", f"--device-config-file={f.name}")
            warned = [line for line in r.stderr.splitlines() if "level=warn event=device-config" in line and f.name in line]
            assert r.returncode == 0 and len(warned) == 2 and "resourceCoutName" in r.stderr and "nvida" in r.stderr, r.stderr
            assert "nvidia.com/gpu" in r.stdout and "level=" not in r.stdout
        assert hami(build, "scheduler", "--print=managed-resources").stderr == ""


def explain(build, w, *flags):
    return hami(build, "explain", "fit", "--kubeconfig", w.config, *flags)


@test("explain fit: the same request as yaml's, in the family's own terms")
def _(build):
    drs = json.dumps({"devices": [{"index": "0", "minor": "0", "capacity": 6}], "profiles": {"1g.8gb": "0", "4g.32gb": "1", "6g.48gb": "2"}})
    neuron = capacity_node("trn", **{"aws.amazon.com__neuron": 2, "aws.amazon.com__neuroncore": 4})
    with world(build, node("gpu"), neuron, capacity_node("gcu", {"enflame.com/gcu-drs-capacity": drs}, **{"enflame.com__drs-gcu": 6})) as (w, _):
        for flags, says in ((["--vendor", "Enflame", "--mem", "30G"], r"32.0 GiB"), (["--vendor", "AWSNeuron", "--cores", "1"], r", 1 core$"),
                            (["--vendor", "AWSNeuron"], r", 2 cores$"), (["--mem", "3000", "--cores", "30"], r", 30 %$"),
                            (["--mem", "30%"], r", compute not limited$")):
            r = explain(build, w, *flags)
            assert r.returncode == 0 and re.search(says, r.stdout.split("asks for")[0], re.M), (flags, r)


@test("explain fit: --request takes the names and quantities of Kubernetes")
def _(build):
    with world(build, node("gpu", cards=2, mem=8192)) as (w, _):
        def asks(*flags):
            r = explain(build, w, *flags)
            return r.returncode, r.stdout.split("asks for\n")[1].splitlines()[0] if "asks for" in r.stdout else r.stderr
        for flags, want in ((["nvidia.com/gpu=2,nvidia.com/gpumem=8k,nvidia.com/gpucores=30"], (0, "  request: 2 x NVIDIA, 7.8 GiB, 30 %")),
                            (["nvidia.com/gpu=1", "nvidia.com/gpumem=9000"], (66, "  request: 1 x NVIDIA, 8.7 GiB")),
                            (["nvidia.com/gpumem=1024"], (0, "  request: 1 x NVIDIA, 1.0 GiB")),  # scheduler.md 2.4: one card is claimed
                            (["nvidia.com/gpu=1"], (0, "  request: 1 x NVIDIA, 100 % of the memory, 100 %"))):
            got = asks(*[word for f in flags for word in ("--request", f)])
            assert got[0] == want[0] and got[1].startswith(want[1].split(", 100 %")[0]) and got[1].endswith(want[1].split(",")[-1]), (flags, got, want)
        assert asks("--request=nvidia.com/gpu=1", "--type", "A100")[0] == 0 and asks("--request=nvidia.com/gpu=1", "--type", "H100")[0] == 66
        for flags, says in ((["--type", "H100"], "leave out --type H100: fits 1 node"), (["--not-type", "A100"], "leave out --not-type A100: fits 1 node"),
                            (["--uuid", "GPU-x"], "leave out --uuid GPU-x: fits 1 node"), (["--not-uuid", "GPU-gpu-0,GPU-gpu-1"], "leave out --not-uuid GPU-gpu-0,GPU-gpu-1: fits 1 node")):
            told = explain(build, w, *flags).stdout.split("(one of these)\n")[1]
            assert told.strip().startswith(says) and "annotation" not in told.split("nodes\n")[0], (flags, told)
        assert re.search(r"CardTypeMismatch: \S*.*A100", explain(build, w, "--type", "H100").stdout)
        for flags, says in ((["--request", "nvidia.com/gpu-mem=1"], "did you mean nvidia.com/gpumem?"), (["--request", "nvidia.com/gpu"], "RESOURCE=N"),
                            (["--request", "nvidia.com/gpu=1", "--request", "nvidia.com/gpu=2"], "twice"), (["--request", "nvidia.com/gpu=1", "--mem", "3"], "leave one side out"),
                            (["--request", "nvidia.com/gpu=1,nvidia.com/gpumem=16Gi"], "write 16384"), (["--request", ""], "names no resource"),
                            (["--request", "nvidia.com/gpu=x"], "not a number"), (["--request=nvidia.com/gpu=1"] * 33, "32 times at most")):
            r = explain(build, w, *flags)
            assert r.returncode == 64 and "--request" in r.stderr + " --request" and says in r.stderr, (flags, r)
    assert "--request RESOURCE=N,..." in hami(build, "explain", "--help").stdout
    assert written(build, "--request", "hygon.com/dcunum=1,hygon.com/dcumem=2000")[1] == {"hygon.com/dcunum": "1", "hygon.com/dcumem": "2000"}


@test("explain fit: a percentage is answered by an amount, and every reason has a remedy that a cluster offers")
def _(build):
    with world(build, node("gpu", cards=1, mem=8000)) as (w, s):
        s.place(kit.pod("p", slice_of(mem=7904, cores=10)), ["gpu"])
        r = explain(build, w, "--mem", "50%")
        assert r.returncode == 66 and "nvidia.com/gpumem-percentage 50 -> nvidia.com/gpumem 96 fits 1 node" in r.stdout, r
        assert "%" in r.stdout.split("\nnodes\n")[1].splitlines()[1] and "cores" not in r.stdout, r
        assert "CardInsufficientMemory" in r.stdout and "ask for less memory, or wait for pods to end" in r.stdout, r
        mark(w, "gpu", **{"hami.io/device-cordon": "GPU-gpu-0"})
        r = explain(build, w, "--mem", "10")
        assert "CardCordoned" in r.stdout and "hami.io/device-cordon" in r.stdout.split("\nnodes\n")[0], r
        groups = json.loads(explain(build, w, "--mem", "10", "--json").stdout)["groups"]
        assert "hami.io/device-cordon" in groups[0]["remedy"], groups
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contract", "reasons.def")) as f:
        rows = re.findall(r'^REASON\((\w+), ".*?", ".*?",\s*"(.*?)",\s*"(.*?)"\)', f.read(), re.M)
    assert len(rows) == 24, len(rows)
    for symbol, _, cluster in rows:
        assert symbol == "FITS" or cluster and not re.search(r"--|split_count|`|configuration file", cluster), (symbol, cluster)


if __name__ == "__main__":
    kit.main()
