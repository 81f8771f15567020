#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Admission, metrics, several instances and the command line."""
import base64
import contextlib
import gzip
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

import kit
from contract import world
from kit import call, node, pod, slice_of, test


def unstarted(build, *objects):
    return contextlib.closing(kit.World(build, objects))


def patch_of(response):
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else []


# ---- admission


@test("admission makes a bare card exclusive and sets the scheduler")
def _(build):
    """scheduler.md 2.6."""
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        p = pod("p", slice_of())
        p["spec"]["schedulerName"] = "default-scheduler"
        r = s.review(p)
        assert r["allowed"] and r["uid"] == "r" and r["patchType"] == "JSONPatch", r
        ops = {o["path"]: o for o in patch_of(r)}
        assert str(ops["/spec/containers/0/resources/limits/nvidia.com~1gpucores"]["value"]) == "100", ops
        assert ops["/spec/schedulerName"]["value"] == "hami-scheduler", ops


@test("admission refuses with a sentence and the reference's code")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        forged = pod("p", slice_of(mem=1), annotations={"hami.io/vgpu-devices-allocated": "GPU-a-0,NVIDIA,1,1:;"})
        huge = pod("p", slice_of(mem=1000000))
        for p, word in ((forged, "hami.io/vgpu-devices-allocated"), (huge, "no node could hold it"), (pod("p", slice_of(percent=101)), "nvidia.com/gpumem-percentage")):
            r = s.review(p)
            assert not r["allowed"] and r["status"]["code"] == 403 and r["status"]["reason"] == "Forbidden", r
            assert word in r["status"]["message"], r
        assert s.metric("hami_scheduler_refused_total") == 3


@test("a check can be lowered to a warning")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0", "--admission-check", "impossible=warn"]) as (w, s):
        r = s.review(pod("p", slice_of(mem=1000000)))
        assert r["allowed"] and "no node could hold it" in r["warnings"][0], r


@test("admission's certificate is self-made, trusted by its published CA, and made anew on SIGHUP")
def _(build):
    with unstarted(build, node("a")) as w:
        w.api("POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
              {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "hami-webhook"},
               "webhooks": [{"name": "vgpu.hami.io", "clientConfig": {"url": "https://x"}}]})
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hami-webhook"
        s = w.start("--webhook-bind", "127.0.0.1:0", "--webhook-configuration", "hami-webhook")
        seen = []
        for _ in range(2):
            s.process.line("event=ca-published", start=seen[-1][0] if seen else 0)
            bundle = base64.b64decode(w.api("GET", path).json["webhooks"][0]["clientConfig"]["caBundle"]).decode()
            context = ssl.create_default_context(cadata=bundle)
            context.check_hostname = True
            assert s.review(pod("p", slice_of(mem=1)), tls=context)["allowed"]
            seen.append((len(s.process.lines), bundle))
            s.process.p.send_signal(signal.SIGHUP)
        assert seen[0][1] != seen[1][1], "the CA stayed"


@test("another's webhook in the same configuration is left as it is")
def _(build):
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    ours, other = ({"name": name, "clientConfig": {"url": "https://x"}} for name in ("vgpu.hami.io", "other.example.org"))
    with unstarted(build, node("a")) as w:
        w.api("POST", path, {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                             "metadata": {"name": "shared"}, "webhooks": [other, ours]})
        s = w.start("--webhook-bind", "127.0.0.1:0", "--webhook-configuration", "shared")
        s.process.line("event=ca-published")
        webhooks = {x["name"]: x["clientConfig"] for x in w.api("GET", path + "/shared").json["webhooks"]}
        assert "caBundle" in webhooks["vgpu.hami.io"] and "caBundle" not in webhooks["other.example.org"], webhooks


@test("hanging up and a reader of its lines that goes do not end it")
def _(build):
    with world(build, node("a")) as (w, s):
        s.process.p.send_signal(signal.SIGHUP)
        s.process.file.close()
        for i in range(3):
            assert s.filter(w.create(pod(f"p{i}", slice_of(mem=1))), ["a"])["NodeNames"] == ["a"]
        assert s.process.p.poll() is None


@test("admission over plain HTTP is refused")
def _(build):
    with world(build, node("a")) as (w, s):
        assert s.post("/webhook", {}).status == 403


# ---- metrics


def parsed(line):
    """Name, labels and value: the order of labels means nothing."""
    name, labels, value = re.match(r'([\w#]+)(?:\{(.*)\})? (.*)$', line).groups()
    return name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")), value


