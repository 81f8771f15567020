# SPDX-License-Identifier: Apache-2.0
"""The ValidatingAdmissionPolicy: only who has the right writes what device a pod was given."""
import contextlib
import json
import re
import subprocess
import time

from api import Api, Refused, documents
from hami import NS, manifests
from kit import TENANT, note, test
from nodes import nvidia
from pods import annotation, container, pod

KEYS = ("hami.io/vgpu-node", "hami.io/vgpu-time", "hami.io/vgpu-devices-to-allocate", "hami.io/vgpu-devices-allocated",
        "hami.io/vgpu-mig-allocations", "hami.io/bind-phase", "hami.io/bind-time", "hami.io/Ascend910B2-devices-allocated",
        "hami.io/mthreads-vgpu-devices-allocated", "hami.io/kunlun-allocated", "hami.io/amd-cu-allocated")
PLUGIN = f"system:serviceaccount:{NS}:hami-device-plugin"


def denied(w, *command, stdin="", user=TENANT):
    r = w.kubectl.try_(*command, "-n", w.ns, f"--as={user}", stdin=stdin)
    return r.returncode != 0 and "assignments.hami.io" in r.stderr


def printed(w, *flags):
    command = [w.program, "scheduler", "--print=admission-policy", "--scheduler-name=hami-scheduler", "--enable-ascend", "--enable-iluvatar",
               f"--device-config-file={w.hami.device_config()}", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def documents_of(w, text):
    found = documents(w.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", stdin=text))
    return [(o["metadata"]["name"], o["spec"]) for o in found]


def raw_binding(w, name, user, **annotations):
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "annotations": annotations},
            "target": {"kind": "Node", "name": "gpu-1"}}
    return w.kubectl.try_("create", "--raw", f"/api/v1/namespaces/{w.ns}/pods/{name}/binding", f"--as={user}", "-f", "-", stdin=body)


@test("policy: nobody makes a pod that says it was given something")
def _(w):
    for number, key in enumerate(KEYS):
        assert denied(w, "create", "-f", "-", stdin=pod(f"p{number}", annotations={key: "x"})), key


@test("policy: what a pod was given is neither changed nor removed, whichever way")
def _(w):
    w.node("gpu-1", nvidia)
    p = w.place("one", gpus=1, mem=3000)
    for key in ("hami.io/vgpu-node", "hami.io/vgpu-devices-allocated"):
        assert denied(w, "annotate", "pod", "one", f"{key}=x", "--overwrite")
        assert denied(w, "annotate", "pod", "one", f"{key}-")
        patch = json.dumps({"metadata": {"annotations": {key: "x"}}})
        assert denied(w, "patch", "pod", "one", "--type=merge", "-p", patch)
    assert denied(w, "annotate", "pod", "one", "hami.io/bind-phase=failed", "--overwrite")
    now = w.get("one")
    assert all(annotation(now, k) == v for k, v in p["metadata"]["annotations"].items())


@test("policy: a status update is no way round")
def _(w):
    w.node("gpu-1", nvidia)
    w.place("one", gpus=1, mem=3000)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "status"},
            "rules": [{"apiGroups": [""], "resources": ["pods/status", "pods/binding"], "verbs": ["*"]}]}
    w.create(role)
    w.kubectl("create", "rolebinding", "status", "-n", w.ns, "--role=status", f"--user={TENANT}")
    patch = json.dumps({"metadata": {"annotations": {"hami.io/vgpu-devices-allocated": "x"}}})
    assert denied(w, "patch", "pod", "one", "--subresource=status", "--type=merge", "-p", patch)
    free = json.dumps({"metadata": {"annotations": {"example.com/x": "y"}}})
    w.kubectl("patch", "pod", "one", "-n", w.ns, f"--as={TENANT}", "--subresource=status", "--type=merge", "-p", free)
    w.create(pod("two", spec={"schedulerName": "another"}))
    r = raw_binding(w, "two", TENANT, **{"hami.io/vgpu-devices-allocated": "x"})
    assert r.returncode != 0 and "assignments.hami.io" in r.stderr, r
    r = raw_binding(w, "two", TENANT, **{"example.com/x": "y"})
    assert r.returncode == 0, r


