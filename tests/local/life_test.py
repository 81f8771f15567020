#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The life of slices: races, queues, deaths at every step, resize, doctor."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess

from kit import CLIENT, LIMIT_S, MIB, Skip, alive, ask, cgroup_mount, eventually, line, main, need_root, rest, test


def end(*holders):
    for p in holders:
        p.stdin.close()
        p.wait()


@test("of two that race for the last slice exactly one wins")
def _(w):
    w.config("[cards]\nsplit_count = 1\n")
    first = w.hold("--mem", "1G")
    for _ in range(4):
        racers = [w.start("--mem", "1G", "--", "sh", "-c", "echo in; read x") for _ in range(2)]
        losers = []
        while not losers:
            losers = [p for p in racers if p.poll() is not None]
        assert len(losers) == 1 and losers[0].returncode == 66, [p.returncode for p in racers]
        winner = [p for p in racers if p not in losers][0]
        assert line(winner) == "in"
        rest(losers[0])
        end(winner)
    end(first)
    assert w.leftovers() == []


@test("--wait is served in order of arrival, and gives up in time")
def _(w):
    w.config("[cards]\nsplit_count = 1\n")
    holders = [w.hold("--mem", "1G"), w.hold("--mem", "1G")]
    r = w.run("--mem", "1G", "--wait=100ms", "--", "true")
    assert r.returncode == 67 and "gave up" in r.stderr, r
    waiters = []
    for i in range(3):
        waiters.append(w.start("--wait", "--mem", "1G", "--name", f"w{i}", "--", "sh", "-c", "echo in; read x"))
        eventually(lambda: tickets(w) == i + 1, "joining the queue")
    holders[0].stdin.close()
    for i, p in enumerate(waiters):
        assert line(p) == "in"
        assert [q.poll() for q in waiters[i + 1:]] == [None] * (2 - i)
        p.stdin.close()
        p.wait()
    end(*holders)
    order = [e["text"] for e in events(w) if e["kind"] == "reserved"]
    assert len(order) == 5 and w.leftovers() == [], order
    # What no empty machine could serve is not waited for.
    assert w.run("--mem", "500G", "--wait", "--", "true").returncode == 66


@test("behind others in the queue a request is judged at once, and says why it gave up")
def _(w):
    holder = w.hold("--mem", "1G", "--cores", "30")
    first = w.start("--wait", "--gpus", "2", "--exclusive", "--", "true")
    eventually(lambda: tickets(w) == 1, "joining the queue")
    r = w.run("--mem", "500G", "--wait=10s", "--", "true")
    assert r.returncode == 66 and "an empty host would not take it either" in r.stderr, r
    r = w.run("--gpus", "2", "--mem", "40G", "--wait=50ms", "--", "true")
    assert r.returncode == 67 and "not enough memory is free" in r.stderr and "gave up after --wait=50ms" in r.stderr, r
    r = w.run("--mem", "1G", "--wait=50ms", "--", "true")
    assert r.returncode == 67 and "gave up after --wait=50ms" in r.stderr and "others wait in front" in r.stderr, r
    end(holder)
    first.wait()


@test("a lost card of a machine that nothing runs on is no finding about another one")
def _(w):
    other = ["--sim", w.profile + ",kernel=9us"]
    here = {"HAMI_SIM_STATE": w.path("other")}

    def unhealthy(*args, **more):
        return [f["slice"] for f in json.loads(w.call("doctor", "--json", *args, **more).stdout) if f["finding"] == "card_unhealthy"]

    p = w.hold("--mem", "1G", "--gpus", "2")
    held = w.only()["id"]
    assert w.call("sim", "fault", "lost", "--device", "1", env={"HAMI_SIM": w.profile}).returncode == 0
    assert "" in unhealthy("--sim", w.profile) and unhealthy(held) == [held]
    assert unhealthy(*other, env=here) == [""], "a slice still holds it"
    q = w.call("run", *other, "--detach", "--mem", "1G", "--gpus", "2", "--", "sleep", "60", env=here).stdout.strip()
    assert unhealthy(q, env=here) == []
    p.stdin.close()
    p.wait()
    assert unhealthy(*other, env=here) == [] and unhealthy() == []


