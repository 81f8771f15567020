#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hami run as a user meets it: limits, status, signals, terminal, refusals."""
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

from kit import CLIENT, LIMIT_S, MIB, Skip, ask, eventually, line, main, need_root, rest, test


@test("the limit is seen and enforced, also with an empty environment")
def _(w):
    for prefix in ([], ["env", "-i", "PATH=/usr/bin"]):
        if prefix and os.geteuid() != 0:
            continue
        r = w.run("--mem", "1G", "--", *prefix, CLIENT, "info")
        assert json.loads(r.stdout)["mem"] == 1024 * MIB and json.loads(r.stdout)["count"] == 1, r
        r = w.run("--mem", "1G", "--", *prefix, CLIENT, "alloc", "100", "2000")
        assert json.loads(r.stdout) == [0, 2], r


@test("the command's exit status is passed on, by signal as 128 + n")
def _(w):
    assert w.run("--", "sh", "-c", "exit 7").returncode == 7
    assert w.run("--", "sh", "-c", "kill -9 $$").returncode == 137
    assert w.run("--", "/nonexistent/x").returncode == 127
    assert w.run("--", "no-such-command-here").returncode == 127
    assert w.run("--", "/etc/hostname").returncode == 126
    assert w.leftovers() == []


@test("standard input and output go through, and the command's own flags are its own")
def _(w):
    r = w.run("--mem", "1G", "cat", "-", stdin="to and fro\n")
    assert (r.returncode, r.stdout) == (0, "to and fro\n"), r
    r = w.run("--", "echo", "--mem", "3G", "--help")
    assert r.stdout == "--mem 3G --help\n", r


@test("closed standard descriptors are /dev/null, not a file of hami's")
def _(w):
    import subprocess
    command = f"{w.hami} run --sim {w.profile} --mem 1G -- stat -Lc %t:%T /proc/self/fd/0 /proc/self/fd/2 <&- 2>&-"
    r = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=w.env, timeout=LIMIT_S)
    assert r.stdout == "1:3\n1:3\n", r  # its device: in a chroot its path has another name


@test("the environment speaks the field's words")
def _(w):
    r = w.run("--mem", "1536M", "--cores", "40", "--priority", "0", "--core-policy", "force", "--oversubscribe", "--",
              "env", env={"CUDA_DISABLE_CONTROL": "1", "CUDA_DEVICE_MEMORY_LIMIT": "99G"})
    env = dict(l.split("=", 1) for l in r.stdout.splitlines() if "=" in l)
    assert env["CUDA_DEVICE_MEMORY_LIMIT_0"] == "1536m" and env["CUDA_DEVICE_SM_LIMIT"] == "40", env
    assert env["NVIDIA_VISIBLE_DEVICES"] == env["CUDA_VISIBLE_DEVICES"] and env["CUDA_VISIBLE_DEVICES"].startswith("GPU-")
    assert env["GPU_CORE_UTILIZATION_POLICY"] == "force" and env["CUDA_TASK_PRIORITY"] == "0"
    assert env["CUDA_OVERSUBSCRIBE"] == "true" and env["CUDA_DEVICE_MEMORY_SHARED_CACHE"].endswith("vgpu.cache")
    assert "CUDA_DISABLE_CONTROL" not in env and "CUDA_DEVICE_MEMORY_LIMIT" not in env


@test("what cannot fit is refused with the cards there are and what would fit")
def _(w):
    r = w.run("--mem", "200G", "--", "true")
    assert r.returncode == 66 and "40.0 GiB" in r.stderr and "would fit now: --mem 40G" in r.stderr, r
    assert r.stderr.count("GPU-") == 2, r
    j = json.loads(w.run("--json", "--mem", "200G", "--", "true").stdout)
    assert j["reason"] == "CardInsufficientMemory" and j["would_fit"] == "--mem 40G" and len(j["cards"]) == 2, j
    j = json.loads(w.run("--json", "--gpus", "3", "--", "true").stdout)
    assert j["reason"] == "NodeInsufficientDevice" and j["would_fit"] == "--gpus 2", j


