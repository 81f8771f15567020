# SPDX-License-Identifier: Apache-2.0
"""`hami scheduler` and the kube-scheduler beside it, started as deploy/ says.

The command line is that of the Deployment, the kube-scheduler's configuration
and the device configuration are those of the ConfigMaps, the rights are those
of the service account (a token asked for at the API server). Only addresses,
paths and the image's file system are put in their place.
"""
import json
import os
import ssl
import urllib.error
import urllib.request

from api import base64_of, documents
from child import free_port
from certs import LOOPBACK
from pods import pod

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEPLOY = os.path.join(TOP, "deploy", "scheduler")
NS, ACCOUNT, WEBHOOK = "kube-system", "hami-scheduler", "hami-webhook"
USER = f"system:serviceaccount:{NS}:{ACCOUNT}"


def install(plane):
    """Applies deploy/scheduler as a user would, and stops what the Deployment would start: we do that."""
    for file in sorted(os.listdir(DEPLOY)):
        if file != "webhook.yaml":  # by Hami.serve_webhook: nothing resolves a Service here
            plane.kubectl("apply", "-f", os.path.join(DEPLOY, file))
    plane.kubectl("-n", NS, "scale", "deployment", ACCOUNT, "--replicas=0")


def manifests(plane, *files):
    """The objects of files of deploy/scheduler as dictionaries."""
    paths = [arg for file in files for arg in ("-f", os.path.join(DEPLOY, file))]
    return documents(plane.kubectl("create", "--dry-run=client", "-o", "json", *paths))


class Hami:
    """One replica. `host` gives it a host name of its own, `api_port` another way to the API server; `cert` makes it
    serve a certificate from files, everywhere, instead of one that it makes itself for the webhook."""

    def __init__(self, plane, program, name="hami", host=None, api_port=None, cert=False):
        self.plane, self.program, self.name, self.host = plane, program, name, host
        self.port, self.metrics_port, self.webhook_port = free_port(), free_port(), free_port()
        self.cert = plane.pki.issue(name, f"/CN={name}", LOOPBACK) if cert else None
        self.url = f"{'https' if cert else 'http'}://127.0.0.1:{self.port}"
        with open(plane.path(name + ".token"), "w") as f:
            f.write(plane.token(NS, ACCOUNT))
        self.config = plane.kubeconfig(name + ".kubeconfig", {"tokenFile": plane.path(name + ".token")}, api_port)
        deployment = plane.api.get("deployments", NS, ACCOUNT)
        template = deployment["spec"]["template"]
        self.labels = template["metadata"]["labels"]
        self.container = next(c for c in template["spec"]["containers"] if c["name"] == "hami")

    def own_pod(self):
        """The pod that the Deployment would have made, which the replica marks when it begins to lead."""
        if not self.plane.has("pods", NS, self.name):
            own = pod(self.name, labels=self.labels, spec={"schedulerName": "none"})
            self.plane.api.create("pods", own, NS)

    def config_map(self, name, key):
        return self.plane.api.get("configmaps", NS, name)["data"][key]

    def device_config(self):
        path = self.plane.path(self.name + "-devices.yaml")
        if not os.path.exists(path):
            with open(path, "w") as f:
                f.write(self.config_map("hami-device-config", "device-config.yaml"))
        return path

    def arguments(self):
        """Those of the Deployment, at our addresses."""
        ours = {"--http_bind": f"127.0.0.1:{self.port}", "--webhook-bind": f"127.0.0.1:{self.webhook_port}",
                "--metrics-bind-address": f"127.0.0.1:{self.metrics_port}", "--device-config-file": self.device_config()}
        args = []
        for arg in self.container["args"]:
            flag, is_value, value = arg.partition("=")
            args.append(f"{flag}={ours.get(flag, value)}" if is_value else flag)
        return args + ([f"--cert_file={self.cert[0]}", f"--key_file={self.cert[1]}"] if self.cert else [])

    def start(self, *more, args=None, wait=True, env=None):
        """`more` are flags beside the Deployment's (of one given twice the last counts), `args` others instead."""
        self.own_pod()
        env = {"POD_NAME": self.name, "POD_NAMESPACE": NS, **(env or {})}
        command = ["scheduler", *(self.arguments() if args is None else args), f"--kubeconfig={self.config}", *more]
        self.child = self.plane.run(self.name, self.program, *command, env=env, host=self.host)
        if wait:
            self.child.until(self.ready, "hami scheduler is ready")
        return self

    def start_kube_scheduler(self, edit=lambda text: text, wait=True):
        text = self.config_map("hami-kube-scheduler", "config.yaml")
        text = text.replace("urlPrefix: http://127.0.0.1:8080", f"urlPrefix: {self.url}")
        if self.cert:
            text = text.replace("filterVerb: filter", "filterVerb: filter\n  enableHTTPS: true\n  tlsConfig: {insecure: true}")
        text = text.replace("clientConnection: {", f'clientConnection: {{kubeconfig: "{self.plane.path("scheduler.kubeconfig")}", ')
        self.scheduler = self.plane.start_scheduler(self.name + "-kube-scheduler", edit(text), self.host, wait)
        return self

    def get(self, path, url=None):
        """(status, body) of a GET on the extender's listener."""
        try:
            with urllib.request.urlopen((url or self.url) + path, timeout=30, context=self._tls()) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def _tls(self):
        return ssl.create_default_context(cafile=self.plane.pki.ca) if self.cert else None

    def ready(self):
        return self.get("/readyz")[0] == 200

    def ask(self, verb, body, limit_s=30):
        """What kube-scheduler would be answered."""
        request = urllib.request.Request(f"{self.url}/{verb}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=limit_s, context=self._tls()) as answer:
            return json.load(answer)

    def grants(self, verb, body, limit_s=3):
        """Whether the answer is a yes; none within the limit, as from one that waits to lead, is no yes."""
        try:
            return not self.ask(verb, body, limit_s)["Error"]
        except OSError:
            return False

    def metrics(self):
        return self.get("/metrics", f"http://127.0.0.1:{self.metrics_port}")[1]

    def serve_webhook(self, port=None):
        """deploy/scheduler/webhook.yaml with our address in place of the Service's."""
        config, = manifests(self.plane, "webhook.yaml")
        config["webhooks"][0]["clientConfig"] = {"url": f"https://127.0.0.1:{port or self.webhook_port}/webhook"}
        self.plane.kubectl("apply", "-f", "-", stdin=config)
        if self.cert:
            bundle = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": base64_of(self.plane.pki.ca)}]
            self.plane.kubectl("patch", "mutatingwebhookconfiguration", WEBHOOK, "--type=json", "-p", json.dumps(bundle))
        return self

    def webhook_bundle(self):
        """The certificate authorities by which the API server knows the webhook, as in the configuration."""
        config = self.plane.kubectl.json("get", "mutatingwebhookconfiguration", WEBHOOK)
        return config["webhooks"][0]["clientConfig"].get("caBundle", "")