@test("every metric of the contract is there, and the old names on demand")
def _(build):
    names = []
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contract", "metrics.def")) as f:
        for text in f:
            if text.startswith("METRIC("):
                names.append(text.split('"')[1])
    with world(build, node("a", cards=1), flags=["--legacy-metrics"]) as (w, s):
        s.place(pod("p", slice_of(mem=20480, cores=25)), ["a"])
        text = s.metrics()
        for name in names:
            assert f"# TYPE {name} " in text, name
        wanted = [  # scheduler.md 1.4
            'hami_gpu_memory_limit_bytes{node="a",device_uuid="GPU-a-0",device_index="0",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 42949672960',
            'hami_gpu_core_limit_ratio{node="a",device_uuid="GPU-a-0",device_index="0",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 100',
            'hami_gpu_memory_allocated_bytes{node="a",device_uuid="GPU-a-0",device_index="0",device_cores="100",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 21474836480',
            'hami_gpu_shared_count{node="a",device_uuid="GPU-a-0",device_index="0",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 1',
            'hami_gpu_core_allocated_ratio{node="a",device_uuid="GPU-a-0",device_index="0",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 25',
            'hami_node_gpu_overview{node="a",device_uuid="GPU-a-0",device_index="0",device_cores="100",device_memory_limit="40960",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 21474836480',
            'hami_node_gpu_memory_allocated_ratio{node="a",device_uuid="GPU-a-0",device_index="0",device_type="NVIDIA A100-SXM4-40GB",zone="vGPU"} 0.5',
            'hami_vgpu_memory_allocated_bytes{namespace="default",node="a",pod="p",container_index="0",device_uuid="GPU-a-0",zone="vGPU"} 21474836480',
            'hami_vgpu_core_allocated_ratio{namespace="default",node="a",pod="p",container_index="0",device_uuid="GPU-a-0",zone="vGPU"} 25',
            'GPUDeviceSharedNum{nodeid="a",deviceuuid="GPU-a-0",deviceidx="0",devicetype="NVIDIA A100-SXM4-40GB",zone="vGPU"} 1',
            'nodeGPUMemoryPercentage{nodeid="a",deviceuuid="GPU-a-0",deviceidx="0",zone="vGPU"} 0.5',
        ]
        found = [parsed(line) for line in text.splitlines()]
        for sample in wanted:
            assert parsed(sample) in found, (sample, [x for x in text.splitlines() if x.startswith(sample.split("{")[0])])
    with world(build, node("a", cards=1)) as (w, s):
        s.place(pod("p", slice_of(mem=20480, cores=25)), ["a"])
        others = {line.split()[2] for line in s.metrics().splitlines() if line.startswith("# TYPE") and not line.split()[2].startswith("hami_")}
        assert not others, others


@test("metrics are packed for who asks for it, and the same then")
def _(build):
    """scheduler.md 1.4."""
    with world(build, *(node(f"n{i}", cards=8) for i in range(100))) as (w, s):
        plain, packed = s.metrics(), s.packed_metrics()
        assert packed[0]["Content-Encoding"] == "gzip" and packed[0]["Vary"] == "Accept-Encoding", packed[0]
        assert packed[0]["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        of_nodes = lambda text: [line for line in text.splitlines() if "_scheduler_" not in line]
        assert len(packed[1]) < len(plain) / 4 and of_nodes(gzip.decompress(packed[1]).decode()) == of_nodes(plain)
        for accept in ("identity", "deflate, br", "gzip;q=0", "identity;q=1, gzip;q=0.5"):
            headers, body = s.packed_metrics(accept)
            assert "Content-Encoding" not in headers and headers["Vary"] == "Accept-Encoding", (accept, headers)
            assert of_nodes(body.decode()) == of_nodes(plain)
        headers, body = s.packed_metrics(method="HEAD")
        assert headers["Content-Encoding"] == "gzip" and body == b"", (headers, body)


@test("a hostile product name cannot forge a sample")
def _(build):
    with world(build, node("a", cards=1, kind='x"} 1\nhami_gpu_shared_count{node="z')) as (w, s):
        assert 'node="z"' not in s.metrics()


# ---- several instances


LEASE = ["--leader-elect", "--leader-elect-resource-name", "hami", "--leader-elect-resource-namespace", "kube-system"]


def lease(holder, renewed):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "hami", "namespace": "kube-system"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}}


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