@test("a request for more cards than there are is told that instances of one card are no cards of their own")
def _(w):
    told = "instances of one card count as one: --gpus asks for different cards"
    assert told not in w.run("--gpus", "3", "--", "true").stderr
    w.profile = "a100-mig"
    r = w.run("--gpus", "3", "--", "true")
    assert r.returncode == 66 and told in r.stderr and "would fit now: --gpus 1" in r.stderr, r


@test("to wait is recommended only where waiting helps")
def _(w):
    never = "an empty host would not take it either"
    for more in ([], ["--wait"]):
        says = w.run("--mem", "200G", *more, "--", "true").stderr
        assert never in says and "add --wait" not in says, says
    w.hold("--mem", "1G", "--gpus", "2")
    says = w.run("--exclusive", "--gpus", "3", "--wait=1s", "--", "true").stderr
    assert never in says and "add --wait" not in says, says
    says = w.run("--exclusive", "--gpus", "2", "--", "true").stderr
    assert "nothing fits now" in says and "or add --wait" in says and never not in says, says
    says = w.run("--exclusive", "--gpus", "2", "--wait=1ms", "--", "true").stderr
    assert "nothing fits now" in says and "add --wait" not in says and "gave up after --wait=1ms" in says, says


@test("a time behind --wait and a blank is no command")
def _(w):
    r = w.run("--wait", "30s", "--mem", "1G", "--", "true")
    assert r.returncode == 64 and "--wait=30s" in r.stderr, r
    r = w.run("--wait", "--", "30s")
    assert r.returncode == 127, r
    r = w.run("--wait", "true", "30s")
    assert r.returncode == 0, r


@test("letters of flags without a value may stand together, the last one may have one")
def _(w):
    r = w.run("-xq", "--", "true")
    assert r.returncode == 0, r
    r = w.run("-xqm1G", "--json", "-g9", "--", "true")
    assert r.returncode == 66 and json.loads(r.stdout)["asked"] == "--gpus 9 --mem 1G --exclusive", r
    r = w.run("-xqm", "8X", "--", "true")
    assert r.returncode == 64 and "--mem 8X" in r.stderr, r
    for args, says in ((["-xZ"], "unknown flag -Z"), (["-x=1"], "--exclusive takes no value")):
        r = w.run(*args, "--", "true")
        assert r.returncode == 64 and says in r.stderr, r


@test("without a driver hami says so")
def _(w):
    r = w.call("run", "--", "true")
    assert r.returncode == 69 and "libnvidia-ml.so.1" in r.stderr and "--sim" in r.stderr, r
    r = w.call("run", "--sim", "/nonexistent.yaml", "--", "true")
    assert r.returncode == 64 and "--sim /nonexistent.yaml" in r.stderr and "No such file" in r.stderr, r
    for verb in (["run", "--sim", "nosuch", "--", "true"], ["top", "--sim", "nosuch"], ["doctor", "--sim", "nosuch"],
                 ["sim", "top", "--sim", "nosuch"]):
        r = w.call(*verb)
        assert r.returncode == 64 and "--sim nosuch" in r.stderr and "2xa100-40g" in r.stderr, r


