# SPDX-License-Identifier: Apache-2.0
"""deploy/'s rights taken away one by one: what is said, what still works, and that it heals without a restart."""
import json
import os
import re

from hami import ACCOUNT, DEPLOY, NS, USER
from kit import FLAGS, test
from nodes import node, nvidia
from pods import pod

RBAC, BESIDE = (os.path.join(DEPLOY, name) for name in ("rbac.yaml", "rbac-kube-scheduler.yaml"))
STOPS = "no pod with a card is bound"
GOES_ON = "pods with cards are bound"
LATE = "pods with cards are bound, and changes are seen with the next list"
UNUSED = "nothing asks for it in the Deployment's way of running"
# Every right of rbac.yaml: what is lost without it. A get beside a list and a watch is what `hami explain` in the pod asks for;
# leases are written by the kube-scheduler beside us.
RIGHTS = {
    ("nodes", "get"): UNUSED, ("nodes", "list"): STOPS, ("nodes", "watch"): LATE, ("nodes", "patch"): GOES_ON,
    ("pods", "get"): UNUSED, ("pods", "list"): STOPS, ("pods", "watch"): LATE, ("pods", "patch"): GOES_ON,
    ("pods/binding", "create"): STOPS,
    ("resourcequotas", "get"): UNUSED, ("resourcequotas", "list"): STOPS, ("resourcequotas", "watch"): LATE,
    ("events", "create"): GOES_ON, ("events", "patch"): GOES_ON,
    ("mutatingwebhookconfigurations", "get"): GOES_ON, ("mutatingwebhookconfigurations", "patch"): GOES_ON,
    ("mutatingwebhookconfigurations", "list"): GOES_ON, ("mutatingwebhookconfigurations", "watch"): GOES_ON,
    ("assignments", "update"): STOPS,
    ("leases", "create"): UNUSED, ("leases", "list"): STOPS, ("leases", "watch"): LATE,
    ("leases", "get"): UNUSED, ("leases", "update"): UNUSED, ("leases", "patch"): UNUSED}


def roles(w):
    """The two roles of the service account: (kind, arguments of kubectl, rules)."""
    for kind, where in (("clusterrole", ()), ("role", ("-n", NS))):
        yield kind, where, w.kubectl.json("get", kind, ACCOUNT, *where)["rules"]


def rights(w):
    return {(resource, verb) for _, _, rules in roles(w) for r in rules for resource in r["resources"] for verb in r["verbs"]}


def without(rules, resource, verb):
    found = []
    for r in rules:
        verbs = [v for v in r["verbs"] if resource not in r["resources"] or v != verb]
        found += [{**r, "verbs": verbs}] if verbs else []
    return found


GROUPS = {"mutatingwebhookconfigurations": "admissionregistration.k8s.io", "leases": "coordination.k8s.io", "assignments": "hami.io"}
NAMES = {"mutatingwebhookconfigurations": "hami-webhook", "leases": ACCOUNT}


