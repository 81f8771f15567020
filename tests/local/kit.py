# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests of `hami` share: a broker of their own in a
temporary folder, a client, and TAP. Waits are for events, not for time; every
one of them has a limit so that a failure is not a hang."""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = os.path.join(HERE, "client.py")
# What nohup ignores a shell below cannot trap.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

LIMIT_S = 60
MIB = 1 << 20
TESTS = []


class Skip(Exception):
    pass


def test(name):
    def add(function):
        TESTS.append((name, function))
        return function
    return add


class World:
    """A state folder, a runtime folder and a simulated machine of its own."""

    def __init__(self, build, profile="2xa100-40g"):
        self.build, self.hami, self.profile = build, os.path.join(build, "hami"), profile
        self.dir = tempfile.mkdtemp(prefix="hami-local-")
        os.chmod(self.dir, 0o755)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("CUDA_", "HAMI_", "NVIDIA_", "LD_"))}
        self.env.update(HAMI_STATE_DIR=self.path("state"), HAMI_RUNTIME_DIR=self.path("run"),
                        HAMI_CONFIG=self.path("hami.toml"), HAMI_SIM_STATE=self.path("machine"), NO_COLOR="1",
                        PYTHONDONTWRITEBYTECODE="1")
        self.children = []
        self.config("")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def config(self, text):
        with open(self.path("hami.toml"), "w") as f:
            f.write(text)

    def call(self, *args, stdin="", env=None, limit=LIMIT_S):
        return subprocess.run([self.hami, *args], capture_output=True, text=True, input=stdin, timeout=limit,
                              env={**self.env, **(env or {})})

    def run_args(self, args):
        return ["run", "--sim", self.profile, *args]

    def run(self, *args, **more):
        return self.call(*self.run_args(args), **more)

    def start(self, *args, env=None):
        p = subprocess.Popen([self.hami, *self.run_args(args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, bufsize=1, env={**self.env, **(env or {})})
        self.children.append(p)
        return p

    def hold(self, *args, mib=64, **more):
        """A client that holds memory in a slice; returns once it does."""
        p = self.start(*args, "--", CLIENT, "hold", str(mib), **more)
        said = line(p)
        assert said == "ready", f"client said {said!r}, {rest(p)!r}"
        return p

    def json(self, *args):
        r = self.call(*args)
        return json.loads(r.stdout)

    def slices(self, *more):
        return self.json("ps", "--json", *more)

    def only(self):
        all_of_them = self.slices()
        assert len(all_of_them) == 1, all_of_them
        return all_of_them[0]

    def leftovers(self):
        """What a world without slices should not have."""
        found = [os.path.join("run", d, n) for d in ("slices", "board") for n in os.listdir(self.path("run", d))]
        mount = cgroup_mount()
        if mount:
            found += [self.base_group()] if os.path.isdir(self.base_group()) else []
        return found

    def base_group(self):
        """Where this world's control groups lie: named after a hash of the state folder (g_str_hash)."""
        h = 5381
        for c in self.path("state").encode():
            h = (h * 33 + c) & 0xffffffff
        return os.path.join(cgroup_mount(), f"hami-{h:08x}")

    def groups(self):
        """Control groups of this world's slices, running or ended."""
        import sqlite3
        db = sqlite3.connect(f"file:{self.path('state', 'ledger.db')}?mode=ro", uri=True)
        rows = [r[0] for r in db.execute("SELECT cgroup FROM slices WHERE cgroup != ''")]
        db.close()
        return rows

    def close(self):
        for p in self.children:
            if p.poll() is None:
                p.kill()
            p.wait()
            for f in (p.stdin, p.stdout, p.stderr):
                if f:
                    try:
                        f.close()
                    except OSError:
                        pass
        self.config("")
        if os.path.isdir(self.path("state")):
            for s in self.slices():
                self.call("stop", "--grace", "0s", s["id"])
            self.call("ps")
        shutil.rmtree(self.dir, ignore_errors=True)


def cgroup_mount():
    for row in open("/proc/self/mountinfo"):
        words = row.split()
        if words[words.index("-") + 1] == "cgroup2":
            return words[4]
    return None


def line(p, limit=LIMIT_S):
    ready, _, _ = select.select([p.stdout], [], [], limit)
    if not ready:
        p.kill()
        raise AssertionError("no answer within the limit")
    return p.stdout.readline().rstrip("\n")


def ask(p, words):
    p.stdin.write(words + "\n")
    p.stdin.flush()
    return json.loads(line(p))


def rest(p, limit=LIMIT_S):
    out, err = p.communicate(timeout=limit)
    return p.returncode, out, err


def eventually(check, what, limit=LIMIT_S):
    """For what no event tells of (the death of a stranger): looks again."""
    import time
    end = time.monotonic() + limit
    while not check():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.02)


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def main():
    build = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    chosen = [(n, f) for n, f in TESTS if not wanted or any(w in n for w in wanted)]
    failed = False
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(f"1..{len(chosen)}", flush=True)
    for i, (name, function) in enumerate(chosen, 1):
        world = World(build)
        try:
            function(world)
            print(f"ok {i} - {name}", flush=True)
        except Skip as why:
            print(f"ok {i} - {name} # SKIP {why}", flush=True)
        except Exception:
            failed = True
            print(f"not ok {i} - {name}", flush=True)
            for row in traceback.format_exc().splitlines():
                print("# " + row, flush=True)
        finally:
            world.close()
    sys.exit(failed)