@test("several cards are distinct, and lists choose among them")
def _(w):
    r = w.run("--gpus", "2", "--mem", "1G", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
    uuids = r.stdout.strip().split(",")
    assert len(set(uuids)) == 2, r
    show = ["--mem", "1G", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    assert w.run("--uuid", uuids[1], *show).stdout.strip() == uuids[1]
    assert w.run("--not-uuid", uuids[0], *show).stdout.strip() == uuids[1]
    for flag in ("--uuid", "--not-uuid"):
        r = w.run(flag, "GPU-another," + uuids[0][:-3], *show)
        assert r.returncode == 64 and f"{flag} {uuids[0][:-3]}: only the beginning of a UUID; write {uuids[0]}\n" in r.stderr, r
    assert w.run("--type", "a100", *show).returncode == 0
    assert w.run("--not-type", "a100", *show).returncode == 66
    says = w.run("--type", "H200", *show).stderr
    assert "--mem 1G --type H200:" in says and "would fit now: the same without --type H200\n" in says, says


@test("without a compute limit the share in use is shown as well")
def _(w):
    p = w.hold("--mem", "1G")

    def busy(what):
        frame = w.json("top", "--once", "--json")
        return what(frame["slices"][0]["shares"][0]["busy_pct"]) and what(frame["cards"][0]["busy_pct"])

    eventually(lambda: ask(p, "launch 300ms") == 0 and busy(lambda pct: 10 <= pct <= 100), "work is seen")
    eventually(lambda: busy(lambda pct: pct == 0), "idleness is seen")


@test("a slice sees its own card as number 0, by CUDA and by NVML, whatever the environment says")
def _(w):
    first, second = w.run("--gpus", "2", "--mem", "1G", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").stdout.strip().split(",")
    clear = [["env", "-i", "PATH=/usr/bin"]] if os.geteuid() == 0 else []
    for uuid in (first, second):
        for prefix in [[], ["env", "CUDA_VISIBLE_DEVICES=0"], ["env", "-u", "CUDA_VISIBLE_DEVICES"], *clear]:
            r = w.run("--uuid", uuid, "--mem", "1G", "--", *prefix, CLIENT, "info")
            seen = json.loads(r.stdout)
            assert seen["mem"] == 1024 * MIB and seen["count"] == 1 and seen["listed"] == [uuid], (prefix, r)
        r = w.run("--uuid", uuid, "--mem", "1G", "--", "env", "CUDA_VISIBLE_DEVICES=1", CLIENT, "info")
        assert json.loads(r.stdout) == {"failed": "cuInit", "result": 100}, r


@test("the cards of a slice have the same numbers by CUDA and by NVML")
def _(w):
    p = w.hold("--mem", "1G")  # the cards are not alike: each policy likes another one best
    for policy in ("binpack", "spread"):
        seen = json.loads(w.run("--gpus", "2", "--mem", "1G", "--policy", policy, "--", CLIENT, "info").stdout)
        assert seen["count"] == 2 and seen["cards"] == seen["listed"], (policy, seen)
    p.stdin.close()
    p.wait()


@test("policies: binpack shares a card, spread takes another")
def _(w):
    first = w.hold("--mem", "1G")
    used = w.only()["shares"][0]["uuid"]
    show = ["--mem", "1G", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    assert w.run("--policy", "binpack", *show).stdout.strip() == used
    assert w.run("--policy", "spread", *show).stdout.strip() != used
    for policy in ("numa", "topology"):
        assert w.run("--policy", policy, *show).returncode == 0
    first.stdin.close()
    first.wait()


@test("split count, overcommit, cordon and defaults of the configuration hold")
def _(w):
    w.config("[cards]\nsplit_count = 1\nmemory_scale = 1.5\n[defaults]\nmemory = 50G\ncores = 20\n")
    a = w.hold("--name", "a")
    s = w.only()
    assert s["shares"][0]["mem_bytes"] == 50 << 30 and s["shares"][0]["cores"] == 20 and s["oversubscribe"], s
    b = w.hold("--name", "b")
    assert "granted of 60.0 GiB (has 40.0 GiB)\n" in w.call("top", "--once").stdout
    assert json.loads(w.run("--json", "--", "true").stdout)["cards"][0]["reason"] == "CardTimeSlicingExhausted"
    for p in (a, b):
        p.stdin.close()
        p.wait()
    w.config(f"[cards]\ncordon = \"{s['shares'][0]['uuid']}\"\n")
    assert w.run("--mem", "1G", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").stdout.strip() != s["shares"][0]["uuid"]
    seen = {c["uuid"]: c["cordoned"] for c in w.json("top", "--once", "--json", "--sim", w.profile)["cards"]}
    assert len(seen) == 2 and [u for u, is_cordoned in seen.items() if is_cordoned] == [s["shares"][0]["uuid"]], seen
    for env, name in (({"COLUMNS": "120"}, s["shares"][0]["uuid"]), ({"COLUMNS": "80"}, s["shares"][0]["uuid"][:12])):
        assert f"  {name}  CORDONED" in w.call("top", "--once", "--sim", w.profile, env=env).stdout, env
    unknown = [s["shares"][0]["uuid"][:12], "GPU-x"]
    w.config(f"[cards]\ncordon = \"{s['shares'][0]['uuid']}, {', '.join(unknown)}\"\n")
    found = [f["detail"] for f in w.json("doctor", "--json", "--sim", w.profile) if f["finding"] == "cordon_unknown"]
    assert found == unknown, found
    for text, says in (("[cards]\nspilt_count = 1\n", 'did you mean "split_count"?'), ("[cards]\ngrace = 1s\n", "a key of [run]"),
                       ("[cards]\nbogus = 1\n", "there are split_count, memory_scale, core_scale and cordon"),
                       ("[card]\n", "give [cards], [defaults] or [run]"), ("[cards]\nsplit_count = 0\n", "from 1 to 1000; the default is 10"),
                       ("[cards]\nmemory_scale = -1\n", "from 0.001 to 100"), ("[cards]\ncore_scale = many\n", "from 0.001 to 100")):
        w.config(text)
        r = w.run("--", "true")
        assert r.returncode == 72 and says in r.stderr, (text, r)


@test("state and runtime folders must not lie in one another")
def _(w):
    r = w.call("ps", env={"HAMI_RUNTIME_DIR": w.path("state", "run")})
    assert r.returncode == 72 and "side by side" in r.stderr, r


@test("a name is unique among running slices")
def _(w):
    p = w.hold("--name", "one", "--mem", "1G")
    r = w.run("--name", "one", "--mem", "1G", "--", "true")
    assert r.returncode == 64 and "one" in r.stderr, r
    r = w.run("--name", w.only()["id"], "--mem", "1G", "--", "true")  # else `hami stop ID` would stop that one
    assert r.returncode == 64 and "has this id" in r.stderr, r
    p.stdin.close()
    p.wait()
    assert w.run("--name", "one", "--mem", "1G", "--", "true").returncode == 0


@test("signals reach the command and decide the status")
def _(w):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        p = w.start("--mem", "1G", "--", "bash", "-c",
                    f"trap 'echo got; exit 5' {int(number)}; echo ready; while :; do sleep 1 & wait; done")
        assert line(p) == "ready"
        p.send_signal(number)
        code, out, _ = rest(p)
        assert (code, out) == (5, "got\n"), (number, code, out)
    p = w.start("--mem", "1G", "--", "sleep", "1000")
    while not [s for s in w.slices() if s["state"] == "running"]:
        pass
    p.send_signal(signal.SIGTERM)
    assert rest(p)[0] == 128 + signal.SIGTERM


def on_terminal(w):
    """An interactive shell on a terminal of its own."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.clear()
        os.environ.update(w.env, PS1="$ ")
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    return pid, fd


def read_until(fd, text):
    seen = b""
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], LIMIT_S)
        assert ready, f"the terminal stays silent; so far {seen!r}"
        seen += os.read(fd, 4096)
    return seen


LIVE_FRAME, LIVE_START, LIVE_END = b"\x1b[H", b"\x1b[?1049h", b"\x1b[?1049l"


@test("live pictures on a terminal end with q and give it back; without a keyboard they are as slow as asked for")
def _(w):
    for command in (["top"], ["sim", "top", "--sim", w.profile]):
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        p = subprocess.Popen([w.hami, *command, "--interval", "50ms"], stdin=slave, stdout=slave, env=w.env)
        w.children.append(p)
        seen = read_until(master, LIVE_FRAME)
        assert LIVE_START in seen and not termios.tcgetattr(slave)[3] & termios.ICANON, command
        os.write(master, b"xq")
        read_until(master, LIVE_END)
        assert p.wait(LIMIT_S) == 0 and termios.tcgetattr(slave) == before, command
        begun = time.monotonic()
        p = subprocess.Popen([w.hami, *command, "--interval", "300ms"], stdin=subprocess.DEVNULL, stdout=slave, env=w.env)
        w.children.append(p)
        seen = b""
        while seen.count(LIVE_FRAME) < 4:
            seen += read_until(master, LIVE_FRAME)
        took = time.monotonic() - begun
        p.send_signal(signal.SIGTERM)
        read_until(master, LIVE_END)
        assert p.wait(LIMIT_S) == 0 and took > 0.8, (command, took)
        os.close(master), os.close(slave)


@test("on a terminal ^C ends it, ^Z stops it and fg goes on")
def _(w):
    pid, fd = on_terminal(w)
    command = f"{w.hami} run --quiet --sim {w.profile} --mem 1G -- bash -c 'echo rea''dy; cat; echo end'\n"
    os.write(fd, command.encode())
    read_until(fd, b"ready\r\n")
    os.write(fd, b"\x1a")
    read_until(fd, b"Stopped")
    os.write(fd, b"fg\n")
    read_until(fd, b"hami run")
    os.write(fd, b"again\n")
    read_until(fd, b"again\r\nagain")
    os.write(fd, b"\x03")
    read_until(fd, b"$ ")
    os.write(fd, b"echo st''atus=$?\n")
    read_until(fd, b"status=130")
    os.write(fd, b"exit\n")
    os.close(fd)
    os.waitpid(pid, 0)
    assert w.slices() == [] and w.leftovers() == []


@test("top is live on a terminal, draws bars, and ends with q")
def _(w):
    p = w.hold("--mem", "1G", "--name", "shown")
    pid, fd = on_terminal(w)
    os.write(fd, f"{w.hami} top --interval 50ms; echo st''atus=$?\n".encode())
    seen = read_until(fd, b"shown")
    read_until(fd, b"\x1b[H")
    os.write(fd, b"q")
    read_until(fd, b"status=0")
    assert b"[#" in seen or b"[" in seen


@test("on a terminal that cannot move its cursor top and sim top print once")
def _(w):
    w.run("--mem", "1G", "--", "true")
    pid, fd = on_terminal(w)
    for verb in ("top", f"sim top --sim {w.profile}"):
        os.write(fd, f"TERM=dumb {w.hami} {verb}; echo st''atus=$?\n".encode())
        seen = read_until(fd, b"status=0")
        assert b"\x1b[H" not in seen and b"\x1b[2J" not in seen, seen
    os.write(fd, b"exit\n")
    os.close(fd)
    os.waitpid(pid, 0)


@test("top on a small terminal draws no more lines than that has")
def _(w):
    p = w.hold("--mem", "1G", "--name", "shown")
    pid, fd = on_terminal(w)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 3, 60, 0, 0))
    os.write(fd, f"{w.hami} top --interval 50ms; echo st''atus=$?\n".encode())
    seen = b""
    while seen.count(b"\x1b[H") < 2:
        seen += read_until(fd, b"\x1b[H")
    frame = seen.split(b"\x1b[H")[1]
    os.write(fd, b"q")
    read_until(fd, b"status=0")
    assert frame.count(b"\n") == 2 and b"memory" in frame, frame
    os.write(fd, b"exit\n")
    os.close(fd)
    os.waitpid(pid, 0)
    p.stdin.close()
    p.wait()


@test("a driver that hangs is given up after the deadline")
def _(w):
    assert w.run("--mem", "1G", "--", "true").returncode == 0
    w.config("[run]\ndriver_deadline = 300ms\n")
    sim = {"HAMI_SIM": w.profile}
    r = w.call("sim", "fault", "hang", "20000", "--device", "0", env=sim)
    if r.returncode:
        raise Skip("hami sim fault: " + r.stderr.strip())
    r = w.run("--mem", "1G", "--", "true")
    assert r.returncode == 69 and "300 ms" in r.stderr, r
    assert w.call("sim", "fault", "clear", env=sim).returncode == 0
    assert w.run("--mem", "1G", "--", "true").returncode == 0


@test("a state file of another machine is refused, and what says why is named")
def _(w):
    w.hold("--mem", "1G")
    r = w.call("run", "--sim", "t4", "--", "true")
    assert r.returncode == 69 and "`hami sim top --sim t4` says why" in r.stderr, r
    r = w.call("sim", "top", "--sim", "t4")
    assert r.returncode == 69 and f"in use by another machine ({w.profile})" in r.stderr, r


@test("a card without memory of its own has the simulated machine's, not this host's")
def _(w):
    w.profile = "gb10"
    r = w.run("--", "sh", "-c", "echo $CUDA_DEVICE_MEMORY_LIMIT_0")
    assert r.stdout == f"{120 << 10}m\n", r
    assert w.json("top", "--once", "--json", "--sim", "gb10")["cards"][0]["mem_bytes"] == 120 << 30


@test("a card that fell off the bus is named by doctor and gets no slice")
def _(w):
    assert w.run("--mem", "1G", "--", "true").returncode == 0
    sim = {"HAMI_SIM": w.profile}
    assert w.call("sim", "fault", "lost", "--device", "1", env=sim).returncode == 0
    r = w.call("doctor", "--json", "--sim", w.profile)
    found = [f["detail"] for f in json.loads(r.stdout) if f["finding"] == "card_unhealthy"]
    assert r.returncode == 2 and len(found) == 1 and found[0].startswith("card 1 "), r
    r = w.run("--gpus", "2", "--mem", "1G", "--", "true")
    assert r.returncode == 66 and "  card 1  is counted by the driver and does not answer: see `hami doctor`\n" in r.stderr, r
    assert json.loads(w.run("--gpus", "2", "--json", "--", "true").stdout)["silent_cards"] == [1]
    assert w.run("--mem", "1G", "--", "true").returncode == 0


@test("memory spilled while kernels run is a finding of doctor, and a figure of top")
def _(w):
    w.config("[cards]\nmemory_scale = 2\n")
    a = w.hold("--mem", "60G", "--oversubscribe", mib=1)

    def thrashing():
        assert ask(a, "launch") == 0  # the library looks once a second
        return [f["detail"] for f in w.json("doctor", "--json", w.only()["id"]) if f["finding"] == "thrashes"]

    assert ask(a, "alloc 30720") == 0 and thrashing() == []
    assert ask(a, "alloc 20480") == 0
    eventually(thrashing, "doctor's finding")
    assert ": 20480 of 5" in thrashing()[0], thrashing()
    share = w.json("top", "--once", "--json")["slices"][0]["shares"][0]
    assert share["spilled_bytes"] == 20480 << 20 and share["thrashed_s"] >= 1, share
    assert ask(a, "free") == 0 and thrashing() == []
    a.stdin.close()
    a.wait()


@test("root without the right to mount runs unprotected and says so")
def _(w):
    need_root()
    import subprocess
    r = subprocess.run(["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", w.hami, *w.run_args(
        ["--mem", "1G", "--", CLIENT, "alloc", "100", "2000"])], text=True, capture_output=True, env=w.env, timeout=LIMIT_S)
    assert json.loads(r.stdout) == [0, 2] and "without the right to mount" in r.stderr, r


@test("within a slice hami says so, also where its broker's folders were moved")
def _(w):
    need_root()
    for verb in (["ps"], ["run", "--sim", w.profile, "--", "true"]):
        r = w.run("--mem", "1G", "--", w.hami, *verb)
        assert r.returncode == 68 and not r.stdout and "the inside of slice" in r.stderr, r


@test("a root tenant cannot undo its limits")
def _(w):
    need_root()
    script = r"""
    try() { "$@" >/dev/null 2>&1 && echo "could: $*"; }
    try umount /etc/ld.so.preload
    try umount -l /etc/hami
    try mount -t tmpfs x /etc/hami
    try mount --bind /dev/null /etc/ld.so.preload
    try sh -c 'echo > /etc/ld.so.preload'
    try sh -c 'echo > /etc/hami/grant'
    try rm -f /etc/ld.so.preload /etc/hami/grant
    try unshare -m true
    try unshare -Urm true
    try nsenter -t 1 -m true
    try ls /proc/1/root/
    try sh -c 'echo "|/x" > /proc/sys/kernel/core_pattern'
    try mkdir CG/escape
    try sh -c 'echo $$ > CG/cgroup.procs'
    try mknod $HERE/disk b 8 0
    try touch $HERE/run/board/new
    try ls $HERE/state/ledger.db
    test "$(ls $HERE/run/slices | wc -l)" = 1 || echo "sees other slices"
    python3 - <<'P'
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for nr, args in ((272, (0x10000000,)), (56, (0x10000011, 0, 0, 0, 0)), (308, (0, 0))):
    if libc.syscall(nr, *args) >= 0:
        print("could: syscall", nr)
P
    """
    import platform
    if platform.machine() != "x86_64":
        raise Skip("system call numbers of x86-64")
    from kit import cgroup_mount
    other = w.hold("--mem", "1G")
    with open(w.path("try.sh"), "w") as f:
        f.write(script.replace("CG", cgroup_mount() or "/nonexistent"))
    r = w.run("--mem", "1G", "--", "bash", w.path("try.sh"), env={"HERE": w.dir})
    assert r.stdout == "", r
    assert w.run("--mem", "1G", "--", "env", "-i", "PATH=/usr/bin", CLIENT, "alloc", "2000").stdout.strip() == "[2]"
    other.stdin.close()
    other.wait()


@test("in a chroot, where / is no mount, limits hold as well and nothing is mounted outside")
def _(w):
    need_root()
    with open("/proc/self/mountinfo") as f:
        if "/" not in (mount.split()[4] for mount in f):
            raise Skip("this is one, as the other tests show")
    outside = r"""
    mount -t tmpfs t "$HERE/t" && mount --make-shared "$HERE/t" && mkdir "$HERE/t/root" && mkfifo "$HERE/up" "$HERE/go" || exit 125
    for e in /*; do
        if [ -L "$e" ]; then cp -a "$e" "$HERE/t/root/"
        elif [ -d "$e" ]; then mkdir "$HERE/t/root$e" && mount --rbind "$e" "$HERE/t/root$e"; fi
    done
    before=$(wc -l < /proc/self/mountinfo)
    chroot "$HERE/t/root" "$@" &
    read -r _ < "$HERE/up"
    echo $(($(wc -l < /proc/self/mountinfo) - before)) more
    echo > "$HERE/go"
    wait $!
    """
    inside = r"""
    echo > "$HERE/up"; read -r _ < "$HERE/go"
    try() { "$@" >/dev/null 2>&1 && echo "could: $*"; }
    try touch /etc/hami/new
    try umount /etc/hami
    try chroot / true
    try ls "$HERE/state/ledger.db"
    env -i PATH=/usr/bin "$1" alloc 2000
    """
    os.mkdir(w.path("t"))
    r = subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-c", outside, "outside",
                        w.hami, *w.run_args(["--mem", "1G", "--", "bash", "-c", inside, "inside", CLIENT])],
                       env={**w.env, "HERE": w.dir}, capture_output=True, text=True, timeout=LIMIT_S)
    assert r.stdout.split("\n") == ["0 more", "[2]", ""], r


@test("a setuid program in a slice has the slice's limits")
def _(w):
    if os.geteuid() != 0 or not os.path.exists("/usr/bin/python3"):
        raise Skip("needs root and Debian's Python")
    python = w.path("setuid-python")
    shutil.copy(os.path.realpath("/usr/bin/python3"), python)
    os.chmod(python, 0o4755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    tell = "import ctypes; print(ctypes.CDLL(None).getauxval(23))"
    if w.run("--mem", "1G", "--", *as_nobody, python, "-c", tell).stdout != "1\n":
        raise Skip("setuid has no effect here")
    client = w.path("client.py")
    shutil.copy(CLIENT, client)
    r = w.run("--mem", "1G", "--", *as_nobody, python, "-I", client, "alloc", "100", "2000")
    assert json.loads(r.stdout) == [0, 2], r


@test("a resize by the host is seen through the read-only grant")
def _(w):
    p = w.hold("--mem", "1G")
    assert w.call("resize", w.only()["id"], "--mem", "3G").returncode == 0
    assert ask(p, "info")["mem"] == 3 << 30
    p.stdin.close()
    assert p.wait() == 0


@test("without root one line says what is lost, --quiet hides it, and limits hold for honest programs")
def _(w):
    need_root()
    if not os.path.exists("/usr/bin/setpriv"):
        raise Skip("setpriv is not installed")
    os.chmod(w.dir, 0o777)
    import subprocess
    def as_nobody(*args):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", w.hami, *args], text=True,
                              capture_output=True, timeout=LIMIT_S, env=w.env)
    probe = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-x", w.hami])
    if probe.returncode:
        raise Skip("the build folder is not readable for others")
    r = as_nobody("run", "--sim", w.profile, "--mem", "1G", "--", CLIENT, "alloc", "100", "2000")
    assert json.loads(r.stdout) == [0, 2], r
    assert len([l for l in r.stderr.splitlines() if l.startswith("hami:")]) == 1 and "not root" in r.stderr, r
    r = as_nobody("run", "--quiet", "--sim", w.profile, "--mem", "1G", "--", "true")
    assert r.returncode == 0 and r.stderr == "", r
    r = as_nobody("doctor", "--sim", w.profile)
    assert r.returncode == 1 and "without root" in r.stdout, r


@test("a program that cannot be preloaded is named, and the driver's own limit still holds it")
def _(w):
    need_root()
    with open(w.path("wall.yaml"), "w") as f:
        f.write("base: t4\nmemory_limits: true\n")
    w.profile = w.path("wall.yaml")
    r = w.run("--mem", "1G", "--", CLIENT, "info")
    if "base" in r.stderr:
        raise Skip("profiles cannot stand on another")
    p = w.hold("--mem", "1G")
    s = w.only()
    assert s["driver_wall"], s
    # The simulated driver without the library, in the same control group.
    import subprocess
    group = w.groups()[-1]
    free = subprocess.run(["sh", "-c", f"echo $$ > {group}/cgroup.procs; exec {CLIENT} alloc 500 600"], text=True,
                          capture_output=True, timeout=LIMIT_S,
                          env={**w.env, "LD_LIBRARY_PATH": os.path.join(w.build, "sim"), "HAMI_SIM": w.profile})
    assert json.loads(free.stdout)[1] == 2, free
    found = w.json("doctor", "--json", s["id"])
    assert not [f for f in found if f["finding"] == "wall_differs"], found
    assert w.call("resize", s["id"], "--mem", "2G").returncode == 0
    found = w.json("doctor", "--json", s["id"])
    assert not [f for f in found if f["finding"] == "wall_differs"], found
    p.stdin.close()
    p.wait()


if __name__ == "__main__":
    main()