@test("an instance follows kube-scheduler's lease and holds calls until it leads")
def _(build):
    with unstarted(build, node("a", cards=1)) as w:
        w.api("POST", LEASES, lease("node10_1", "2026-01-01T00:00:00.000000Z"))
        s = w.start(*LEASE, "--identity", "node1", wait="event=pods-synced")
        assert s.metric("hami_scheduler_leading") == 0, "node10 is not node1"
        assert s.get("/readyz").status == 200, "a standby is ready to be asked"
        p = w.create(pod("p", slice_of(mem=1)))
        import threading
        answers = []
        t = threading.Thread(target=lambda: answers.append(s.filter(p, ["a"])))
        t.start()
        w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": "node1_2", "renewTime": "2026-01-01T00:00:01.000000Z"}}, "application/merge-patch+json")
        t.join(20)
        assert answers and answers[0]["NodeNames"] == ["a"], answers


@test("a call that waits for a lease that is another's, or nobody's, is told once with both names")
def _(build):
    with unstarted(build, node("a", cards=1)) as w:
        p = w.create(pod("p", slice_of(mem=1)))
        body = json.dumps({"Pod": p, "Nodes": None, "NodeNames": ["a"]}).encode()
        w.api("POST", LEASES, lease("node10_1", "2026-01-01T00:00:00.000000Z"))
        other = [*LEASE[:2], "hami-misspelt", *LEASE[3:]]
        for flags, holder in ((LEASE, "node10_1"), (other, "nobody")):
            s = w.start(*flags, "--identity", "node1", wait="event=pods-synced")
            with contextlib.ExitStack() as callers:
                for _ in range(3):
                    caller = callers.enter_context(socket.create_connection(("127.0.0.1", s.port)))
                    caller.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                s.process.line(rf"event=asked-without-lease lease=kube-system/{flags[2]} .* held by {holder}, not by node1_")
                s.process.pump(0.1)
                assert sum("asked-without-lease" in x for x in s.process.lines) == 1, s.process.lines


@test("a held call whose caller has left reserves nothing")
def _(build):
    with unstarted(build, node("a", cards=1)) as w:
        w.api("POST", LEASES, lease("node10_1", "2026-01-01T00:00:00.000000Z"))
        s = w.start(*LEASE, "--identity", "node1", wait="event=pods-synced")
        body = json.dumps({"Pod": w.create(pod("left", slice_of(mem=1))), "Nodes": None, "NodeNames": ["a"]}).encode()
        with socket.create_connection(("127.0.0.1", s.port)) as caller:
            caller.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert s.get("/readyz").status == 200  # asked for after it, so it is held by now
        w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": "node1_2", "renewTime": "2026-01-01T00:00:01.000000Z"}}, "application/merge-patch+json")
        whole = w.create(pod("whole", slice_of(mem=40960)))
        assert s.filter(whole, ["a"])["NodeNames"] == ["a"]
        assert s.metric("hami_scheduler_leading") == 1


@test("a lease that its holder no longer renews leads nobody, though it still bears our name")
def _(build):
    """scheduler.md 6.11: counted from when it was last seen to change."""
    import time
    short = lease("node1_1", "2026-01-01T00:00:00.000000Z")
    short["spec"]["leaseDurationSeconds"] = 1
    with unstarted(build, node("a", cards=1)) as w:
        w.api("POST", LEASES, short)
        s = w.start(*LEASE, "--identity", "node1", wait="event=pods-synced")
        for word, renewed in (("no", None), ("yes", "2026-01-01T00:00:01.000000Z"), ("no", None)):
            if renewed:
                w.api("PATCH", LEASES + "/hami", {"spec": {"renewTime": renewed}}, "application/merge-patch+json")
            until = time.monotonic() + kit.LIMIT_S
            while f"leading: {word}" not in s.get("/readyz").text:
                assert time.monotonic() < until, (word, s.get("/readyz").text)
                time.sleep(0.02)