@test("policy: everything else about a pod is the user's")
def _(w):
    w.node("gpu-1", nvidia)
    wishes = {"hami.io/gpu-scheduler-policy": "binpack", "hami.io/node-scheduler-policy": "spread", "nvidia.com/use-gputype": "A100"}
    w.create(pod("one", gpus=1, mem=3000, annotations=wishes), user=TENANT)
    w.bound("one")
    w.kubectl("annotate", "pod", "one", "-n", w.ns, f"--as={TENANT}", "example.com/x=y", "hami.io/gpu-scheduler-policy=spread", "--overwrite")
    w.kubectl("label", "pod", "one", "-n", w.ns, f"--as={TENANT}", "a=b")
    w.kubectl("delete", "pod", "one", "-n", w.ns, f"--as={TENANT}", "--force", "--grace-period=0")


@test("policy: the device plugin says what it made of an assignment")
def _(w):
    w.node("gpu-1", nvidia)
    w.place("one", gpus=1, mem=3000)
    w.kubectl("create", "rolebinding", "plugin", "-n", w.ns, "--clusterrole=edit", f"--serviceaccount={NS}:hami-device-plugin")
    w.kubectl("annotate", "pod", "one", "-n", w.ns, f"--as={PLUGIN}", "hami.io/bind-phase=success", "hami.io/vgpu-devices-to-allocate=;;",
              "--overwrite")
    assert annotation(w.get("one"), "hami.io/bind-phase") == "success"


@test("policy: an agent writes on the pods of its own node")
def _(w):
    for node in ("gpu-1", "gpu-2"):
        w.node(node, nvidia)
    w.place("mine", gpus=1, mem=3000, spec={"nodeSelector": {"kubernetes.io/hostname": "gpu-1"}})
    w.place("other", gpus=1, mem=3000, spec={"nodeSelector": {"kubernetes.io/hostname": "gpu-2"}})
    w.kubectl("create", "rolebinding", "agent", "-n", w.ns, "--clusterrole=edit", f"--serviceaccount={w.ns}:default")
    agent = w.place("agent", spec={"nodeSelector": {"kubernetes.io/hostname": "gpu-1"}, "schedulerName": "hami-scheduler"})
    bound_to = {"kind": "Pod", "apiVersion": "v1", "name": "agent", "uid": agent["metadata"]["uid"]}
    as_agent = Api(w.plane.port, w.plane.pki, token=w.plane.token(w.ns, "default", bound_to))
    done = {"metadata": {"annotations": {"hami.io/vgpu-devices-to-allocate": ";"}}}
    as_agent.patch("pods", "mine", done, w.ns)
    try:
        as_agent.patch("pods", "other", done, w.ns)
    except Refused as why:
        assert "assignments.hami.io" in str(why)
        return
    raise AssertionError("wrote on a pod of another node")


@test("policy: it is the one that hami prints for the device configuration")
def _(w):
    assert documents_of(w, printed(w)) == [(o["metadata"]["name"], o["spec"]) for o in manifests(w.plane, "policy.yaml")]


@test("policy: all compile without a warning of the API server's")
def _(w):
    policies = w.kubectl.json("get", "validatingadmissionpolicies", "-l", "app.kubernetes.io/name=hami")["items"]
    wrong = {p["metadata"]["name"]: p["status"]["typeChecking"] for p in policies if p["status"]["typeChecking"] != {}}
    assert len(policies) == 12 and not wrong, (len(policies), wrong)


# ---- the webhook's checks, without the webhook


GPU = {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 1000}
PRIVILEGED = {"securityContext": {"privileged": True}}


def env(**values):
    return {"env": [{"name": "A", "value": "all"}] + [{"name": "NVIDIA_VISIBLE_DEVICES", **values}]}


def notes(limits=GPU, **annotations):
    keys = {"node": "hami.io/node-scheduler-policy", "card": "hami.io/gpu-scheduler-policy", "mode": "nvidia.com/vgpu-mode",
            "weights": "hami.io/device-scoring-weights", "numa": "nvidia.com/numa-bind", "soft": "huawei.com/vnpu-mode",
            "topology": "metax-tech.com/sgpu-topology-aware", "use": "nvidia.com/use-gpuuuid", "nouse": "nvidia.com/nouse-gpuuuid",
            "type": "nvidia.com/use-gputype", "notype": "nvidia.com/nouse-gputype"}
    return pod("p", limits=limits, annotations={keys.get(k, k): v for k, v in annotations.items()})


def two(first, second):
    return pod("p", containers=[container("main", GPU, **first), container("other", **second)])


