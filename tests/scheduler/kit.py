# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests of `hami scheduler` share: an API server in memory
(bench/control/apiserver, which says what it leaves out), the service, calls as
kube-scheduler makes them, and TAP. Every wait is for an event and has a limit."""
import contextlib
import http.client
import json
import multiprocessing
import os
import re
import select
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

LIMIT_S = 60
TESTS = []


def test(name):
    def add(function):
        TESTS.append((name, function))
        return function
    return add


def gpu(index, node="n", mem=40960, cores=100, count=10, kind="NVIDIA A100-SXM4-40GB", **more):
    """A card as an NVIDIA device plugin registers it (scheduler.md 3.3)."""
    card = {"id": f"GPU-{node}-{index}", "count": count, "devmem": mem, "devcore": cores, "type": kind, "mode": "hami-core", "health": True}
    if index:
        card["index"] = index
    return {**card, **more}


def node(name, cards=2, annotations=None, allocatable=True, **card):
    registered = [gpu(i, name, **card) for i in range(cards)]
    status = {"nvidia.com/gpu": str(10 * cards)} if allocatable else {}
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "annotations": {"hami.io/node-nvidia-register": json.dumps(registered), **(annotations or {})}},
            "status": {"allocatable": status, "capacity": status}}


def pod(name, *containers, init=(), namespace="default", **metadata):
    """Containers are dicts of limits."""
    def container(kind, i, limits):
        spec = {"name": f"{kind}{i}", "image": "x", "resources": {"limits": {k: str(v) for k, v in limits.items()}}}
        if limits.get("restart"):
            spec["resources"]["limits"].pop("restart")
            spec["restartPolicy"] = "Always"
        return spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, **metadata},
            "spec": {"schedulerName": "hami-scheduler", "initContainers": [container("init", i, c) for i, c in enumerate(init)],
                     "containers": [container("c", i, c) for i, c in enumerate(containers)]}}


def slice_of(gpus=1, mem=None, cores=None, percent=None):
    limits = {"nvidia.com/gpu": gpus}
    for key, value in (("gpumem", mem), ("gpucores", cores), ("gpumem-percentage", percent)):
        if value is not None:
            limits["nvidia.com/" + key] = value
    return limits


class Process:
    """A child whose lines on one stream are read as they come."""

    def __init__(self, command, stream, env=None):
        self.p = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, env=env,
                                  stdout=subprocess.PIPE if stream == 1 else subprocess.DEVNULL,
                                  stderr=subprocess.PIPE if stream == 2 else None)
        self.file = self.p.stdout if stream == 1 else self.p.stderr
        os.set_blocking(self.file.fileno(), False)
        self.lines, self.rest = [], ""

    def pump(self, limit):
        if select.select([self.file], [], [], max(limit, 0))[0]:
            text = self.file.read()
            if not text:
                raise AssertionError(f"{self.p.args[0]} ended ({self.p.wait()}): " + "\n".join(self.lines[-5:]))
            parts = (self.rest + text).split("\n")
            self.rest = parts.pop()
            self.lines += parts

    def line(self, pattern, start=0, limit=LIMIT_S):
        """The first line from number `start` on that matches."""
        until = time.monotonic() + limit
        while True:
            for text in self.lines[start:]:
                found = re.search(pattern, text)
                if found:
                    return found
            if time.monotonic() > until:
                raise AssertionError(f"no line with {pattern!r} in {limit} s; the last: {self.lines[-5:]}")
            self.pump(until - time.monotonic())

    def end(self, signal=15):
        if self.p.poll() is None:
            self.p.send_signal(signal)
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.file.close()
        return self.p.returncode


class Answer:
    def __init__(self, status, text):
        self.status, self.text = status, text

    @property
    def json(self):
        return json.loads(self.text)


def call(port, method, path, body=None, content="application/json", tls=None):
    http_class = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    c = http_class("127.0.0.1", port, timeout=LIMIT_S, **({"context": tls} if tls else {}))
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    c.request(method, path, data, {"Content-Type": content} if data is not None else {})
    r = c.getresponse()
    answer = Answer(r.status, r.read().decode())
    c.close()
    return answer


class World:
    """An API server with some nodes, and instances of the service."""

    def __init__(self, build, objects=(), fake=()):
        self.build, self.dir = build, tempfile.mkdtemp(prefix="hami-scheduler-")
        self.config = os.path.join(self.dir, "kubeconfig")
        self.processes = []
        self.fake = Process([os.path.join(build, "bench/control/fake-apiserver"), "--kubeconfig", self.config, "--die-with-parent",
                             "--bookmark-ms", "100", *fake], 1)
        self.processes.append(self.fake)
        self.api_port = int(self.fake.line(r"ready on http://127\.0\.0\.1:(\d+)").group(1))
        for o in objects:
            self.create(o)

    # ---- the API server

    def api(self, method, path, body=None, content="application/json", status=None):
        a = call(self.api_port, method, path, body, content)
        assert status is None and a.status < 300 or a.status == status, f"{method} {path}: {a.status} {a.text[:300]}"
        return a

    def create(self, o):
        m = o["metadata"]
        kind = {"Node": "nodes", "Pod": "pods", "ResourceQuota": "resourcequotas"}[o["kind"]]
        where = f"/api/v1/{kind}" if kind == "nodes" else f"/api/v1/namespaces/{m['namespace']}/{kind}"
        return self.api("POST", where, o).json

    def pod(self, name, namespace="default"):
        return self.api("GET", f"/api/v1/namespaces/{namespace}/pods/{name}").json

    def delete(self, name, namespace="default"):
        self.api("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}")

    def annotate(self, path, **annotations):
        self.api("PATCH", path, {"metadata": {"annotations": annotations}}, "application/merge-patch+json")

    def stats(self):
        return self.api("GET", "/control/stats").json

    # ---- the service

    def start(self, *flags, wait="event=ready", env=None):
        s = Scheduler(self, flags, env)
        self.processes.append(s.process)
        if wait:
            s.process.line(wait)
        return s

    def until_watched(self, kinds=3):
        """Until nodes, pods and quotas are watched: ready is who has listed them."""
        until = time.monotonic() + LIMIT_S
        while self.api("GET", "/control/stats").json["watches"] < kinds:
            assert time.monotonic() < until, "the service does not watch"
            time.sleep(0.005)

    def close(self):
        for p in reversed(self.processes):
            p.end()
        shutil.rmtree(self.dir, ignore_errors=True)


class Scheduler:
    def __init__(self, world, flags, env=None):
        self.world = world
        command = [os.path.join(world.build, "hami"), "scheduler", "--kubeconfig", world.config, "--http_bind", "127.0.0.1:0",
                   "--metrics-bind-address", "127.0.0.1:0", "--scheduler-name", "hami-scheduler", "-v", "5", *flags]
        self.process = Process(command, 2, env)
        started = self.process.line(r"event=started .*http=(?:127\.0\.0\.1|0\.0\.0\.0):(\d+) webhook=(\S+) metrics=\S*?(\d+)(?:\s|$)")
        self.port, self.metrics_port = int(started.group(1)), int(started.group(3))
        self.webhook_port = int(started.group(2).rsplit(":", 1)[1]) if ":" in started.group(2) else 0

    def get(self, path):
        return call(self.port, "GET", path)

    def post(self, path, body):
        return call(self.port, "POST", path, body)

    def filter(self, p, nodes):
        a = self.post("/filter", {"Pod": p, "Nodes": None, "NodeNames": nodes})
        assert a.status == 200, a.text
        return a.json

    def bind(self, p, node):
        m = p["metadata"]
        a = self.post("/bind", {"PodName": m["name"], "PodNamespace": m["namespace"], "PodUID": m["uid"], "Node": node})
        assert a.status == 200, a.text
        return a.json["Error"]

    def place(self, p, nodes):
        """Creates, filters and binds a pod; the pod as it is then."""
        created = self.world.create(p)
        f = self.filter(created, nodes)
        assert f["NodeNames"] and not f["Error"], f
        error = self.bind(created, f["NodeNames"][0])
        assert error == "", error
        return self.world.pod(p["metadata"]["name"], p["metadata"]["namespace"])

    def packed_metrics(self, accept="gzip", method="GET"):
        """Headers and body as they came."""
        c = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=LIMIT_S)
        c.request(method, "/metrics", headers={"Accept-Encoding": accept})
        r = c.getresponse()
        assert r.status == 200
        body = r.read()
        c.close()
        return r.headers, body

    def metrics(self):
        return call(self.metrics_port, "GET", "/metrics").text

    def metric(self, name, **labels):
        for line in self.metrics().splitlines():
            if line.startswith(name) and line[len(name)] in " {" and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None

    def until(self, name, value, limit=LIMIT_S, **labels):
        """Waits for a metric. The service tells no one of it, so it is asked again and again."""
        until = time.monotonic() + limit
        while self.metric(name, **labels) != value:
            assert time.monotonic() < until, f"{name} stays {self.metric(name, **labels)}, wanted {value}"
            time.sleep(0.01)

    def snapshot(self):
        return self.get("/debug/snapshot").json

    def review(self, p, namespace="default", tls=None, username="someone"):
        request = {"uid": "r", "operation": "CREATE", "namespace": namespace, "object": p, "userInfo": {"username": username}}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        return call(self.webhook_port, "POST", "/webhook", body, tls=tls or ssl._create_unverified_context()).json["response"]


def trouble_of(job):
    """Runs one test: None, or why it failed."""
    number, build = job
    try:
        TESTS[number][1](build)
        return None
    except Exception:
        return traceback.format_exc()


def main(at_once=1):
    """at_once: how many tests run beside each other, for files whose tests wait more than they work."""
    build = os.path.abspath(sys.argv[1])
    only = sys.argv[2:]
    jobs = [(i, build) for i, (name, _) in enumerate(TESTS) if not only or any(o in name for o in only)]
    print(f"1..{len(jobs)}", flush=True)
    failed = 0
    with multiprocessing.get_context("fork").Pool(at_once, maxtasksperchild=1) if at_once > 1 else contextlib.nullcontext() as pool:
        for number, (job, trouble) in enumerate(zip(jobs, pool.imap(trouble_of, jobs, 1) if pool else map(trouble_of, jobs)), 1):
            print(f"{'not ok' if trouble else 'ok'} {number} {TESTS[job[0]][0]}", flush=True)
            failed += trouble is not None
            for text in (trouble or "").splitlines():
                print("# " + text, flush=True)
    sys.exit(1 if failed else 0)
