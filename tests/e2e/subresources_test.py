# SPDX-License-Identifier: Apache-2.0
"""What is done to a pod after it was placed, through its subresources: resizing, and containers for debugging."""
import json

from kit import FLAGS, TENANT, test
from nodes import nvidia
from pods import cards, container

NVIDIA_VISIBLE = "NVIDIA_VISIBLE_DEVICES"


def restart(w):
    w.hami.child.kill()
    w.hami.start(*FLAGS)


def full(w):
    """The one card of 10000 MiB has 4000 left for who asks now, and not one more."""
    assert "CardInsufficientMemory" in w.outcome("too-much", gpus=1, mem=4001, cores=1)
    w.delete("too-much")
    assert w.outcome("enough", gpus=1, mem=4000, cores=1) == ""
    w.nothing_is_given_twice()


def may_change_running_pods(w):
    """What Kubernetes' role "admin" leaves out."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "running"},
            "rules": [{"apiGroups": [""], "resources": ["pods/resize", "pods/ephemeralcontainers"], "verbs": ["*"]}]}
    w.create(role)
    w.kubectl("create", "rolebinding", "running", "-n", w.ns, "--role=running", f"--user={TENANT}")


def one(w, **more):
    """A pod that holds 6000 of the one card's 10000 MiB, beside ordinary resources."""
    may_change_running_pods(w)
    w.node("gpu-1", nvidia("gpu-1", cards=1, mem=10000))
    limits = {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": 1, "nvidia.com/gpumem": 6000, "nvidia.com/gpucores": 10}
    return w.place("one", containers=[container("main", limits, **more)])


def resize(w, **amounts):
    """In place, as kubectl does it; dots and slashes of names as they are."""
    amounts = {key: str(value) for key, value in amounts.items()}
    patch = {"spec": {"containers": [{"name": "main", "resources": {"limits": amounts, "requests": amounts}}]}}
    return w.kubectl.try_("patch", "pod", "one", "-n", w.ns, f"--as={TENANT}", "--subresource=resize", "-p", json.dumps(patch))


@test("resize: cpu and memory of a pod with a card change in place, its card stays as it is")
def _(w):
    before = one(w)
    since = w.plane.audit_position()
    done = resize(w, cpu=4, memory="2Gi")
    assert done.returncode == 0 and not done.stderr, done
    after = w.get("one")
    assert after["spec"]["containers"][0]["resources"]["limits"] == {
        "cpu": "4", "memory": "2Gi", "nvidia.com/gpu": "1", "nvidia.com/gpumem": "6k", "nvidia.com/gpucores": "10"}, after["spec"]["containers"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    full(w)
    # The audit log may be late with the binding, which came before.
    assert not [r for r in w.requests(since, "one") if r[0].endswith("hami-scheduler") and r[2] != "binding"]
    restart(w)
    full(w)


@test("resize: the card itself is not resized, and the API server says so")
def _(w):
    before = one(w)
    for amounts in ({"nvidia.com/gpumem": 9000}, {"nvidia.com/gpu": 2}, {"nvidia.com/gpucores": 50}, {"nvidia.com/gpumem": 1000}):
        done = resize(w, **amounts)
        assert done.returncode != 0 and "only cpu and memory resources are mutable" in done.stderr, (amounts, done)
    assert w.get("one")["spec"]["containers"] == before["spec"]["containers"]
    full(w)


def debug(w, name, user=TENANT, **more):
    """kubectl debug's own request; returns the refusal, "" when the container was added."""
    body = {"spec": {"ephemeralContainers": [{"name": name, "image": "none", **more}]}}
    as_user = [f"--as={user}"] if user else []
    done = w.kubectl.try_("patch", "pod", "one", "-n", w.ns, *as_user, "--subresource=ephemeralcontainers", "-p", json.dumps(body))
    return done.stderr if done.returncode else ""


def env(name, value):
    return {"env": [{"name": name, "value": value}]}


@test("debug: an ephemeral container is added to a pod with a card and changes nothing of it")
def _(w):
    before = one(w)
    w.kubectl("debug", "one", "-n", w.ns, f"--as={TENANT}", "--image=none", "--container=look", "--target=main", "--profile=general",
              "--attach=false", "--", "sh")
    after = w.until("one", lambda p: p["spec"].get("ephemeralContainers"), "has its container")
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    w.status("one", phase="Running", ephemeralContainerStatuses=[
        {"name": "look", "image": "none", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": 1}}}])
    full(w)
    restart(w)
    full(w)
    w.delete("one")
    w.place("all", gpus=1, mem=10000, cores=1)


# What an ephemeral container brings along, and the word that its refusal has; None where it is let through.
DEBUGS = {
    "nothing": ({}, None),
    "a variable of its own": (env("DEBUG", "all"), None),
    "every card": (env(NVIDIA_VISIBLE, "all"), NVIDIA_VISIBLE),
    "a card by number": (env(NVIDIA_VISIBLE, "0"), NVIDIA_VISIBLE),
    "a card by name": (env(NVIDIA_VISIBLE, "GPU-gpu-1-0"), NVIDIA_VISIBLE),
    "a card of another family": (env("ASCEND_VISIBLE_DEVICES", "3"), "ASCEND_VISIBLE_DEVICES"),
    "a card from the pod's own fields": (
        {"env": [{"name": NVIDIA_VISIBLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}]}, NVIDIA_VISIBLE),
    "the wish for no card": (env(NVIDIA_VISIBLE, "none"), None),
    "the wish for no card at all": (env(NVIDIA_VISIBLE, "void"), None),
    "a choice among what is there": (env("CUDA_VISIBLE_DEVICES", "0"), None),
    "all rights": ({"securityContext": {"privileged": True}}, "privileged"),
    "ordinary rights": ({"securityContext": {"privileged": False, "runAsUser": 1000}}, None)}


@test("debug: an ephemeral container gets no card beyond those of its pod")
def _(w):
    one(w)
    for number, (name, (more, word)) in enumerate(DEBUGS.items()):
        why = debug(w, f"c{number}", **more)
        if word is None:
            assert not why, (name, why)
        else:
            assert "assignments.hami.io" in why and f"c{number}" in why and (word in why), (name, why)
    added = {c["name"] for c in w.get("one")["spec"]["ephemeralContainers"]}
    assert added == {f"c{n}" for n, (_, word) in enumerate(DEBUGS.values()) if word is None}, added
    why = debug(w, "own", resources={"limits": {"nvidia.com/gpu": "1"}})
    assert "resources" in why and "ephemeral" in why.lower(), why
    full(w)


@test("debug: who may write assignments may look at all of the node, and nobody is held up by what he left behind")
def _(w):
    one(w)
    assert debug(w, "admin", user=None, securityContext={"privileged": True}, **env(NVIDIA_VISIBLE, "all")) == ""
    assert debug(w, "later") == ""


@test("debug: pods without cards are debugged as everywhere")
def _(w):
    may_change_running_pods(w)
    w.node("gpu-1", nvidia)
    w.place("one", spec={"schedulerName": "hami-scheduler"})
    assert debug(w, "root", securityContext={"privileged": True}, **env(NVIDIA_VISIBLE, "all")) == ""


@test("debug: a copy of a pod is a pod of its own, with a card of its own or none")
def _(w):
    one(w)
    copy = ("debug", "one", "-n", w.ns, f"--as={TENANT}", "--image=none", "--container=look", "--profile=general", "--attach=false")
    w.kubectl(*copy, "--copy-to=small", "--set-image=main=other", "--", "sh")
    assert "CardInsufficientMemory" in w.waiting("small")  # 6000 of the 4000 that are left
    w.delete("small")
    kept = w.kubectl.try_(*copy, "--copy-to=forged", "--keep-annotations", "--", "sh")
    assert kept.returncode != 0 and "hami.io/" in kept.stderr, kept
    same = w.kubectl.try_(*copy, "--copy-to=same", "--same-node", "--", "sh")
    assert same.returncode != 0 and "node" in same.stderr, same
    full(w)
    w.node("gpu-2", nvidia("gpu-2", cards=1, mem=10000))
    w.kubectl(*copy, "--copy-to=beside", "--", "sh")
    assert cards(w.bound("beside")) == ["GPU-gpu-2-0"]
    w.nothing_is_given_twice()