ASCEND = {"huawei.com/Ascend910B3": 1}
# By check: pods that it refuses, in the webhook's words.
WRONG = {
    "privileged": [two(PRIVILEGED, {}), two({}, PRIVILEGED),
                   pod("p", containers=[container("main", ASCEND)], init=[container("first", **PRIVILEGED)])],
    "visible-all": [two(env(value="all"), {}), two({}, env(value="all"))],
    "visible-cards": [two(env(value="0"), {}), two({}, env(value="GPU-1,GPU-2")), two(env(value="GPU-" + "x" * 80), {}),
                      two(env(valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}), {})],
    "policy": [notes(node="binpak"), notes(card="spread,\tbinpak binpack"), notes(card="x" * 70)],
    "mode": [notes(mode="hami-core|mpi"), notes(limits=ASCEND, soft="hamicore"), notes(limits=ASCEND, soft="hami-core ")],
    "weights": [notes(weights="slot=1"), notes(weights="slot=0,core=0,memory=0"), notes(weights="slot=1,core=1,core=1"),
                notes(weights="slot=1,core=1,memory=1,"), notes(weights="slot=1,core=x,memory=1")],
    "switch": [notes(numa="yes"), notes(limits={"metax-tech.com/sgpu": 1}, topology="2")],
    "contradiction": [
        notes(use="GPU-1, GPU-2", nouse="GPU-3,GPU-2"), notes(limits={"kunlunxin.com/vxpu": 1}, **{"hami.io/use-xpu-uuid": "X", "baidu.com/nouse-gpuuuid": "X"}),
        notes(type="A100-SXM4,A100-PCIE", notype="a100"), notes(limits={"nvidia.com/gpu": 3}, use="GPU-1,,GPU-2", mode="hami-core"),
        notes(limits={"hygon.com/dcunum": 2}, **{"hygon.com/use-gpuuuid": "DCU-1"}),
        notes(limits={"aws.amazon.com/neuron": 1, "aws.amazon.com/neuroncore": 2}), notes(limits={"enflame.com/drs-gcu": 1, "enflame.com/gcu-memory": 6})],
    "quantity": [notes(limits={"nvidia.com/gpu": 129}), notes(limits={"nvidia.com/gpu": 1, "nvidia.com/gpumem": "16Gi"}),
                 notes(limits={"nvidia.com/gpu": 1, "nvidia.com/gpumem": 2**31}), notes(limits={"nvidia.com/gpu": 1, "nvidia.com/gpucores": 2**31}),
                 notes(limits={"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": 2**21 + 1})]}

UUIDS = ",".join(f"GPU-{n:08x}-0000-0000-0000-000000000000" for n in range(128))
OTHERS = UUIDS.replace("GPU-", "GPU-f")
# What is right, or nothing of ours: neither webhook nor policy say a word.
RIGHT = {
    "privileged without cards": pod("p", containers=[container("main", **PRIVILEGED)]),
    "a variable without cards": pod("p", containers=[container("main", **env(value="all"))]),
    "a variable of NVIDIA's beside another's cards": pod("p", containers=[container("main", {"hygon.com/dcunum": 1}, **env(value="all"))]),
    "no cards visible": two(env(value="none"), env(value="")),
    "the last variable counts": pod("p", containers=[container("main", GPU, env=env(value="all")["env"] + env(value="void")["env"])]),
    "words": notes(node=" spread x", card="binpack , numa\tmutex,,topology-aware", mode="mig;hami-core+mps", numa="T", weights=" slot = 00,core=2 , memory=10"),
    "blanks": notes(node=" ", card=",", mode=" \t", numa=" ", weights=" ", use=" , ", nouse=""),
    "words of families that are not asked for": notes(soft="x", topology="x", **{"hygon.com/use-gpuuuid": "A", "hygon.com/nouse-gpuuuid": "A"}),
    "instances of few named cards": notes(limits={"nvidia.com/gpu": 4}, use="GPU-1", mode="mig"),
    "instances, perhaps": notes(limits={"nvidia.com/gpu": 4}, use="GPU-1"),
    "a type that is left": notes(type="A100-SXM4,H100", notype="a100"),
    "units": notes(limits={"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": "4096Mi"}),
    "the largest": notes(limits={"nvidia.com/gpu": 128, "nvidia.com/gpumem": 2**31 - 1}),
    "another scheduler's": pod("p", containers=[container("main", GPU, **PRIVILEGED)], spec={"schedulerName": "volcano"}),
    "much of everything": pod("p", containers=[container(f"c{n}", GPU, **env(value="none")) for n in range(60)],
                              annotations={"nvidia.com/use-gpuuuid": UUIDS, "nvidia.com/nouse-gpuuuid": OTHERS, "nvidia.com/use-gputype": "A100," * 31 + "H100",
                                           "nvidia.com/nouse-gputype": ",".join(f"V{n}" for n in range(32)), "nvidia.com/vgpu-mode": "hami-core"})}

