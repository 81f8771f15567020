# SPDX-License-Identifier: Apache-2.0
"""The scheduler is killed again and again while pods come and go; nothing is given away twice and nothing is lost.

HAMI_E2E_SEED repeats a run's choices; HAMI_E2E_ROUNDS is how often it is killed.
"""
import os
import random
import time

from hami import USER
from kit import FLAGS, note, test
from nodes import nvidia
from pods import pod

NODES, CARDS, BATCH = 200, 8, 100
ROUNDS = int(os.environ.get("HAMI_E2E_ROUNDS", "10"))
SIZES = [(2000, 10), (5000, 25), (10000, 50), (20000, 100), (40960, 100)]


def random_pods(rng, round_):
    made = []
    for i in range(BATCH):
        mem, cores = rng.choice(SIZES)
        made.append(pod(f"r{round_}-{i}", gpus=rng.choice((1, 1, 1, 2)), mem=mem, cores=cores))
    return made


def load(w, rng, disturb):
    """Rounds of new pods, some of the old ones deleted, and a disturbance in the midst of it."""
    alive = set()
    for round_ in range(ROUNDS):
        w.create(*random_pods(rng, round_))
        alive |= {f"r{round_}-{i}" for i in range(BATCH)}
        disturb(round_)
        for name in rng.sample(sorted(alive), len(alive) // 2):
            w.api.delete("pods", name, w.ns)
            alive.discard(name)
        w.nothing_is_given_twice()
    w.all_bound(sorted(alive), limit_s=180)
    return alive


def bound_once(w, since):
    bindings = [r["objectRef"]["name"] for r in w.plane.audit(since) if r["user"]["username"] == USER and r["responseStatus"]["code"] < 300
                and r.get("objectRef", {}).get("subresource") == "binding" and r["objectRef"]["namespace"] == w.ns]
    assert len(bindings) == len(set(bindings)), sorted(name for name in set(bindings) if bindings.count(name) > 1)[:5]
    return len(bindings)


def everything_fits_again(w):
    """Nothing leaked: when all pods are gone, whole cards fit as often as there are cards."""
    w.api.delete_all("pods", w.ns)
    names = [f"whole-{i}" for i in range(NODES)]
    w.create(*(pod(name, gpus=CARDS) for name in names))
    w.all_bound(names, limit_s=180)
    w.nothing_is_given_twice()


def cluster(w):
    seed = int(os.environ.get("HAMI_E2E_SEED") or random.randrange(1 << 32))
    note(f"HAMI_E2E_SEED={seed}")
    for i in range(NODES):
        w.node(f"gpu-{i}", nvidia(f"gpu-{i}", cards=CARDS))
    return random.Random(seed)


@test("chaos: killing the scheduler under load gives nothing away twice and loses nothing")
def _(w):
    rng, since, start = cluster(w), w.plane.audit_position(), time.monotonic()

    def kill(round_):
        time.sleep(rng.random())  # any moment is a good one
        w.hami.child.kill()
        w.hami.start(*FLAGS, wait=round_ % 2 == 0)
    load(w, rng, kill)
    w.hami.child.until(w.hami.ready, "ready in the end")
    note(f"{bound_once(w, since)} pods bound, {ROUNDS} kills, {time.monotonic() - start:.0f} s")
    everything_fits_again(w)


@test("chaos: killing the API server under load gives nothing away twice and loses nothing")
def _(w):
    rng, since = cluster(w), w.plane.audit_position()

    def kill(round_):
        if round_ % 4 == 3:
            time.sleep(rng.random())
            w.plane.children["apiserver"].kill()
            w.plane.start_apiserver()
            w.api.close()
    load(w, rng, kill)
    note(f"{bound_once(w, since)} pods bound")
    everything_fits_again(w)