@test("whose lease is deleted leads no longer, and leads again once it is there")
def _(build):
    """scheduler.md 6.11."""
    held = lease("node1_1", "2026-01-01T00:00:00.000000Z")
    held["spec"]["leaseDurationSeconds"] = 3600
    with unstarted(build, node("a", cards=1)) as w:
        w.api("POST", LEASES, held)
        s = w.start(*LEASE, "--identity", "node1")
        assert "leading: yes" in s.get("/readyz").text
        for word in ("no", "yes"):
            w.api(*(("DELETE", LEASES + "/hami") if word == "no" else ("POST", LEASES, held)))
            until = time.monotonic() + kit.LIMIT_S
            while f"leading: {word}" not in s.get("/readyz").text:
                assert time.monotonic() < until, (word, s.get("/readyz").text)
                time.sleep(0.02)
            assert s.metric("hami_scheduler_leading") == (word == "yes")


@test("of two instances with a lease of their own one leads, and the other takes over when it stops")
def _(build):
    with unstarted(build, node("a", cards=1)) as w:
        own = [*LEASE, "--leader-elect-as", "own"]
        first = w.start(*own)
        second = w.start(*own, wait="event=pods-synced")
        assert first.metric("hami_scheduler_leading") == 1 and second.metric("hami_scheduler_leading") == 0
        first.place(pod("p", slice_of(mem=30000)), ["a"])
        first.process.end()
        second.process.line("event=leading")
        q = w.create(pod("q", slice_of(mem=30000)))
        assert second.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}


@test("an instance that is killed and started in its place goes on with its lease at once")
def _(build):
    long = ["--leader-elect-lease-duration", "3600s", "--leader-elect-renew-deadline", "3000s", "--leader-elect-retry-period", "300s"]
    own = ["restarted" if word == "hami" else word for word in LEASE] + ["--leader-elect-as", "own", *long]  # a name of this test's
    with unstarted(build, node("a", cards=1)) as w:
        holder = lambda: w.api("GET", LEASES + "/restarted").json["spec"]["holderIdentity"]
        first = w.start(*own)
        first.process.line("event=leading")
        name = holder()
        second = w.start(*own, wait="event=pods-synced")
        first.place(pod("p", slice_of(mem=30000)), ["a"])
        first.process.end(signal.SIGKILL)
        third = w.start(*own)
        third.process.line("event=leading")
        assert holder() == name
        assert second.metric("hami_scheduler_leading") == 0, "who came second has another name"
        q = w.create(pod("q", slice_of(mem=30000)))
        assert third.filter(q, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}


