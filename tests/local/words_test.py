#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What hami says: help, tables, refusals of what was mistyped, completion."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from kit import LIMIT_S, eventually, main, test

VERBS = ["run", "ps", "top", "resize", "stop", "suspend", "resume", "wait", "events", "doctor", "version", "help", "scheduler", "explain",
         "yaml"]


@test("every verb has a help with examples, and so has hami itself")
def _(w):
    for verb in VERBS:
        r = w.call(verb, "--help")
        assert r.returncode == 0 and "Examples:" in r.stdout and r.stdout.startswith(f"hami {verb} - "), r
        assert w.call("help", verb).stdout == r.stdout
        assert max(map(len, r.stdout.splitlines())) <= 100, max(r.stdout.splitlines(), key=len)
        assert verb in w.call("help").stdout
    assert w.call("--version").stdout.startswith("hami ")
    assert "66" in w.call("help", "--exit-codes").stdout


@test("a mistyped verb, flag or value is refused with what was meant")
def _(w):
    assert "did you mean" not in w.call("foo").stderr
    for args, says in ((["rum"], '"run"'), (["rnu"], '"run"'), (["run", "--mme", "1G", "true"], "did you mean --mem"), (["run", "--memm", "1G", "true"], "--mem"),
                       (["run", "--memory", "1G", "true"], "did you mean --mem"), (["help", "rum"], 'did you mean "run"'),
                       (["help", "run", "x"], '"x" is one word too many'), (["help", "sim", "x"], '"x" is one word too many'), (["resize", "x"], "--mem"),
                       (["run", "--mem", "8X", "true"], "--mem 8X"), (["run", "--mem", "8", "true"], "1 MiB"),
                       (["-v"], "unknown flag -v"), (["run", "--wait=soon", "true"], "for example --wait=30s"), (["run", "--mem"], "needs a value"),
                       (["run", "--cores", "0", "true"], "without it there is no limit"), (["run", "--cores", "101", "true"], "--cores"),
                       (["run", "--gpus", "0", "true"], "--gpus"), (["run", "--policy", "best", "true"], "spread"),
                       (["run", "--priority", "2", "true"], "--priority"), (["run", "--wait=soon", "true"], "--wait"),
                       (["run", "--core-policy", "x", "true"], "force"), (["run", "--name", "a b", "true"], "--name"),
                       (["run"], "no command"), (["stop"], "needs a slice"), (["ps", "x"], "no argument"),
                       (["run", "--exclusive=yes", "true"], "takes no value"), (["top", "--interval", "1ms"], "50ms")):
        r = w.call(*args)
        assert r.returncode == 64 and says in r.stderr and not r.stdout, (args, r)


@test("called `scheduler`, as HAMi's chart does it, hami is `hami scheduler`")
def _(w):
    os.symlink(w.hami, w.path("scheduler"))
    w.hami, hami = w.path("scheduler"), w.hami
    chart = ["--http_bind=0.0.0.0:9443", "--cert_file=/tls/tls.crt", "--key_file=/tls/tls.key", "--scheduler-name=hami-scheduler",
             "--metrics-bind-address=:9395", "--node-scheduler-policy=binpack", "--gpu-scheduler-policy=spread",
             "--force-overwrite-default-scheduler=true", "--leader-elect=true", "--leader-elect-resource-name=hami-scheduler",
             "--leader-elect-resource-namespace=kube-system", "--device-plugin-namespace=kube-system",
             "--device-plugin-service-account=hami-device-plugin", "--enable-ascend=true", "--enable-iluvatar=true",
             "--node-label-selector=gpu=on", "--legacy-metrics=true", "--node-lock-retry-timeout=28s", "--debug", "-v=4"]
    r = w.call(*chart, "--print", "managed-resources")
    assert r.returncode == 0 and "nvidia.com/gpu," in r.stdout and "huawei.com/" in r.stdout, r
    assert w.call("version").stdout.startswith("hami ") and "--http_bind" in w.call("--help").stdout
    r = w.call("--no-such")
    assert r.returncode == 64 and r.stderr.startswith("hami scheduler: unknown flag --no-such"), r
    w.hami = hami