# Made to be costly: whatever becomes of them, the API server has the time for it (an answer after 34 s is "Timeout").
COSTLY = [notes(use="a," * 60000, nouse="b," * 60000), notes(card="numa " * 50000), notes(type="a," * 60000, notype="b," * 60000),
          pod("p", containers=[container(f"c{n}", GPU) for n in range(500)]),
          pod("p", containers=[container("main", GPU, env=env(value="none")["env"] * 500)])]


@contextlib.contextmanager
def without_webhook(w):
    """Deleted, and the API server knows: a bare card is not made exclusive any more."""
    w.kubectl("delete", "mutatingwebhookconfiguration", "hami-webhook")
    try:
        w.eventually(lambda: "nvidia.com/gpucores" not in made(w, pod("p", gpus=1))[1], "the webhook is asked no more")
        yield
    finally:
        w.hami.serve_webhook()
        w.webhook_works()


def made(w, p):
    """(refused?, text) of an attempt."""
    r = w.kubectl.try_("create", "--dry-run=server", "-o", "json", "-n", w.ns, "-f", "-", stdin=p)
    return r.returncode != 0, r.stderr if r.returncode else r.stdout + r.stderr


def sentence(text, by):
    """The first fault that was named, without a guess at what was meant."""
    found = re.search(by + r" denied (?:the )?request: (.*)", text)
    return found and found[1].split("; did you mean")[0].strip()


@test("policy: without the webhook each of its checks is made, in its words")
def _(w):
    wrong, said = [], {}
    for check, pods in WRONG.items():
        for n, p in enumerate(pods):
            said[check, n] = sentence(made(w, p)[1], 'webhook "vgpu.hami.io"')
            if not said[check, n]:
                wrong.append(f"{check} {n}: the webhook says nothing: {made(w, p)}")
    for name, p in RIGHT.items():
        if made(w, p)[0]:
            wrong.append(f"{name}: the webhook refuses it: {made(w, p)[1][:500]}")
    with without_webhook(w):
        for check, pods in WRONG.items():
            for n, p in enumerate(pods):
                text = made(w, p)[1]
                if sentence(text, f"ValidatingAdmissionPolicy 'hami-{check}' with binding 'hami-{check}'") != said[check, n]:
                    wrong.append(f"{check} {n}: {said[check, n]!r} but {text[:700]}")
        for name, p in RIGHT.items():
            refused, text = made(w, p)
            if refused:
                wrong.append(f"{name}: {text[:700]}")
        for n, p in enumerate(COSTLY):
            since = time.monotonic()
            refused, text = made(w, p)
            note(f"costly {n}: {time.monotonic() - since:.2f} s")
            if refused and "hami-" not in text:
                wrong.append(f"costly {n}: {text[:700]}")
    assert not wrong, "\n".join(wrong)


@test("policy: labels that say what was given are as little the user's")
def _(w):
    assert denied(w, "create", "-f", "-", stdin=pod("one", labels={"hami.io/vgpu-node": "x", "hami.io/webhook": "ignore"}))
    assert denied(w, "create", "-f", "-", stdin=pod("two", annotations={"hami.io/vgpu-new": "x"}, labels={"hami.io/webhook": "ignore"}))


@test("policy: each check can be lowered by itself")
def _(w):
    lowered = {name: spec.get("validationActions") for name, spec in documents_of(w, printed(w, "--admission-check=privileged=warn,policy=off,forged=warn"))
               if "validationActions" in spec}
    names = {"hami-" + name for name in WRONG} | {"hami-assignments", "hami-ephemeral-privileged", "hami-ephemeral-visible"}
    assert set(lowered) == names - {"hami-policy"}, lowered
    assert {name for name, actions in lowered.items() if actions == ["Warn"]} == {"hami-privileged", "hami-assignments", "hami-ephemeral-privileged"}, lowered
    with without_webhook(w):
        change = lambda actions: w.kubectl("patch", "validatingadmissionpolicybinding", "hami-privileged", "--type=merge", "-p",
                                           json.dumps({"spec": {"validationActions": actions}}))
        change(lowered["hami-privileged"])
        try:
            w.eventually(lambda: not made(w, WRONG["privileged"][0])[0], "it is only warned of")
            assert "container main is privileged" in made(w, WRONG["privileged"][0])[1]
            assert made(w, WRONG["visible-all"][0])[0], "another check is as it was"
        finally:
            change(["Deny"])
            w.eventually(lambda: made(w, WRONG["privileged"][0])[0], "it is refused again")