@test("a lease is given back only when no binding is under way any more")
def _(build):
    """Whoever takes over counts what is bound: a binding that comes in later could give a card away twice."""
    with world(build, node("a", cards=1), flags=[*LEASE, "--leader-elect-as", "own"]) as (w, s):
        p = w.create(pod("p", slice_of(mem=30000)))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        w.api("POST", "/control/set?binding_ms=1500")
        m = p["metadata"]
        body = json.dumps({"PodName": m["name"], "PodNamespace": m["namespace"], "PodUID": m["uid"], "Node": "a"}).encode()
        with socket.create_connection(("127.0.0.1", s.port), timeout=kit.LIMIT_S) as caller:
            caller.sendall(b"POST /bind HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            assert s.get("/healthz").status == 200  # asked for after it, so it is under way by now
            s.process.p.send_signal(signal.SIGTERM)
            with caller.makefile("rb") as answer:
                assert b'"Error":""' in answer.read(), "a binding that was begun is not finished"
        assert s.process.p.wait(20) == 0
        bound, given_back = w.pod("p"), w.api("GET", LEASES + "/hami").json
        assert bound["spec"]["nodeName"] == "a" and not given_back["spec"]["holderIdentity"], given_back
        assert int(bound["metadata"]["resourceVersion"]) < int(given_back["metadata"]["resourceVersion"]), "it was given back before"


def role_is(w, role):
    """Waits until the instance's pod says so; nobody is told when its write has arrived."""
    until = time.monotonic() + kit.LIMIT_S
    while w.pod("me", "kube-system")["metadata"].get("labels") != {"hami.io/scheduler-role": role}:
        assert time.monotonic() < until, f"the role never is {role}"
        time.sleep(0.01)


@test("who takes over decides nothing until its own mark has come back through the watch")
def _(build):
    with unstarted(build, node("a", cards=1)) as w:
        w.create(pod("me", {}, namespace="kube-system"))
        w.api("POST", LEASES, lease("other_1", "2026-01-01T00:00:00.000000Z"))
        env = {**os.environ, "POD_NAME": "me", "POD_NAMESPACE": "kube-system"}
        s = w.start(*LEASE, "--identity", "node1", wait="event=pods-synced", env=env)
        s.process.p.send_signal(signal.SIGSTOP)
        late = pod("late", slice_of(mem=40960), annotations={"hami.io/vgpu-devices-allocated": "GPU-a-0,NVIDIA,40960,0:;", "hami.io/vgpu-node": "a"})
        late["spec"]["nodeName"] = "a"
        w.create(late)  # as the leader before bound it
        w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": "node1_2", "renewTime": "2026-01-01T00:00:01.000000Z"}}, "application/merge-patch+json")
        p = w.create(pod("p", slice_of(mem=1)))
        s.process.p.send_signal(signal.SIGCONT)
        assert s.filter(p, ["a"])["FailedNodes"] == {"a": "1/1 CardInsufficientMemory"}
        assert w.pod("me", "kube-system")["metadata"]["annotations"]["hami.io/leading"]
        assert w.pod("me", "kube-system")["metadata"]["labels"] == {"hami.io/scheduler-role": "leader"}
        w.api("PATCH", LEASES + "/hami", {"spec": {"holderIdentity": "other_1", "renewTime": "2026-01-01T00:00:02.000000Z"}}, "application/merge-patch+json")
        role_is(w, "follower")


@test("who decides alone has its pod selected by the Service of the reference's chart")
def _(build):
    """scheduler.md 10: the Service's selector includes hami.io/scheduler-role: leader."""
    with unstarted(build, node("a")) as w:
        w.create(pod("me", {}, namespace="kube-system"))
        w.start(env={**os.environ, "POD_NAME": "me", "POD_NAMESPACE": "kube-system"})
        role_is(w, "leader")


# ---- the command line


@test("the reference's command line starts this service")
def _(build):
    """scheduler.md 10.2: the arguments that the chart renders."""
    with unstarted(build, node("a")) as w:
        s = w.start("--node-scheduler-policy=binpack", "--gpu-scheduler-policy=spread", "--force-overwrite-default-scheduler=true",
                    "--leader-elect=false", "--leader-elect-resource-name=x", "--leader-elect-resource-namespace=y", "--enable-ascend=true",
                    "--enable-iluvatar=true", "--legacy-metrics=false", "--debug", "-v=4", "--kube-qps=1000", "--kube-burst=2000",
                    "--node-lock-timeout=5m", "--cambricon-mlu-name=cambricon.com/mlu", "--logtostderr=true",
                    "--alsologtostderr", "--skip_headers", "--stderrthreshold", "INFO", "--vmodule", "x=1", "--log_dir", w.dir,
                    "--log_file", "x", "--log_file_max_size", "1", "--log_backtrace_at", "x:1", "--one_output=false")  # klog's
        assert s.get("/readyz").status == 200


FLAGS = {  # scheduler.md 1.3, beside those that the harness gives; a value that is not the default
    "--node-scheduler-policy": "spread", "--gpu-scheduler-policy": "binpack", "--node-label-selector": "gpu=on", "--kube-qps": "50.5", "--kube-burst": "100",
    "--kube-timeout": "20", "--profiling": "true", "--node-lock-timeout": "4m", "--node-lock-retry-timeout": "20s", "--force-overwrite-default-scheduler": "false",
    "--leader-elect": "false", "--leader-elect-resource-name": "x", "--leader-elect-resource-namespace": "y", "--legacy-metrics": "true", "--debug": "true",
    "--enable-ascend": "true", "--enable-iluvatar": "true", "--cambricon-mlu-name": "x.io/1", "--cambricon-mlu-memory": "x.io/2", "--cambricon-mlu-cores": "x.io/3",
    "--dcu-name": "x.io/4", "--dcu-memory": "x.io/5", "--dcu-cores": "x.io/6", "--mthreads-name": "x.io/7", "--mthreads-memory": "x.io/8", "--mthreads-cores": "x.io/9",
    "--metax-name": "x.io/10", "--metax-vcount": "x.io/11", "--metax-vcore": "x.io/12", "--metax-vmemory": "x.io/13", "--sgpu-topology-aware": "true",
    "--kunlun-name": "x.io/14", "--kunlun-vcount": "x.io/15", "--kunlun-vmemory": "x.io/16", "--enflame-gcu-resource-name": "x.io/17",
    "--enflame-drs-gcu-resource-name": "x.io/18", "--enflame-gcu-memory-resource-name": "x.io/19", "--enflame-gcu-core-resource-name": "x.io/20",
    "--enflame-vgcu-resource-name": "x.io/21", "--enflame-vgcu-legacy-resource-name": "x.io/22", "--enflame-vgcu-percentage-resource-name": "x.io/23",
    "-v": "5", "--logtostderr": "true", "--alsologtostderr": "false", "--stderrthreshold": "2", "--vmodule": "x=1", "--log_dir": "/nowhere", "--log_file": "/nowhere/x",
    "--log_file_max_size": "10", "--log_backtrace_at": "x.go:1", "--add_dir_header": "false", "--skip_headers": "true", "--skip_log_headers": "true", "--one_output": "true"}


@test("every flag of the reference is taken at once; what its file names is not renamed, and what means something means it")
def _(build):
    n = node("a", cards=1)
    n["metadata"]["labels"] = {"gpu": "on"}
    given = [f"{flag}={value}" for flag, value in FLAGS.items()]
    managed = [subprocess.run([os.path.join(build, "hami"), "scheduler", *flags, "--print", "managed-resources"], capture_output=True, text=True)
               for flags in (given, ["--enable-ascend", "--enable-iluvatar"])]
    assert managed[0].returncode == 0 and managed[0].stdout == managed[1].stdout and "x.io" not in managed[0].stdout, managed
    with unstarted(build, n, node("b", cards=1)) as w:
        s = w.start(*given, "--webhook-bind", "127.0.0.1:0")
        p = w.create(pod("p", slice_of(mem=1)))
        assert s.filter(p, ["a", "b"])["NodeNames"] == ["a"], "--node-label-selector"
        assert s.filter(w.create(pod("q", slice_of(mem=50000))), ["a", "b"])["FailedNodes"]["b"] == "node unregistered"
        assert "# TYPE GPUDeviceMemoryLimit " in s.metrics(), "--legacy-metrics"
        assert s.get("/debug/pprof/").status == 404, "--profiling: there is no Go to look into"
        for its, ours in (("default-scheduler", False), ("other", False), ("hami-scheduler", True), ("", True)):
            asks = pod("r", slice_of())
            asks["spec"]["schedulerName"] = its
            r = s.review(asks)
            ops = {o["path"]: o["value"] for o in patch_of(r)}
            assert r["allowed"] and bool(ops) == ours, (its, r)
            assert ops.get("/spec/schedulerName") == (None if its else "hami-scheduler") or not ours, (its, ops)


@test("wrong flags are refused with flag, value and remedy")
def _(build):
    hami = os.path.join(build, "hami")
    rows = [
        (["--leader-elect=maybe"], "--leader-elect maybe: is neither true nor false"),
        (["--node-scheduler-policy", "binpak"], "--node-scheduler-policy binpak: is none of binpack and spread"),
        (["--admission-check", "forgd=warn"], "--admission-check forgd: is none of"),
        (["--cert_file", "x"], "go together"),
        (["--leader-elect"], "needs --leader-elect-resource-name"),
        (["--leader-elect-silence=100ms"], "--leader-elect-silence 100ms: is shorter than 500ms"),
        (["--leader-elect-silence", "soon"], "--leader-elect-silence soon: "),
        (["--leader-elect-as=own", "--leader-elect-silence=1s"], "is for --leader-elect-as=follow"),
        (["--leader-elect-silence=1s"], "--leader-elect-silence 1s: needs --leader-elect"),
        (["--node-label-selector", "gpu"], "needs the form key=value"),
        (["--device-config-file", "/nowhere"], "--device-config-file"),
        (["--lease"], "unknown flag --lease"),
        (["now"], "takes no arguments"),
    ]
    for args, words in rows:
        r = subprocess.run([hami, "scheduler", *args], capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and words in r.stderr, (args, r.stderr)


@test("an API server that is not there is an error to see, not to die of")
def _(build):
    with unstarted(build) as w:
        with open(w.config) as f:
            text = f.read().replace(str(w.api_port), "9")
        with open(w.config, "w") as f:
            f.write(text)
        s = w.start(wait="level=warn event=watch what=nodes")
        assert s.get("/readyz").status == 503
        assert s.process.end() == 0, "SIGTERM is an orderly end"


@test("a listener beyond this machine needs TLS")
def _(build):
    with unstarted(build) as w:
        r = subprocess.run([os.path.join(build, "hami"), "scheduler", "--kubeconfig", w.config, "--http_bind", "0.0.0.0:0"],
                           capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and "TLS" in r.stderr, r.stderr


# ---- manifests


@test("what yaml writes, yaml --check accepts, for every family")
def _(build):
    hami = os.path.join(build, "hami")
    rows = [["--vendor", "NVIDIA", "--mem", "3000", "--cores", "30", "--node-policy", "spread", "--type", "A100"], ["--vendor", "MLU", "--mem", "8G"],
            ["--vendor", "DCU", "--mem", "2000", "--cores", "60"], ["--vendor", "Ascend910B3", "--mem", "16384"], ["--vendor", "amd", "--mem", "8G"],
            ["--vendor", "Mthreads"], ["--vendor", "Metax-SGPU", "--mem", "4G", "--cores", "50"], ["--vendor", "Enflame"], ["--vendor", "kunlun"],
            ["--vendor", "XPU", "--mem", "24576"], ["--vendor", "AWSNeuron"], ["--vendor", "Biren"], ["--vendor", "Vastai"],
            ["--vendor", "MR-V100", "--mem", "8G"], ["--vendor", "GCU"], ["--vendor", "Metax-GPU"]]
    for kind in ("pod", "deployment", "job"):
        for flags in rows:
            made = subprocess.run([hami, "yaml", kind, "--name", "demo", *flags, "--", "sleep", "1"], capture_output=True, text=True)
            assert made.returncode == 0, (flags, made.stderr)
            checked = subprocess.run([hami, "yaml", "--check", "-"], input=made.stdout, capture_output=True, text=True)
            assert checked.returncode == 0 and "1 pod, nothing to mend" in checked.stdout, (made.stdout, checked.stdout, checked.stderr)


@test("yaml --check names object, field, value and remedy")
def _(build):
    text = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod}
spec:
  template:
    spec:
      containers:
      - {name: c, image: x, resources: {limits: {nvidia.com/gpu: 1, nvidia.com/gpumem: 16Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
"""
    r = subprocess.run([os.path.join(build, "hami"), "yaml", "--check", "-", "--json"], input=text, capture_output=True, text=True)
    found = json.loads(r.stdout)
    assert r.returncode == 64 and len(found) == 1, r
    assert found[0]["object"] == "Deployment prod/web" and found[0]["level"] == "error"
    assert "nvidia.com/gpumem" in found[0]["message"] and "16Gi" in found[0]["message"], found


@test("keys of device-config.yaml that nobody reads are named, and do not keep it from starting")
def _(build):
    with unstarted(build, node("a")) as w:
        path = os.path.join(w.dir, "device-config.yaml")
        with open(path, "w") as f:
            f.write("nvidia:\n  resourceCountName: nvidia.com/gpu\n  resourceCuontName: nvidia.com/x\n")
        s = w.start("--device-config-file", path, wait=None)
        assert s.process.line("event=device-config .*(resourceCuontName)")
        s.process.line("event=ready")


@test("the extender answers only this machine or a verified client")
def _(build):
    def sh(*a, cwd):
        subprocess.run(a, cwd=cwd, check=True, capture_output=True)
    with unstarted(build, node("a")) as w:
        d = w.dir
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2", cwd=d)
        for name, use in (("server", "serverAuth"), ("client", "clientAuth")):
            sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name, cwd=d)
            with open(os.path.join(d, "ext"), "w") as f:
                f.write(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={use}\n")
            sh("openssl", "x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext", "-out", name + ".crt", "-days", "2", cwd=d)
        path = lambda n: os.path.join(d, n)
        s = w.start("--cert_file", path("server.crt"), "--key_file", path("server.key"), "--client-ca-file", path("ca.crt"))
        context = ssl.create_default_context(cafile=path("ca.crt"))
        for where in ("/healthz", "/debug/snapshot"):
            try:
                call(s.port, "GET", where, tls=context)
                raise AssertionError(f"a client without a certificate was served {where}")
            except (ssl.SSLError, ConnectionError):
                pass
        assert call(s.metrics_port, "GET", "/debug/snapshot").status == 404, "the listener of metrics is open to all"
        context.load_cert_chain(path("client.crt"), path("client.key"))
        assert call(s.port, "GET", "/readyz", tls=context).status == 200
        p = w.create(pod("p", slice_of(mem=1)))
        a = call(s.port, "POST", "/filter", {"Pod": p, "NodeNames": ["a"]}, tls=context)
        assert a.json["NodeNames"] == ["a"], a.text


if __name__ == "__main__":
    kit.main()
