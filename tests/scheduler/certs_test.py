#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The self-made certificate of admission: its authority in the webhook configuration, and its renewal."""
import base64
import contextlib
import signal
import socket
import ssl
import time

import kit
from kit import node, pod, slice_of, test

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
OURS = CONFIGURATIONS + "/hami-webhook"
FLAGS = ["--webhook-bind", "127.0.0.1:0", "--webhook-configuration", "hami-webhook"]


def apply(w):
    w.api("POST", CONFIGURATIONS, {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                                   "metadata": {"name": "hami-webhook"}, "webhooks": [{"name": "vgpu.hami.io", "clientConfig": {"url": "https://x"}}]})


@contextlib.contextmanager
def world(build, *flags, refuse="", applied=True):
    """Two of a kind: the other configuration shows that only ours is followed."""
    w = kit.World(build, [node("a")])
    try:
        w.api("POST", CONFIGURATIONS, {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                                       "metadata": {"name": "another"}, "webhooks": [{"name": "vgpu.hami.io", "clientConfig": {"url": "https://x"}}]})
        refused(w, refuse)
        if applied:
            apply(w)
        yield w, w.start(*FLAGS, *flags)
        assert "caBundle" not in w.api("GET", CONFIGURATIONS + "/another").json["webhooks"][0]["clientConfig"]
    finally:
        w.close()


def refused(w, rights):
    w.api("POST", "/control/set?refuse=" + rights.replace(" ", "+"))


def bundle(w):
    return base64.b64decode(w.api("GET", OURS).json["webhooks"][0]["clientConfig"].get("caBundle", "")).decode()


