# SPDX-License-Identifier: Apache-2.0
"""The API server as the tests talk to it: JSON over one kept connection, watches, kubectl."""
import base64
import http.client
import json
import os
import ssl
import subprocess
import time
import urllib.parse

LIMIT_S = int(os.environ.get("HAMI_E2E_LIMIT_S", "60"))  # for whatever is waited for
MERGE = "application/merge-patch+json"
GROUPS = {"leases": "apis/coordination.k8s.io/v1", "deployments": "apis/apps/v1", "replicasets": "apis/apps/v1",
          "jobs": "apis/batch/v1", "priorityclasses": "apis/scheduling.k8s.io/v1"}


class Refused(Exception):
    """The API server's answer was an error: `code`, `reason`, and the message as text."""

    def __init__(self, answer):
        super().__init__(answer.get("message", str(answer)))
        self.code, self.reason = answer.get("code", 0), answer.get("reason", "")


class Api:
    def __init__(self, port, authority, identity="admin", token=None):
        self.port, self.token = port, token
        self.tls = ssl.create_default_context(cafile=authority.ca)
        if not token:
            self.tls.load_cert_chain(authority.path(identity + ".crt"), authority.path(identity + ".key"))
        self._kept = None

    def _connect(self, limit_s):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=limit_s)

    def _headers(self, kind):
        headers = {"Content-Type": kind, "Accept": "application/json"}
        return {**headers, "Authorization": f"Bearer {self.token}"} if self.token else headers

    def call(self, method, path, body=None, kind="application/json"):
        """The decoded answer; Refused when the status is not 2xx. Reads are tried again on a broken connection."""
        data = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            fresh = self._kept is None
            self._kept = self._kept or self._connect(LIMIT_S)
            try:
                self._kept.request(method, "/" + path, data, self._headers(kind))
                answer = self._kept.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException):
                self.close()
                # An idle connection may have been closed meanwhile; a fresh one that fails has failed.
                if fresh or attempt == 2:
                    raise
        decoded = json.loads(text) if text[:1] in (b"{", b"[") else {"message": text.decode(errors="replace")}
        if answer.status >= 300:
            raise Refused({**decoded, "code": answer.status})
        return decoded

    def close(self):
        if self._kept:
            self._kept.close()
            self._kept = None

    # Objects by kind, namespace and name.

    def path(self, kind, ns=None, name=None, sub=None):
        group = GROUPS.get(kind, "api/v1")
        return "/".join([group] + (["namespaces", ns] if ns else []) + [p for p in (kind, name, sub) if p])

    def get(self, kind, ns=None, name=None, **query):
        return self.call("GET", self.path(kind, ns, name) + ("?" + urllib.parse.urlencode(query) if query else ""))

    def list(self, kind, ns=None, **query):
        return self.get(kind, ns, **query)["items"]

    def create(self, kind, body, ns=None, name=None, sub=None):
        return self.call("POST", self.path(kind, ns, name, sub), body)

    def patch(self, kind, name, body, ns=None, sub=None):
        return self.call("PATCH", self.path(kind, ns, name, sub), body, MERGE)

    def delete(self, kind, name, ns=None):
        """At once: there is no kubelet that would end anything."""
        return self.call("DELETE", self.path(kind, ns, name) + "?gracePeriodSeconds=0")

    def delete_all(self, kind, ns=None, **query):
        return self.call("DELETE", self.path(kind, ns) + "?" + urllib.parse.urlencode({"gracePeriodSeconds": 0, **query}))

    def watch(self, kind, ns=None, limit_s=LIMIT_S, **query):
        """Every object there is (as ADDED), then every change, until limit_s has passed (TimeoutError).

        Yields (type, object). The API server cuts off who reads slowly; the watch then goes on where it was.
        """
        first = self.get(kind, ns, **query)
        for item in first["items"]:
            yield "ADDED", item
        seen, end = first["metadata"]["resourceVersion"], time.monotonic() + limit_s
        while True:
            wanted = {**query, "watch": "1", "resourceVersion": seen}
            for event in self._events(self.path(kind, ns) + "?" + urllib.parse.urlencode(wanted), end):
                if event["type"] == "ERROR":
                    raise Refused(event["object"])
                seen = event["object"]["metadata"]["resourceVersion"]
                yield event["type"], event["object"]

    def _events(self, path, end):
        """The events of one request; TimeoutError at the end of time."""
        connection = self._connect(LIMIT_S)
        try:
            connection.request("GET", "/" + path, headers=self._headers("application/json"))
            answer = connection.getresponse()
            while True:
                connection.sock.settimeout(max(0.01, end - time.monotonic()))
                line = answer.readline()
                if not line:
                    return
                yield json.loads(line)
        finally:
            connection.close()


class Kubectl:
    """kubectl with a kubeconfig. Objects are given as dictionaries or YAML text."""

    def __init__(self, programs, kubeconfig, cache):
        self.program = os.path.join(programs, "kubectl")
        self.env = {**os.environ, "KUBECONFIG": kubeconfig, "KUBECACHEDIR": cache}

    def try_(self, *args, stdin=""):
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        return subprocess.run([self.program, *args], input=text, capture_output=True, text=True, env=self.env, timeout=LIMIT_S * 2)

    def __call__(self, *args, stdin=""):
        r = self.try_(*args, stdin=stdin)
        if r.returncode != 0:
            raise Refused({"message": r.stderr.strip() or r.stdout.strip(), "code": r.returncode})
        return r.stdout

    def json(self, *args):
        return json.loads(self(*args, "-o", "json"))


def documents(text):
    """kubectl prints one JSON document after the other."""
    found = []
    while text := text.lstrip():
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def base64_of(path):
    with open(path, "rb") as f:
        return base64.b64encode(f.read()).decode()
