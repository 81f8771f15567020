# SPDX-License-Identifier: Apache-2.0
"""deploy/: what a platform engineer applies, on the real API server and under its own rights."""
import json
import os
import re
import ssl
import urllib.request

from hami import ACCOUNT, DEPLOY, NS, USER, manifests
from kit import test
from nodes import node, nvidia
from pods import devices

FILES = sorted(os.listdir(DEPLOY))


@test("deploy: the API server accepts every manifest without a warning, again and again")
def _(w):
    for _ in range(2):
        r = w.kubectl.try_("apply", "--dry-run=server", "--validate=strict", "-f", DEPLOY)
        assert r.returncode == 0 and not r.stderr, r.stderr


@test("deploy: manifests name no other manifest that does not exist")
def _(w):
    objects = manifests(w.plane, *FILES)
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    pod = next(o for o in objects if o["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert ("ServiceAccount", pod["serviceAccountName"]) in names
    for volume in pod["volumes"]:
        assert ("ConfigMap", volume["configMap"]["name"]) in names, volume
    webhook = next(o for o in objects if o["kind"] == "MutatingWebhookConfiguration")["webhooks"][0]
    assert ("Service", webhook["clientConfig"]["service"]["name"]) in names
    labels = next(o for o in objects if o["kind"] == "Deployment")["spec"]["template"]["metadata"]["labels"]
    selector = next(o for o in objects if o["kind"] == "Service")["spec"]["selector"]
    assert selector.items() <= labels.items(), (selector, labels)
    ports = {p["name"] for c in pod["containers"] for p in c.get("ports", [])}
    assert {p["targetPort"] for p in next(o for o in objects if o["kind"] == "Service")["spec"]["ports"]} <= ports


@test("deploy: the pod of the Deployment is one that the strictest admission accepts")
def _(w):
    w.api.patch("namespaces", w.ns, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    template = w.api.get("deployments", NS, ACCOUNT)["spec"]["template"]
    spec = {k: v for k, v in template["spec"].items() if k not in ("serviceAccountName", "serviceAccount", "priorityClassName")}
    p = w.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": template["metadata"]["labels"]}, "spec": spec})
    assert p["spec"]["schedulerName"] == "default-scheduler"


@test("deploy: a node that has the images does not ask the registry again, whatever they were named when first applied")
def _(w):
    """The API server takes a name without a tag for one to be pulled always, and `kubectl set image` leaves it at that."""
    containers = w.api.get("deployments", NS, ACCOUNT)["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["imagePullPolicy"] for c in containers} == {"kube-scheduler": "IfNotPresent", "hami": "IfNotPresent"}, containers


@test("deploy: the resources that hami manages are those that kube-scheduler hands over")
def _(w):
    config = w.hami.config_map("hami-kube-scheduler", "config.yaml")
    left_to_kube_scheduler = {"cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore", "mthreads.com/sgpu-memory",
                              "mthreads.com/sgpu-core"}
    devices_yaml = w.hami.config_map("hami-device-config", "device-config.yaml")
    named = {line.split(": ")[1].strip() for line in devices_yaml.splitlines() if "resource" in line.lower() and "/" in line}
    managed = {line.split("name: ")[1].split(",")[0] for line in config.splitlines() if "ignoredByScheduler" in line}
    assert named - left_to_kube_scheduler == managed, (named ^ managed)


@test("deploy: who stands by looks often enough to replace a leader that ended within two seconds")
def _(w):
    period_ms = int(re.search(r"retryPeriod: (\d+)ms", w.hami.config_map("hami-kube-scheduler", "config.yaml"))[1])
    assert period_ms * 2.2 < 2000, period_ms  # client-go adds up to 1.2 times the period


@test("deploy: hami answers the probes of its container")
def _(w):
    container = w.hami.container
    assert {p["name"]: p["containerPort"] for p in container["ports"]}["webhook"] == 9443
    for probe in ("readinessProbe", "livenessProbe"):
        get = container[probe]["httpGet"]
        assert (get["scheme"], get["port"]) == ("HTTPS", "webhook"), get
        url = f"https://127.0.0.1:{w.hami.webhook_port}{get['path']}"
        with urllib.request.urlopen(url, timeout=5, context=ssl._create_unverified_context()) as answer:  # as the kubelet asks
            assert answer.status == 200, (probe, answer.read())


@test("deploy: a kube-scheduler whose hami stays away is ended, one whose hami is only started again is not")
def _(w):
    """Its probe asks hami. The port is a number: the kubelet resolves names among the container's own ports."""
    containers = w.api.get("deployments", NS, ACCOUNT)["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in containers] == ["hami", "kube-scheduler"], "the one that is asked is pulled and started first"
    probe, get = containers[1]["livenessProbe"], containers[1]["livenessProbe"]["httpGet"]
    assert (get["scheme"], get["port"]) == ("HTTPS", {p["name"]: p["containerPort"] for p in containers[0]["ports"]}["webhook"]), get
    assert get["path"] == containers[0]["livenessProbe"]["httpGet"]["path"], get  # answered: the test above
    seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert 4 <= seconds <= 6, seconds  # a start takes about one, the kubelet's first pause between two starts is ten


@test("deploy: a node of HAMi's device plugin is locked for the pod that it has to find, another is not")
def _(w):
    for name in ("theirs", "ours"):
        object_ = node(name, nvidia(name))
        if name == "theirs":
            del object_["metadata"]["annotations"]["hami.io/node-agent"]
        w.api.create("nodes", object_)
    for name in ("theirs", "ours"):
        w.place(f"on-{name}", gpus=1, mem=3000, spec={"nodeSelector": {"kubernetes.io/hostname": name}})
    locks = [w.api.get("nodes", None, name)["metadata"]["annotations"].get("hami.io/mutex.lock", "") for name in ("theirs", "ours")]
    assert locks[0].endswith(f",{w.ns},on-theirs") and not locks[1], locks


@test("deploy: Kubernetes' own roles are enough for the kube-scheduler beside hami")
def _(w):
    w.node("gpu-1", nvidia)
    w.hami.scheduler.kill()
    w.free_lease()
    config = json.load(open(w.plane.path("hami.kubeconfig")))
    mine = json.load(open(w.plane.path("scheduler.kubeconfig")))
    since = w.plane.audit_position()
    try:
        with open(w.plane.path("scheduler.kubeconfig"), "w") as f:
            json.dump(config, f)  # the service account of both containers
        w.hami.start_kube_scheduler()
        assert devices(w.place("one", gpus=1, mem=3000))
        w.refused_place("two", gpus=9, mem=3000)
    finally:
        w.hami.scheduler.kill()
        with open(w.plane.path("scheduler.kubeconfig"), "w") as f:
            json.dump(mine, f)
    refused = [(r["verb"], r["requestURI"]) for r in w.plane.audit(since) if r["user"]["username"] == USER and r["responseStatus"]["code"] == 403]
    assert not refused, refused[:5]


@test("deploy: the command line of HAMi's chart starts hami, webhook and extender on one TLS listener")
def _(w):
    w.pause()
    w.node("gpu-1", nvidia)
    r = w.replica("chart", cert=True)
    r.start(args=[f"--http_bind=127.0.0.1:{r.port}", f"--cert_file={r.cert[0]}", f"--key_file={r.cert[1]}", "--scheduler-name=hami-scheduler",
                  f"--metrics-bind-address=127.0.0.1:{r.metrics_port}", "--node-scheduler-policy=binpack", "--gpu-scheduler-policy=spread",
                  "--force-overwrite-default-scheduler=true", f"--device-config-file={r.device_config()}", "--leader-elect=true",
                  "--leader-elect-resource-name=hami-scheduler", "--leader-elect-resource-namespace=kube-system", "--enable-ascend=true",
                  "--enable-iluvatar=true", "--debug", "-v=4"])
    r.start_kube_scheduler().serve_webhook(r.port)
    assert devices(w.place("one", gpus=1, mem=3000))
