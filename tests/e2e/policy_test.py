# SPDX-License-Identifier: Apache-2.0
"""The ValidatingAdmissionPolicy: only who has the right writes what device a pod was given."""
import json
import subprocess

from api import Api, Refused, documents
from hami import NS, manifests
from kit import TENANT, test
from nodes import nvidia
from pods import annotation, pod

KEYS = ("hami.io/vgpu-node", "hami.io/vgpu-time", "hami.io/vgpu-devices-to-allocate", "hami.io/vgpu-devices-allocated",
        "hami.io/vgpu-mig-allocations", "hami.io/bind-phase", "hami.io/bind-time", "hami.io/Ascend910B2-devices-allocated",
        "hami.io/mthreads-vgpu-devices-allocated", "hami.io/kunlun-allocated", "hami.io/amd-cu-allocated")
PLUGIN = f"system:serviceaccount:{NS}:hami-device-plugin"


def denied(w, *command, stdin="", user=TENANT):
    r = w.kubectl.try_(*command, "-n", w.ns, f"--as={user}", stdin=stdin)
    return r.returncode != 0 and "assignments.hami.io" in r.stderr


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
    printed = subprocess.run([w.program, "scheduler", "--print=admission-policy", "--enable-ascend", "--enable-iluvatar",
                              f"--device-config-file={w.hami.device_config()}"], capture_output=True, text=True, check=True).stdout
    printed = documents(w.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", stdin=printed))
    assert [o["spec"] for o in printed] == [o["spec"] for o in manifests(w.plane, "policy.yaml")]


@test("policy: both compile without a warning of the API server's")
def _(w):
    policies = w.kubectl.json("get", "validatingadmissionpolicies", "-l", "app.kubernetes.io/name=hami")["items"]
    assert len(policies) == 2 and all(p["status"]["typeChecking"] == {} for p in policies), [p["status"] for p in policies]