def overwrite(w, text="another's\n"):
    w.api("PATCH", OURS, [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": base64.b64encode(text.encode()).decode()}],
          "application/json-patch+json")


def trusted(w, s):
    """Whether the API server, which believes the bundle, can ask for a review."""
    context = ssl.create_default_context(cadata=bundle(w))
    return s.review(pod("p", slice_of(mem=1)), tls=context)["allowed"]


def published(s, start=0, again="no"):
    """Where the lines go on after it."""
    s.process.line("event=ca-published name=hami-webhook again=" + again, start=start)
    return len(s.process.lines)


def asked(w):
    """Verbs with which the service turned to webhook configurations, and how often."""
    return {r["verb"]: r["calls"] for r in w.stats()["requests"] if r["resource"] == "mutatingwebhookconfigurations" and r["agent"].startswith("hami")}


def until_asked(w, expected):
    """Waits for so many requests. The fake tells no one of them, so it is asked again and again."""
    until = time.monotonic() + kit.LIMIT_S
    while asked(w) != expected:
        assert time.monotonic() < until, f"{asked(w)}, wanted {expected}"
        time.sleep(0.01)


def until_dealt_with(w, *instances):
    """A last change, which each instance tells of: by then it has acted on all that its watch brought before."""
    starts = [len(s.process.lines) for s in instances]
    w.api("DELETE", OURS)
    for s, start in zip(instances, starts):
        s.process.line("event=webhook-configuration name=hami-webhook .*not found", start=start)


@test("an overwritten caBundle is entered again by the watch's word alone, and ever more slowly")
def _(build):
    with world(build) as (w, s):
        at = published(s)
        overwrite(w)
        at = published(s, at, "yes")
        assert trusted(w, s)
        assert asked(w) == {"list": 1, "watch": 1, "patch": 2}, asked(w)
        overwrite(w)
        began = time.monotonic()
        published(s, at, "yes")
        assert time.monotonic() - began > 2, "somebody who writes it all day long is answered as often"
        assert trusted(w, s)


@test("a configuration that goes and is applied anew is served at once")
def _(build):
    with world(build) as (w, s):
        at = published(s)
        w.api("DELETE", OURS)
        s.process.line("event=webhook-configuration name=hami-webhook .*not found")
        apply(w)
        published(s, at)
        assert trusted(w, s) and asked(w).get("get", 0) == 0, asked(w)


@test("authorities of others that are in force stay, ours come and go with the instance")
def _(build):
    with world(build) as (w, s):
        published(s)
        other = w.start(*FLAGS)
        published(other)
        assert trusted(w, s) and trusted(w, other)
        assert bundle(w).count("BEGIN CERTIFICATE") == 2, bundle(w)
        until_dealt_with(w, s, other)
        assert asked(w) == {"list": 2, "watch": 2, "patch": 2}, f"they overwrite each other's bundle: {asked(w)}"


@test("a bundle that has grown too large loses the oldest, and never that of an instance that lives")
def _(build):
    with world(build) as (w, s):
        at = published(s)
        ours = bundle(w)
        gone = w.start(*FLAGS)
        published(gone)
        theirs = bundle(w)[len(ours):]
        gone.process.end()
        other = w.start(*FLAGS)
        published(other)
        last = bundle(w)[len(ours + theirs):]
        before = asked(w)
        other.process.p.send_signal(signal.SIGSTOP)  # both would shorten it; so it is known who is first
        overwrite(w, theirs * 200 + last)
        published(s, at, "yes")
        assert bundle(w).endswith(theirs + last + ours) and len(bundle(w)) <= 64 << 10, bundle(w)[-2000:]
        other.process.p.send_signal(signal.SIGCONT)
        too_late = {**before, "patch": before["patch"] + 2, "get": before.get("get", 0) + 1}
        until_asked(w, too_late)
        assert trusted(w, s) and trusted(w, other)
        until_dealt_with(w, s, other)
        assert asked(w) == too_late, f"they overwrite each other's bundle: {asked(w)}"


@test("without the right to watch or list it works, and what is lost is said once")
def _(build):
    for verb in ("watch", "list"):
        with world(build, refuse=f"{verb} mutatingwebhookconfigurations") as (w, s):
            at = published(s)
            assert trusted(w, s)
            said = s.process.line(f"event=right-missing verb={verb} resource=mutatingwebhookconfigurations .*").group(0)
            assert "caBundle is overwritten" in said and "rbac.yaml" in said, said
            s.process.p.send_signal(signal.SIGHUP)
            at = published(s, at)
            s.process.line("event=certificate-served")
            assert trusted(w, s)
            w.api("DELETE", OURS)
            apply(w)
            refused(w, "")
            published(s, at, r"\w+")
            assert trusted(w, s)
            assert len([line for line in s.process.lines if "event=right-missing" in line]) == 1, s.process.lines


@test("without the right to watch, a configuration that comes late is found by reading")
def _(build):
    for verb in ("watch", "list"):
        with world(build, refuse=f"{verb} mutatingwebhookconfigurations", applied=False) as (w, s):
            s.process.line("event=webhook-configuration name=hami-webhook .*not found")
            s.process.line("event=right-missing")
            apply(w)
            published(s)
            assert trusted(w, s)


@test("the certificate is made anew after two thirds of its life, while the one before is good")
def _(build):
    with world(build, "--webhook-cert-life", "15s") as (w, s):
        published(s)
        context = ssl.create_default_context(cadata=bundle(w))
        with socket.create_connection(("127.0.0.1", s.webhook_port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            until = ssl.cert_time_to_seconds(tls.getpeercert()["notAfter"])
            first = tls.getpeercert(True)
        assert until <= time.time() + 16, "it lives longer than was asked for"
        at = len(s.process.lines)
        s.process.line("event=certificate-made", start=at)
        published(s, at)
        s.process.line("event=certificate-served", start=at)
        assert time.time() < until, "the one before had ended"
        assert trusted(w, s)
        second = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", s.webhook_port)))
        assert first != second
        s.process.line("event=certificate-made", start=len(s.process.lines))  # and so on


def shown(s):
    return ssl.get_server_certificate(("127.0.0.1", s.webhook_port))


@test("a renewal refuses no pod: who knows the configuration as it was a moment ago can still ask")
def _(build):
    with world(build) as (w, s):
        published(s)
        first = before = shown(s)
        s.process.p.send_signal(signal.SIGHUP)
        while before == first:
            context = ssl.create_default_context(cadata=bundle(w))
            time.sleep(0.3)  # an API server's own watch has to come by what was written
            before = shown(s)
            assert s.review(pod("p", slice_of(mem=1)), tls=context)["allowed"]
        s.process.line("event=certificate-served")


@test("without a configuration to enter it into, a new certificate is served while the one before is good")
def _(build):
    with world(build, "--webhook-cert-life", "12s", applied=False) as (w, s):
        first = shown(s)
        until = time.time() + 12
        s.process.p.send_signal(signal.SIGHUP)
        s.process.line("event=certificate-served")
        assert shown(s) != first and time.time() < until


@test("a certificate that was made anew on SIGHUP has its whole time")
def _(build):
    """The timer of the one before is gone with it."""
    with world(build, "--webhook-cert-life", "9s") as (w, s):
        published(s)
        time.sleep(3)  # the first has three seconds left until it is due
        s.process.p.send_signal(signal.SIGHUP)
        s.process.line("event=certificate-made")
        at, since = len(s.process.lines), time.monotonic()
        s.process.line("event=certificate-made", start=at)
        assert time.monotonic() - since > 5, "the first one's timer made another"


if __name__ == "__main__":
    kit.main(at_once=4)
