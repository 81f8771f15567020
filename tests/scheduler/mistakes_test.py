#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is set up wrongly around the scheduler, and how it says so."""
import base64
import signal

import kit
from contract import world
from kit import node, pod, slice_of, test

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def configuration(*names):
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "hami-webhook"},
            "webhooks": [{"name": name, "clientConfig": {"url": "https://x"}} for name in names]}


def said(s, event):
    return [line for line in s.process.lines if f"event={event} " in line]


@test("a webhook configuration that is missing is said once, and again when what is wrong changes")
def _(build):
    with world(build, node("a"), flags=["--webhook-bind", "127.0.0.1:0", "--webhook-configuration", "hami-webhook"]) as (w, s):
        def look():
            """SIGHUP makes a certificate and looks for the configuration at once; a binding later the answer has come."""
            start = len(s.process.lines)
            s.process.p.send_signal(signal.SIGHUP)
            s.process.line("event=certificate-made", start=start)
            s.place(pod(f"p{start}", slice_of(mem=1)), ["a"])
        s.process.line("event=webhook-configuration .*not found")
        for _ in range(3):
            look()
        assert len(said(s, "webhook-configuration")) == 1, said(s, "webhook-configuration")
        w.api("POST", CONFIGURATIONS, configuration("a.example.org", "b.example.org"))
        look()
        s.process.line("event=webhook-configuration .*holds no webhook vgpu.hami.io")
        look()
        assert len(said(s, "webhook-configuration")) == 2, said(s, "webhook-configuration")
        w.api("DELETE", CONFIGURATIONS + "/hami-webhook")
        w.api("POST", CONFIGURATIONS, configuration("vgpu.hami.io"))
        look()
        s.process.line("event=webhook-configuration-good")
        assert base64.b64decode(w.api("GET", CONFIGURATIONS + "/hami-webhook").json["webhooks"][0]["clientConfig"]["caBundle"])


@test("a decision about a pod without cards has a deadline of its own")
def _(build):
    """Nothing else ends here that could take it along."""
    with world(build, node("a"), flags=["--reservation-time", "200ms"]) as (w, s):
        p = w.create(pod("p", {}))
        assert s.filter(p, ["a"])["NodeNames"] == ["a"]
        s.process.line("event=decisions-expired .*pods=1")
        assert "nothing was decided" in s.bind(p, "a")
        assert s.filter(p, ["a"])["NodeNames"] == ["a"] and s.bind(p, "a") == ""


@test("the impossible is refused with the most that any node has, and families that no node has together are")
def _(build):
    big, dcu = node("big", cards=1, mem=80000), node("dcu", cards=0)
    dcu["metadata"]["annotations"]["hami.io/node-dcu-register"] = "DCU-0,4,65536,100,DCU-Z100L,0,true:"
    with world(build, node("many", cards=4), big, dcu, flags=["--webhook-bind", "127.0.0.1:0"]) as (w, s):
        def refused(*containers):
            r = s.review(pod("p", *containers))
            return "" if r["allowed"] else r["status"]["message"]
        for asks in (slice_of(mem=80001), slice_of(gpus=5, mem=10)):
            why = refused(asks)
            assert "a node has at most 4 (many)" in why and "80000 MiB (big)" in why, (asks, why)
        assert refused(slice_of(mem=80000)) == "" and refused({"hygon.com/dcunum": 1}) == ""
        why = refused(slice_of(mem=10), {"hygon.com/dcunum": 1})
        assert "NVIDIA GPU is on node many" in why and "Hygon DCU is on node dcu" in why and "separate pods" in why, why
        assert refused(slice_of(mem=10), {"cambricon.com/vmlu": 1}) == ""  # such nodes may be about to come


if __name__ == "__main__":
    kit.main()
