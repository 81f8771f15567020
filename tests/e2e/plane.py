# SPDX-License-Identifier: Apache-2.0
"""A control plane of its own: etcd, API server, controller manager, schedulers.

Everything listens on random ports of 127.0.0.1 and lives in one folder, so
that any number of them run beside each other. There is no kubelet: nodes and
what becomes of pods are written by the tests (nodes.py), which is why the
controllers that watch over nodes are off.
"""
import json
import os
import urllib.request

from api import Api, Kubectl
from certs import LOOPBACK, Authority
from child import Child, folder, free_port

SERVICES = "198.19.0.0/20"
# What the tests need of the controller manager. Without the node controllers a node stays as it was written.
CONTROLLERS = ("serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
               "namespace-controller", "garbage-collector-controller", "deployment-controller", "replicaset-controller",
               "job-controller", "resourcequota-controller", "clusterrole-aggregation-controller", "validatingadmissionpolicy-status-controller")
# Writes are recorded with their body, and whatever a scheduler of ours asks for at least by name.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Request", "verbs": ["create", "update", "patch", "delete"],
         "resources": [{"group": "", "resources": ["pods", "pods/*", "nodes", "nodes/*", "events"]}, {"group": "events.k8s.io"}]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "None"}]}


class Plane:
    def __init__(self, programs, name="plane", api_args=()):
        self.programs, self.api_args = programs, api_args
        self.dir = folder(name)
        self.pki = Authority(self.path("pki"))
        self.children = {}
        self.etcd_port, self.peer_port, self.port = free_port(), free_port(), free_port()
        self._identities()
        self.kubectl = Kubectl(programs, self.path("kubeconfig"), self.path("kubectl"))
        with open(self.path("audit-policy.json"), "w") as f:
            json.dump(AUDIT_POLICY, f)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def _identities(self):
        self.pki.signing_key("sa")
        self.pki.issue("apiserver", "/CN=kube-apiserver", LOOPBACK + ",DNS:kubernetes.default.svc")
        for name, subject in (("admin", "/O=system:masters/CN=kubernetes-admin"),
                              ("manager", "/CN=system:kube-controller-manager"),
                              ("scheduler", "/CN=system:kube-scheduler")):
            cert, key = self.pki.issue(name, subject)
            self.kubeconfig(name + ".kubeconfig", {"client-certificate": cert, "client-key": key})
        os.link(self.path("admin.kubeconfig"), self.path("kubeconfig"))

    def kubeconfig(self, name, user, port=None):
        """Writes FOLDER/NAME for a user (as kubeconfig has it, a dictionary); returns its path."""
        server = {"server": f"https://127.0.0.1:{port or self.port}", "certificate-authority": self.pki.ca}
        config = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "e2e", "cluster": server}],
                  "users": [{"name": "user", "user": user}],
                  "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "user"}}], "current-context": "e2e"}
        with open(self.path(name), "w") as f:
            json.dump(config, f)
        return self.path(name)

    def run(self, name, program, *args, **more):
        child = Child(name, [os.path.join(self.programs, program), *args], self.path(name + ".log"), **more)
        self.children[name] = child
        return child

    def start(self):
        """etcd, API server and controller manager, ready to make pods."""
        self.start_etcd()
        self.start_apiserver()
        config = self.path("manager.kubeconfig")
        manager = self.run("manager", "kube-controller-manager", f"--kubeconfig={config}", f"--authentication-kubeconfig={config}",
                           f"--authorization-kubeconfig={config}", "--bind-address=127.0.0.1", f"--secure-port={free_port()}",
                           "--leader-elect=false", f"--service-account-private-key-file={self.pki.path('sa.key')}",
                           f"--root-ca-file={self.pki.ca}", "--use-service-account-credentials=true", "--profiling=false",
                           "--kube-api-qps=200", "--kube-api-burst=400", f"--controllers={','.join(CONTROLLERS)}")
        manager.until(lambda: self.has("serviceaccounts", "default", "default"), "the default service account exists", 120)
        return self

    def start_etcd(self):
        url, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        etcd = self.run("etcd", "etcd", "--name=e2e", f"--data-dir={self.path('etcd')}", "--unsafe-no-fsync", "--log-level=warn",
                        f"--listen-client-urls={url}", f"--advertise-client-urls={url}", f"--listen-peer-urls={peer}",
                        f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=e2e={peer}")
        etcd.until(lambda: urllib.request.urlopen(url + "/health", timeout=5).status == 200, "etcd is healthy")

    def start_apiserver(self):
        pki = self.pki.path
        server = self.run(
            "apiserver", "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", "--endpoint-reconciler-type=none", f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=RBAC", "--anonymous-auth=false", "--allow-privileged=true", "--profiling=false",
            # Nothing would ever take the taint of a new node away.
            "--disable-admission-plugins=TaintNodesByCondition", f"--client-ca-file={self.pki.ca}",
            f"--tls-cert-file={pki('apiserver.crt')}", f"--tls-private-key-file={pki('apiserver.key')}",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki('sa.pub')}",
            f"--service-account-signing-key-file={pki('sa.key')}", f"--audit-policy-file={self.path('audit-policy.json')}",
            f"--audit-log-path={self.path('audit.log')}", *self.api_args)
        self.api = Api(self.port, self.pki)
        server.until(lambda: self.ready(), "the API server is ready", 120)

    def ready(self):
        try:
            return self.api.call("GET", "readyz")["message"] == "ok"
        except Exception:
            return False

    def has(self, kind, ns, name):
        try:
            return bool(self.api.get(kind, ns, name))
        except Exception:
            return False

    def token(self, ns, account, bound_to=None, seconds=7200):
        """A service account's token, asked for as the kubelet does."""
        spec = {"expirationSeconds": seconds, **({"boundObjectRef": bound_to} if bound_to else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.api.create("serviceaccounts", body, ns, account, "token")["status"]["token"]

    def start_scheduler(self, name, config, host=None, wait=True):
        """A stock kube-scheduler with a KubeSchedulerConfiguration (YAML text)."""
        path = self.path(name + ".yaml")
        with open(path, "w") as f:
            f.write(config)
        port, rights = free_port(), self.path("scheduler.kubeconfig")
        scheduler = self.run(name, "kube-scheduler", f"--config={path}", f"--authentication-kubeconfig={rights}",
                             f"--authorization-kubeconfig={rights}", "--bind-address=127.0.0.1", f"--secure-port={port}", "--v=2", host=host)
        if not wait:
            return scheduler
        health = Api(port, self.pki)
        health.tls.check_hostname, health.tls.verify_mode = False, 0  # it signs its own certificate
        scheduler.until(lambda: health.call("GET", "healthz")["message"] == "ok", "kube-scheduler is healthy")
        return scheduler

    def compact_etcd(self):
        """Forgets every revision but the newest, so that older resource versions are gone (410)."""
        def ask(path, body):
            data = json.dumps(body).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{self.etcd_port}{path}", data, {"Content-Type": "application/json"})
            return json.load(urllib.request.urlopen(request, timeout=30))
        revision = ask("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        ask("/v3/kv/compaction", {"revision": revision, "physical": True})

    def audit(self, since=0):
        """Recorded requests from byte `since` on."""
        with open(self.path("audit.log"), "rb") as f:
            f.seek(since)
            whole, _, _ = f.read().rpartition(b"\n")  # the last line may be in the making
            return [json.loads(line) for line in whole.splitlines() if line]

    def audit_position(self):
        return os.path.getsize(self.path("audit.log"))

    def stop(self):
        for name in reversed(list(self.children)):
            self.children[name].process.kill() if self.children[name].running() else None
        for child in self.children.values():
            child.wait()
        self.children.clear()