def may(w, resource, verb):
    """The authorizer's own word."""
    kind, _, sub = resource.partition("/")
    # A list or watch of a single name is a right to that name; that of leases is to all.
    name = NAMES.get(resource, "") if verb not in ("create", "list", "watch") or resource != "leases" else ""
    asked = {"user": USER, "resourceAttributes": {"group": GROUPS.get(resource, ""), "resource": kind, "subresource": sub, "verb": verb,
                                                  "name": name, "namespace": NS if resource == "leases" else ""}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": asked}
    return w.api.call("POST", "apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


def take_away(w, resource, verb):
    for kind, where, rules in roles(w):
        if (left := without(rules, resource, verb)) != rules:
            w.kubectl("patch", kind, ACCOUNT, *where, "--type=merge", "-p", json.dumps({"rules": left}))
    w.eventually(lambda: not may(w, resource, verb), f"{verb} {resource} is taken away")


def give_back(w, resource, verb):
    w.kubectl("apply", "-f", RBAC)
    w.eventually(lambda: may(w, resource, verb), f"{verb} {resource} is back")


def alone(w):
    """Takes away what the account may for the kube-scheduler beside hami: both have some rights. Here it has its own account."""
    w.kubectl("delete", "-f", BESIDE)


def as_before(w):
    w.kubectl("apply", "-f", RBAC, "-f", BESIDE)


@test("missing rights: every right of rbac.yaml is in the table")
def _(w):
    assert rights(w) == set(RIGHTS), rights(w) ^ set(RIGHTS)


def complaint(r, resource, verb):
    """The line about the right, with what is lost and what to do."""
    found = re.search(rf"level=error event=right-missing verb={verb} resource={re.escape(resource)} .*", r.child.said()[r.said_before:])
    return found and found[0]


def provoke(w, r, resource, verb):
    """What makes hami use the right."""
    if (resource, verb) == ("nodes", "patch"):  # a node whose plugin wants a lock
        locked = node("theirs", nvidia("theirs"))
        del locked["metadata"]["annotations"]["hami.io/node-agent"]
        w.api.create("nodes", locked)
        w.pod("on-locked", gpus=1, mem=1000, spec={"nodeSelector": {"kubernetes.io/hostname": "theirs"}})
    if resource == "events":  # the same failure twice is an event that is counted up
        w.pod("misfit", gpus=1, mem=900000)
        w.pod("misfit-too", gpus=1, mem=900000)
    if resource == "mutatingwebhookconfigurations":
        w.eventually(lambda: "event=started" in r.child.said()[r.said_before:], "it listens to the signal")
        r.child.signal(1)  # a new authority to be entered


@test("missing rights: each one is named with what does not work without it, and given back it is used without a restart")
def _(w):
    w.node("gpu-1", nvidia("gpu-1", cards=8))
    w.pause()
    r = w.replica("poor").serve_webhook().start().start_kube_scheduler()
    w.webhook_works()
    wrong = []
    try:
        alone(w)
        for number, ((resource, verb), effect) in enumerate(RIGHTS.items()):
            if effect == UNUSED or (resource, verb) == ("events", "patch"):
                continue
            r.child.kill()
            take_away(w, resource, verb)
            r.said_before = len(r.child.said())
            r.start(*FLAGS, wait=False)
            # Admission is not the matter here, and it needs a hami that knows the cluster.
            p = {**pod(f"p{number}", gpus=1, mem=100, cores=1), "spec": {**pod("x", gpus=1, mem=100, cores=1)["spec"], "schedulerName": "hami-scheduler"}}
            p["metadata"]["labels"] = {"hami.io/webhook": "ignore"}
            w.create(p)
            provoke(w, r, resource, verb)
            try:
                w.eventually(lambda: complaint(r, resource, verb), f"{verb} {resource} is complained of", 40)
                said = complaint(r, resource, verb)
                assert "without=" in said and 'without=""' not in said and "rbac.yaml" in said, said
                if effect in (GOES_ON, LATE):
                    w.bound(f"p{number}")
                elif effect == STOPS:
                    assert not w.get(f"p{number}")["spec"].get("nodeName")
                give_back(w, resource, verb)
                w.bound(f"p{number}")
                if resource == "nodes" and verb == "patch":
                    w.bound("on-locked")
                    w.api.delete("nodes", "theirs")  # nobody there takes the next lock away
            except AssertionError as why:
                wrong.append(f"{verb} {resource}: {why}")
                give_back(w, resource, verb)
    finally:
        as_before(w)
    assert not wrong, "\n".join(wrong)


@test("missing rights: those that only other programs of the pod use are not missed")
def _(w):
    w.node("gpu-1", nvidia)
    w.pause()
    r = w.replica("frugal").serve_webhook()
    try:
        alone(w)
        for (resource, verb), effect in RIGHTS.items():
            if effect == UNUSED:
                take_away(w, resource, verb)
        r.start().start_kube_scheduler()
        w.webhook_works()
        w.place("one", gpus=1, mem=3000)
        assert "right-missing" not in r.child.said(), r.child.tail()
    finally:
        as_before(w)