@test("machines of other profiles have cards of their own, though their UUIDs are the same")
def _(w):
    other = {"HAMI_SIM_STATE": w.path("other")}
    sim = ["--sim", w.profile + ",kernel=9us"]
    w.hold("--mem", "30G", "--gpus", "2")
    show = ["--mem", "30G", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    r = w.call("run", *sim, *show, env=other)
    assert r.returncode == 0 and r.stdout.strip() in w.only()["shares"][0]["uuid"] + w.only()["shares"][1]["uuid"], r
    cards = json.loads(w.call("top", "--once", "--json", *sim, env=other).stdout)["cards"]
    found = [(c["machine"], c["slices"], c["granted_bytes"] // MIB) for c in cards]
    assert sorted(found) == [(w.profile, 1, 30720)] * 2 + [(sim[1], 0, 0)] * 2, found


@test("events --follow ends when nobody reads any more, without waiting for an event")
def _(w):
    w.run("--mem", "1G", "--", "true")
    p = subprocess.Popen([w.hami, "events", "--follow"], stdout=subprocess.PIPE, env=w.env)
    w.children.append(p)
    assert b"reserved" in p.stdout.readline()
    p.stdout.close()
    p.stdout = None
    p.wait(timeout=20)


def tickets(w):
    import sqlite3
    db = sqlite3.connect(w.path("state", "ledger.db"))
    n = db.execute("SELECT count(*) FROM waiters").fetchone()[0]
    db.close()
    return n


def events(w, *args):
    return [json.loads(l) for l in w.call("events", "--json", *args).stdout.splitlines()]


@test("a waiter is woken by the death of a holder that says nothing")
def _(w):
    w.config("[cards]\nsplit_count = 1\n")
    holders = [w.hold("--mem", "1G"), w.hold("--mem", "1G")]
    waiter = w.start("--wait", "--mem", "1G", "--", "echo", "in")
    eventually(lambda: tickets(w) == 1, "joining the queue")
    holders[0].kill()
    assert rest(waiter)[:2] == (0, "in\n")
    end(holders[1])


@test("kill -9 of hami run takes the command along and frees the slice")
def _(w):
    p = w.hold("--mem", "1G")
    pid = w.only()["pid"]
    p.kill()
    p.wait()
    eventually(lambda: not alive(pid), "the command's death")
    assert w.slices() == [] and w.leftovers() == []
    assert [e["kind"] for e in events(w)][-1] == "ended"


@test("kill -9 of the command is its exit status")
def _(w):
    p = w.hold("--mem", "1G")
    os.kill(w.only()["pid"], signal.SIGKILL)
    assert rest(p)[0] == 137
    assert w.slices() == [] and w.leftovers() == []


@test("killed at any step of its life hami run leaves nothing that lasts")
def _(w):
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    w.config("[cards]\nsplit_count = 1\n")
    killed = 0
    for calls, last in (("pwrite64", 60), ("mkdir", 12), ("ftruncate", 12), ("unlink", 12), ("rmdir", 4), ("clone", 8),
                        ("flock", 16), ("fchmod", 12)):
        step = 1 if last <= 16 else 7
        for n in range(1, last, step):
            r = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
                                f"inject={calls}:signal=KILL:when={n}", w.hami, "run", "--gpus", "2", "--mem", "1G",
                                "--sim", w.profile, "--", "true"], env=w.env, capture_output=True, timeout=LIMIT_S)
            if r.returncode == 0:
                break
            killed += 1
            assert w.slices() == [], (calls, n)
    assert killed > 25, killed
    assert w.run("--gpus", "2", "--exclusive", "--", "true").returncode == 0
    assert w.leftovers() == []


@test("what the command leaves running ends with it")
def _(w):
    r = w.run("--mem", "1G", "--", "bash", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!")
    assert r.returncode == 0 and not alive(int(r.stdout)), r
    assert w.leftovers() == []


@test("a slice that spoils its region is not shrunk below what it may use, unless --pending")
def _(w):
    p = w.hold("--mem", "4G", "--name", "r")
    region = w.path("run", "slices", w.only()["id"], "region", "vgpu.cache")
    os.rename(region, region + ".kept")
    r = w.call("resize", "r", "--mem", "1G")
    assert r.returncode == 71 and "region is damaged" in r.stderr and "--pending" in r.stderr, r
    assert ask(p, "info")["mem"] == 4096 * MIB
    assert w.call("resize", "r", "--mem", "5G").returncode == 0
    assert w.call("resize", "r", "--mem", "1G", "--pending").returncode == 0
    s = w.only()["shares"][0]
    assert s["mem_bytes"] == 5120 * MIB and s["pending_bytes"] == 1024 * MIB, s
    assert ask(p, "alloc 1500") == 2
    os.rename(region + ".kept", region)
    assert w.only()["shares"][0]["mem_bytes"] == 1024 * MIB
    p.stdin.close()
    assert p.wait() == 0


@test("a command that stops its supervisor is ended by hami stop all the same")
def _(w):
    p = w.start("--mem", "1G", "--", "sh", "-c", "kill -STOP $PPID; echo ready; exec sleep 1000")
    assert line(p) == "ready"
    r = w.call("stop", w.only()["id"])
    assert r.returncode == 0, r
    assert p.wait() == 128 + signal.SIGTERM
    assert w.slices() == [] and w.leftovers() == []


@test("a slice whose runtime folder was removed says so when resized, and can be stopped")
def _(w):
    p = w.hold("--mem", "1G", "--name", "r")
    shutil.rmtree(w.path("run"), ignore_errors=True)
    r = w.call("resize", "r", "--mem", "2G")
    assert r.returncode == 70 and "is gone" in r.stderr, r
    assert ask(p, "alloc 2000") == 2
    assert w.call("stop", "r").returncode == 0
    p.wait()


@test("a slice whose ledger was removed keeps its files and is named by doctor")
def _(w):
    need_root()
    if not cgroup_mount():
        raise Skip("no control group hierarchy of version 2")
    p = w.hold("--mem", "1G")
    id = w.only()["id"]
    shutil.rmtree(w.path("state"))
    assert w.slices() == [] and os.path.exists(w.path("run", "slices", id, "etc", "grant"))
    found = [f for f in w.json("doctor", "--json", "--sim", w.profile) if f["finding"] == "stray_group"]
    assert len(found) == 1 and id in json.dumps(found), found
    end(p)
    assert w.slices() == [] and w.leftovers() == []


@test("resize goes both ways while it runs, and is refused below use and above the card")
def _(w):
    p = w.hold("--mem", "2G", "--cores", "30", "--name", "r", mib=1024)
    assert ask(p, "alloc 1024") == 2
    assert w.call("resize", "r", "--mem", "4G", "--cores", "50").returncode == 0
    assert ask(p, "alloc 1024") == 0 and ask(p, "info")["mem"] == 4096 * MIB
    s = w.only()["shares"][0]
    assert s["cores"] == 50 and s["mem_bytes"] == 4096 * MIB, s
    r = w.call("resize", "r", "--mem", "1G")
    assert r.returncode == 71 and str(s["used_bytes"]) in r.stderr and "--pending" in r.stderr, r
    assert ask(p, "info")["mem"] == 4096 * MIB
    r = w.call("resize", "r", "--mem", "100G")
    assert r.returncode == 66 and "40.0 GiB" in r.stderr, r
    assert w.call("resize", "r", "--mem", "1G", "--pending").returncode == 0
    assert ask(p, "alloc 1") == 2
    s = w.only()["shares"][0]
    assert s["mem_bytes"] == 4096 * MIB and s["pending_bytes"] == 1024 * MIB, s
    assert ask(p, "free") == 0
    s = w.only()["shares"][0]
    assert s["mem_bytes"] == 1024 * MIB and "pending_bytes" not in s, s
    assert w.call("resize", "r", "--mem", "10%").returncode == 0
    assert w.only()["shares"][0]["mem_bytes"] == (40 << 30) // 10
    assert w.call("resize", "nobody", "--mem", "1G").returncode == 65
    end(p)


@test("two slices together never get more of a card than it has")
def _(w):
    a = w.hold("--mem", "30G", "--name", "a")
    b = w.hold("--mem", "10G", "--name", "b", "--uuid", w.only()["shares"][0]["uuid"])
    assert w.call("resize", "a", "--mem", "31G").returncode == 66
    assert w.call("resize", "b", "--mem", "5G").returncode == 0
    assert w.call("resize", "a", "--mem", "35G").returncode == 0
    end(a, b)


@test("suspend makes allocations wait and resume lets them go on")
def _(w):
    p = w.hold("--mem", "2G", "--name", "s")
    assert w.call("suspend", "s").returncode == 0 and w.only()["state"] == "suspended"
    p.stdin.write("alloc 10\n")
    p.stdin.flush()
    import select
    assert not select.select([p.stdout], [], [], 0.3)[0], "it went on"
    assert w.call("resume", "s").returncode == 0
    assert line(p) == "0"
    end(p)
    assert w.call("resume", "s").returncode == 65


@test("stop asks first, then kills everything of the slice")
def _(w):
    p = w.hold("--mem", "1G", "--name", "a")
    assert w.call("stop", "a").returncode == 0
    assert rest(p)[0] == 128 + signal.SIGTERM
    p = w.start("--mem", "1G", "--name", "b", "--", "bash", "-c",
                "trap '' TERM; setsid bash -c 'trap \"\" TERM; echo $$; sleep 1000' & wait; sleep 1000")
    inner = int(line(p))
    assert w.call("stop", "--grace", "50ms", "b").returncode == 0
    assert rest(p)[0] == 137 and not alive(inner)
    assert w.call("stop", "b").returncode == 65
    assert w.leftovers() == []


@test("detached slices go on alone, can be waited for and found by name, id or its start")
def _(w):
    r = w.run("--detach", "--name", "bg", "--mem", "1G", "--", "sh", "-c", "exit 9")
    assert r.returncode == 0 and len(r.stdout.strip()) == 8, r
    assert w.call("wait", r.stdout.strip()[:5]).returncode == 9
    assert w.call("wait", "bg").returncode == 9
    r = w.run("--detach", "--mem", "1G", "--", "sleep", "1000")
    assert w.call("wait", "--timeout", "50ms", r.stdout.strip()).returncode == 67
    assert w.call("stop", r.stdout.strip()).returncode == 0
    assert w.run("--detach", "--mem", "500G", "--", "true").returncode == 66
    assert w.run("--detach", "--mem", "1G", "--", "no-such-command").returncode == 127


@test("what a detached command prints goes to the common log, which is kept small, or to a file of its own")
def _(w):
    def printed(word, *args):
        r = w.run("--detach", *args, "--mem", "1G", "--", "sh", "-c", f"echo {word}; echo {word} >&2")
        assert r.returncode == 0 and w.call("wait", r.stdout.strip()).returncode == 0, r
    common, own = w.path("state", "detached.log"), w.path("own.log")
    printed("one")
    printed("two", "--log", own)
    printed("three", "--log", own)
    assert open(own).read() == "two\ntwo\nthree\nthree\n" and open(common).read() == "one\none\n"
    os.truncate(common, (16 << 20) + 1)
    printed("four")
    assert open(common).read() == "four\nfour\n" and os.path.getsize(common + ".old") == (16 << 20) + 1
    r = w.run("--detach", "--log", w.path("no", "such"), "--mem", "1G", "--", "true")
    assert r.returncode == 70 and f"--log {w.path('no', 'such')}: No such file" in r.stderr and w.slices("--all")[-1]["command"] != "true", r
    r = w.run("--log", own, "--mem", "1G", "--", "true")
    assert r.returncode == 64 and "goes with --detach" in r.stderr, r


@test("warnings about a detached command are for who started it, not for its log")
def _(w):
    w.config("[run]\nprotection = no\n")
    r = w.run("--detach", "--mem", "1G", "--", "true")
    assert r.returncode == 0 and "can lift its limits" in r.stderr, r
    assert w.call("wait", r.stdout.strip()).returncode == 0 and open(w.path("state", "detached.log")).read() == ""
    assert w.run("--detach", "--quiet", "--mem", "1G", "--", "true").stderr == ""


@test("a resize does not wait for a lock that anybody can take")
def _(w):
    p = w.hold("--mem", "1G", "--name", "r")
    fd = os.open(w.path("run", "slices", w.only()["id"]), os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert w.call("resize", "r", "--mem", "2G", limit=20).returncode == 0
    os.close(fd)
    end(p)


@test("numbers forged in a region are shown as numbers")
def _(w):
    p = w.hold("--mem", "1G", "--name", "r")
    region = w.path("run", "slices", w.only()["id"], "region", "vgpu.cache")
    with open(region, "r+b") as f:
        f.seek(2011136 + 4096)  # devices[0] of the extension: word, peak, oom_count
        f.write(b"\xff" * 32)
    share = w.only()["shares"][0]
    assert all(share[k] == 2 ** 63 - 1 for k in ("used_bytes", "peak_bytes", "oom_count")), share
    assert w.call("top", "--once").returncode == 0 and w.call("doctor", "r").returncode in (0, 1)
    p.kill()


@test("a command of odd bytes is shown whole to programs, and no terminal gets to interpret it")
def _(w):
    odd = b"\x1b]0;title\x07\xff\xc2\x9b31m\xe2\x80\xaetxt"
    w.call("run", "--sim", w.profile, "--mem", "1G", "--detach", "--name", "odd", "--", "sh", "-c", "sleep 60", odd)
    s = w.only()
    assert s["name"] == "odd" and s["state"] == "running" and s["command"] == "sh -c sleep 60  ]0;title ??31m?txt", s
    assert w.json("top", "--once", "--json")["slices"][0]["command"] == s["command"]
    assert len([e for e in w.call("events", "--json", "odd").stdout.splitlines() if json.loads(e)["kind"] == "reserved"]) == 1
    for args in (["ps"], ["top", "--once"], ["events"], ["doctor", "odd"]):
        r = subprocess.run([w.hami, *args], capture_output=True, env=w.env, timeout=60)
        assert not [c for c in (b"\x1b", b"\x07", b"\xff", b"\x9b", b"\xae") if c in r.stdout + r.stderr], (args, r)
    w.call("stop", "--grace", "0s", "odd")


@contextlib.contextmanager
def small_disk(w, size):
    """The ledger's folder on a file system of that size; yields what fills it up."""
    os.mkdir(w.path("state"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "full", w.path("state")]).returncode:
        raise Skip("no right to mount")

    def fill():
        with open(w.path("state", "fill"), "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 1024):
                    pass
            except OSError:
                pass
    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", w.path("state")])


@test("a full disk keeps nobody from looking and stopping")
def _(w):
    need_root()
    with small_disk(w, "3m") as fill:
        dying = w.hold("--mem", "1G", "--name", "dying")
        living = w.start("--mem", "1G", "--name", "living", "--", "sh", "-c", "echo in; exec sleep 1000")
        assert line(living) == "in"
        fill()
        command = next(s["pid"] for s in w.slices() if s["name"] == "dying")
        dying.kill()
        dying.wait()
        eventually(lambda: not alive(command), "the command's death")
        r = w.call("ps", "--json")
        assert r.returncode == 0 and "make room" in r.stderr, r
        assert "living" in {s["name"] for s in json.loads(r.stdout)}, r
        assert w.run("--mem", "1G", "--", "true").returncode == 70
        w.call("stop", "--grace", "1s", "living")
        assert living.wait(LIMIT_S) != 0
        os.unlink(w.path("state", "fill"))
        assert w.slices() == [] and w.leftovers() == []


@test("a ledger at rest on a full disk says what to do")
def _(w):
    need_root()
    with small_disk(w, "300k") as fill:
        assert w.run("--mem", "1G", "--", "true").returncode == 0
        fill()
        r = w.call("ps")
        assert r.returncode == 70 and "make room there" in r.stderr, r
        os.unlink(w.path("state", "fill"))
        assert w.run("--mem", "1G", "--", "true").returncode == 0


@test("who waits for a lock that somebody keeps is told whose it is")
def _(w):
    w.call("ps")
    with open(w.path("state", "lock"), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        p = subprocess.Popen([w.hami, "ps"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=w.env)
        said = p.stderr.readline()
        assert "waiting for" in said and f"process {os.getpid()} holds" in said, said
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert p.wait(LIMIT_S) == 0 and p.stderr.read() == ""
        p.stderr.close()


@test("ps, top, events and version speak JSON")
def _(w):
    p = w.hold("--mem", "1G", "--name", "j", "--cores", "30")
    s = w.slices()[0]
    assert s["name"] == "j" and s["shares"][0]["used_bytes"] > 64 * MIB and len(s["processes"]) == 1, s
    top = w.json("top", "--once", "--json", "--sim", w.profile)
    assert len(top["cards"]) == 2 and top["slices"][0]["id"] == s["id"], top
    assert sum(c["granted_bytes"] for c in top["cards"]) == 1 << 30, top
    text = w.call("top", "--once").stdout
    assert "1.0 GiB" in text and "j" in text and "\033" not in text, text
    assert w.json("version", "--json")["library"].endswith("libvgpu.so")
    assert [e["kind"] for e in events(w, "j")] == ["reserved", "started"]
    end(p)
    assert "ended (0)" in w.call("ps", "--all").stdout


@test("top shows a simulated machine while it is used, sim top without a name that of the newest slice")
def _(w):
    p = w.hold("--mem", "1G")
    assert len(w.json("top", "--once", "--json")["cards"]) == 2
    end(p)
    assert [c for c in w.json("top", "--once", "--json")["cards"] if c["machine"]] == []
    assert len(w.json("top", "--once", "--json", "--sim", w.profile)["cards"]) == 2
    if not os.path.exists("/etc/hami/sim"):
        r = w.call("sim", "top", "--once")
        assert r.returncode == 0 and r.stdout.startswith(w.profile), r


@test("many runs in a row leave nothing behind")
def _(w):
    runs = 1000 if os.environ.get("HAMI_TEST_LONG") else 150
    assert w.run("--mem", "1G", "--", "true").returncode == 0

    def picture():
        places = ("/etc/", "/proc/", w.path(""))  # others of this machine may mount elsewhere meanwhile
        mounts = [line for line in open("/proc/self/mountinfo") if line.split()[4].startswith(places)]
        return mounts, sorted(os.listdir(w.path("run"))), sorted(os.listdir(w.path("state"))), w.leftovers()
    before = picture()
    for _ in range(runs):
        assert w.run("--mem", "1G", "--", "true").returncode == 0
    assert picture() == before, (before, picture())
    assert len(w.slices("--all")) <= 200
    assert os.path.getsize(w.path("state", "ledger.db")) < 4 * MIB


# ---- doctor --------------------------------------------------------------

def findings(w, *args):
    r = w.call("doctor", "--json", "--sim", w.profile, *args)
    found = {f["finding"] for f in json.loads(r.stdout)}
    worst = max([{"note": 0, "warning": 1, "problem": 2}[f["severity"]] for f in json.loads(r.stdout)] or [0])
    assert r.returncode == worst, r
    return found


@test("doctor finds nothing wrong with a healthy slice")
def _(w):
    need_root()
    p = w.hold("--mem", "1G", "--cores", "30")
    assert findings(w) <= {"no_wall", "other_broker", "no_cgroup"}
    assert findings(w, w.only()["id"]) == set()
    end(p)


@test("doctor of one slice finds a fault of its cards, not of others', and nothing of a slice that has ended")
def _(w):
    need_root()
    sim = {"HAMI_SIM": w.profile}
    p = w.hold("--mem", "1G", "--name", "c")
    card = [c["uuid"] for c in w.json("top", "--once", "--json")["cards"]].index(w.only()["shares"][0]["uuid"])
    for lost, found in ((1 - card, set()), (card, {"card_unhealthy"})):
        assert w.call("sim", "fault", "lost", "--device", str(lost), env=sim).returncode == 0
        assert findings(w, "c") == found, (lost, card)
        assert w.call("sim", "fault", "clear", env=sim).returncode == 0
    assert findings(w, "c") == set()
    end(p)
    r = w.call("doctor", "c")
    assert r.returncode == 65 and "has ended" in r.stderr, r


@test("doctor says nothing of what a slice that is ending has lost already")
def _(w):
    need_root()
    holder = w.hold("--mem", "1G", "--name", "e")
    s = w.only()
    os.kill(holder.pid, signal.SIGSTOP)
    shutil.rmtree(w.path("run", "slices", s["id"]))
    assert {"grant_damaged", "region_damaged"} <= findings(w, "e")
    os.kill(s["pid"], signal.SIGKILL)
    eventually(lambda: not alive(s["pid"]), "the command's end")
    assert findings(w, "e") == set()
    assert not findings(w) & {"grant_damaged", "region_damaged"}
    os.kill(holder.pid, signal.SIGCONT)
    holder.wait()


@test("doctor finds each weakness of a slice")
def _(w):
    need_root()
    p = w.hold("--mem", "1G", "--cores", "30", "--core-policy", "default", "--name", "d")
    assert findings(w, "d") == {"core_policy"}
    end(p)
    p = w.start("--mem", "1G", "--", "env", "NVIDIA_VISIBLE_DEVICES=all", "CUDA_DISABLE_CONTROL=1",
                "CUDA_DEVICE_MEMORY_LIMIT=99g", CLIENT, "hold", "10")
    assert line(p) == "ready"
    s = w.only()
    assert findings(w, s["id"]) == {"env_visible", "env_disable", "env_limits"}
    assert w.call("suspend", s["id"]).returncode == 0
    assert "suspended" in findings(w, s["id"])
    slice_dir = w.path("run", "slices", s["id"])
    with open(os.path.join(slice_dir, "region", "vgpu.cache"), "r+b") as f:
        f.seek(2011136 + 64)
        f.write(b"\0" * 4)
    assert "suspension_lifted" in findings(w, s["id"])
    assert w.call("resume", s["id"]).returncode == 0
    with open(os.path.join(slice_dir, "region", "vgpu.cache"), "r+b") as f:
        f.seek(1600)
        f.write(b"\1" * 8)
    assert "region_stale" in findings(w, s["id"])
    with open(os.path.join(slice_dir, "region", "vgpu.cache"), "r+b") as f:
        f.write(b"\0" * 8)
    assert "region_damaged" in findings(w, s["id"])
    assert "vgpu.cache: what it holds is no region" in w.call("doctor", s["id"]).stdout
    grant = os.path.join(slice_dir, "etc", "grant")
    text = open(grant, "rb").read()
    open(grant, "r+b").write(text.replace(b"mem 1073741824", b"mem 2073741824"))
    assert "grant_differs" in findings(w, s["id"])
    open(grant, "r+b").write(b"#" * 100)
    assert "grant_damaged" in findings(w, s["id"])
    open(grant, "r+b").write(text)
    end(p)


@test("doctor finds a driver preloaded in front of the library")
def _(w):
    need_root()
    p = w.start("--mem", "1G", "--name", "d", "--", "env", f"LD_PRELOAD={w.build}/sim/libcuda.so.1", CLIENT, "hold", "10")
    assert line(p) == "ready"
    assert findings(w, "d") == {"driver_preloaded"}
    end(p)


@test("doctor finds programs that the library is not in")
def _(w):
    need_root()
    p = w.hold("--mem", "1G", "--name", "d")
    group = w.groups()[-1]
    free = subprocess.Popen(["sh", "-c", f"echo $$ > {group}/cgroup.procs; exec {CLIENT} hold 10"], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            env={**w.env, "LD_LIBRARY_PATH": os.path.join(w.build, "sim"), "HAMI_SIM": w.profile})
    w.children.append(free)
    assert line(free) == "ready"
    assert "library_not_mapped" in findings(w, "d")
    end(free, p)
    if shutil.which("gcc"):
        with open(w.path("s.c"), "w") as f:
            f.write("#include <unistd.h>\nint main(void) { char c; write(1, \"ready\\n\", 6); return (int)read(0, &c, 1); }\n")
        made = subprocess.run(["gcc", "-static", "-o", w.path("s"), w.path("s.c")], capture_output=True)
        if made.returncode == 0:
            p = w.start("--mem", "1G", "--name", "st", "--", w.path("s"))
            assert line(p) == "ready"
            assert findings(w, "st") == {"static_program"}
            p.stdin.close()
            assert "GNU dynamic loader" in p.stderr.read()
            p.wait()


@test("doctor finds weaknesses of the host")
def _(w):
    need_root()
    r = w.call("doctor", "--json")
    assert r.returncode == 2 and "no_driver" in r.stdout, r
    w.config("[run]\nprotection = no\n")
    assert "not_protected" in findings(w)
    p = w.hold("--quiet", "--mem", "1G", "--name", "u")
    assert "slice_unprotected" in findings(w, "u")
    end(p)
    w.config("[run]\nuser_namespaces = yes\n")
    assert "namespaces_allowed" in findings(w)
    w.config("")
    shutil.copy(shutil.which("sleep"), w.path("gpu-manager"))
    other = subprocess.Popen([w.path("gpu-manager"), "1000"])
    eventually(lambda: open(f"/proc/{other.pid}/comm").read() == "gpu-manager\n", "its name")
    assert "other_broker" in findings(w)
    other.kill()
    other.wait()
    found = json.loads(w.call("doctor", "--json", "--sim", w.profile, env={"LD_PRELOAD": "/x/libvgpu.so"}).stdout)
    assert "foreign_preload" in {f["finding"] for f in found}


if __name__ == "__main__":
    main()