@test("flags stand before the slice's id or behind it, and behind -- nothing is a flag")
def _(w):
    w.hold("--mem", "1G", "--name", "one")
    for args, status in ((["doctor", "one", "--json"], None), (["wait", "one", "--timeout", "10ms"], 67),
                         (["events", "one", "--json"], 0), (["resize", "one", "--cores", "20", "--json"], 0),
                         (["stop", "--", "--grace"], 65), (["stop", "one", "--grac", "1s"], 64), (["stop", "one", "--grace", "1s"], 0)):
        r = w.call(*args)
        assert status is None or r.returncode == status, (args, r)
        assert "--json" not in args or r.stdout[0] in "[{", (args, r)


@test("a configuration file that HAMI_CONFIG names has to be there, the usual one need not")
def _(w):
    r = w.call("ps", env={"HAMI_CONFIG": w.path("none.toml")})
    assert r.returncode == 72 and f"HAMI_CONFIG={w.path('none.toml')}: there is no such file" in r.stderr, r
    r = w.call("ps", env={"HAMI_CONFIG": "", "HOME": w.path("home"), "XDG_CONFIG_HOME": ""})
    assert r.returncode == 0, r


def on_columns(w, columns, *args):
    """What a verb prints on a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen([w.hami, *args], stdin=subprocess.DEVNULL, stdout=slave, env=w.env)
    os.close(slave)
    seen = b""
    while True:
        ready, _, _ = select.select([master], [], [], LIMIT_S)
        assert ready, args
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(master)
    assert p.wait(LIMIT_S) == 0, args
    return seen.decode().replace("\r\n", "\n")


@test("a help fits terminals of 80 and of 60 columns, says the same words, and keeps its examples whole")
def _(w):
    for words in [[v] for v in VERBS] + [["sim"]] + [["sim", v] for v in ("top", "log", "fault", "profiles")]:
        plain = w.call(*words, "--help").stdout
        for columns in (80, 60):
            folded = on_columns(w, columns, *words, "--help")
            head, _, examples = folded.partition("\nExamples:\n")
            longest = max(head.splitlines(), key=len)
            assert len(longest) <= columns or len(longest.split()) == 1, (words, columns, longest)
            assert folded.split() == plain.split() and plain.endswith("\nExamples:\n" + examples), (words, columns)
        assert on_columns(w, 120, *words, "--help") == plain, words


@test("ps fits a terminal of 80 columns: the command is cut there, whole characters of it, and nowhere else")
def _(w):
    w.hold("--mem", "1G")
    w.start("--mem", "1G", "--", "sh", "-c", "cat", "ä" * 200, "\x1b[31m")
    eventually(lambda: len(w.slices()) == 2, "a second slice")
    wide = w.call("ps").stdout.splitlines()
    narrow = on_columns(w, 80, "ps").splitlines()
    assert len(wide) == len(narrow) == 3 and "ä" * 200 in wide[2], wide
    for long, short in zip(wide, narrow):
        assert len(short) <= 80 and long.startswith(short[:60]), (long, short)
    assert narrow[2].endswith("ä") and not set(wide[2]) & {"\x1b", "\t", "\r"}, wide


@test("a name is shown whole, however long: other verbs take no part of it")
def _(w):
    w.hold("--mem", "1G", "--name", "a" * 40)
    r = w.call("ps")
    assert " " + "a" * 40 + "  running" in r.stdout, r
    assert f"  reserved   {'a' * 40}: 1 card, 1.0 GiB of each: " in w.call("events").stdout


@test("completion knows the flags of a word of `sim` and the families of --vendor")
def _(w):
    assert "--device" in w.call("__complete", "sim", "fault").stdout.split()
    assert {"NVIDIA", "MLU", "Ascend910B3"} <= set(w.call("__complete", "--vendor").stdout.split())
    assert "hami sim fault" in w.call("help", "sim", "fault").stdout


@test("scheduler, explain and yaml refuse what is mistyped: flag, value and what to write")
def _(w):
    for args, says in ((["scheduler", "x"], '"x"'), (["scheduler", "--http-bind", ":1"], "did you mean --http_bind"),
                       (["scheduler", "--leader-elect"], "--leader-elect-resource-name"), (["scheduler", "--v=x"], "from 0 to 100"),
                       (["scheduler", "--admission-check", "x=warn"], "impossible"), (["scheduler", "--cert_file", "a"], "--key_file"),
                       (["explain"], "pod NAMESPACE/NAME"), (["explain", "pods", "x"], '"pods" is neither'),
                       (["explain", "pod"], "default/demo"), (["explain", "fit", "x"], '"x" is one word too many'),
                       (["explain", "fit", "--node-label-selector", "x"], "--node-label-selector x: needs the form key=value"),
                       (["yaml"], "pod, deployment, job"), (["yaml", "pods"], '"pods" is none of'), (["yaml", "pod"], "--name"),
                       (["yaml", "pod", "--name", "A"], "--name A: is not made of small letters"),
                       (["yaml", "pod", "--name", "a" * 64], "longer than 63"), (["yaml", "pod", "--name", "a-"], "--name a-"),
                       (["yaml", "pod", "--name", "a", "--namespace", "B"], "--namespace B"),
                       (["yaml", "pod", "--name", "a", "true"], "follows --"), (["yaml", "pod", "--check", "f"], "exclude each other"),
                       (["yaml", "pod", "--name", "a", "--cores", "101"], "--cores 101: is not a number from 1 to 100"),
                       (["yaml", "pod", "--name", "a", "--priority", "2"], "from 0 to 1"),
                       (["yaml", "pod", "--name", "a", "--vendor", "x"], "--vendor x")):
        r = w.call(*args)
        assert r.returncode == 64 and says in r.stderr and not r.stdout, (args, r)
    with open(os.path.join(w.dir, "devices.yaml"), "w") as f:
        f.write("nvidia:\n  resourceCountName: nvidia.com/gpu\n  typo: 1\n")
    r = w.call("yaml", "pod", "--name", "a", "--device-config-file", f.name)
    assert r.returncode == 0 and "nvidia.typo: there is no such key" in r.stderr, r
    r = w.call("yaml", "job", "--name", "a", "--priority", "0", "--vendor", "NVIDIA", "--", "sh", "-c", "true")
    assert r.returncode == 0 and "nvidia.com/priority: 0" in r.stdout and '"true"' in r.stdout, r


@test("an unset variable is no wish: empty names stop nothing, empty lists choose nothing")
def _(w):
    p = w.hold("--mem", "1G")
    for verb in (["stop"], ["suspend"], ["resize"], ["wait"]):
        r = w.call(*verb, "", *(["--mem", "2G"] if verb == ["resize"] else []))
        assert r.returncode == 65 and 'no slice is called ""' in r.stderr, (verb, r)
    assert len(w.slices()) == 1 and p.poll() is None
    for flag in ("--uuid", "--not-uuid", "--type", "--not-type"):
        for empty in ("", " ", ","):
            r = w.run(flag, empty, "--mem", "1G", "--", "true")
            assert r.returncode == 64 and f"{flag} {empty}: names no card" in r.stderr, (flag, empty, r)


@test("output that cannot be written is a failure")
def _(w):
    for verb in (["version"], ["help"], ["ps"], ["ps", "--json"], ["top", "--once"]):
        with open("/dev/full", "w") as full:
            p = subprocess.run([w.hami, *verb], stdout=full, stderr=subprocess.PIPE, text=True, env=w.env, timeout=LIMIT_S)
        assert p.returncode == 70, (verb, p)


if __name__ == "__main__":
    main()
