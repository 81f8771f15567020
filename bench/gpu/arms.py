# SPDX-License-Identifier: Apache-2.0
"""The arms of the comparison (N native, O ours, H another library) and their processes."""
import os
import subprocess
import tempfile
import time

GRANT_BYTES = 8192


class Arm:
    """A library to preload, or none; prepares the environment of one slice."""

    def __init__(self, name, library, folder, uuid=None):
        self.name, self.library, self.folder, self.uuid = name, library, folder, uuid
        self.slices = 0

    def slice(self, mem=0, cores=0, board=None):
        """A slice of its own: region and limits. Several processes may run in it."""
        self.slices += 1
        return Slice(self, os.path.join(self.folder, f"{self.name}{self.slices}"), mem, cores, board)


class Slice:
    def __init__(self, arm, prefix, mem, cores, board):
        self.arm, self.prefix, self.mem, self.cores, self.board, self.epoch = arm, prefix, mem, cores, board, 0
        if arm.name == "O":
            self.write()

    def write(self):
        """The grant in place, as the host writes it (contract/grant.def)."""
        self.epoch += 1
        board = f" board {self.board}" if self.board else ""
        text = (f"hami-grant   1  {self.epoch:08}\nid {os.path.basename(self.prefix)}\nregion {self.prefix}.region\n"
                f"policy force\npriority 1\noversubscribe no\n"
                f"device 0 {self.arm.uuid} mem {self.mem} cores {self.cores}{board}\nend {self.epoch:08}\n")
        with open(self.prefix + ".grant", "r+b" if self.epoch > 1 else "wb", buffering=0) as f:
            f.write(text.encode().ljust(GRANT_BYTES, b"\n"))

    def resize(self, cores):
        self.cores = cores
        self.write()

    def environment(self):
        env = dict(os.environ)
        if not self.arm.library:
            return env
        env.update(LD_PRELOAD=self.arm.library, LIBCUDA_LOG_LEVEL="0")
        if self.arm.name == "O":
            env["HAMI_GRANT"] = self.prefix + ".grant"
            return env
        env.update(CUDA_DEVICE_MEMORY_SHARED_CACHE=self.prefix + ".region", GPU_CORE_UTILIZATION_POLICY="force")
        if self.mem:
            env["CUDA_DEVICE_MEMORY_LIMIT"] = str(self.mem)
        if self.cores:
            env["CUDA_DEVICE_SM_LIMIT"] = str(self.cores)
        return env


class Failed(Exception):
    """A program of a step did not do what the step needs; the step is reported as not measured."""


def call(command, place, timeout=120):
    """Runs one program in a slice; its lines as {first word: [the others]}."""
    try:
        done = subprocess.run(command, env=place.environment(), capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{place.arm.name}: {' '.join(command[:3])}: no end after {timeout} s") from None
    if done.returncode:
        raise Failed(f"{place.arm.name}: {' '.join(command[:3])}: exit status {done.returncode}: {done.stderr.strip()[-200:]}")
    return lines(done.stdout)


def lines(text):
    return {words[0]: words[1:] for words in (line.split() for line in text.splitlines()) if words}


def floats(words):
    return [float(w) for w in words]


class Tenant:
    """A program that says "ready", starts at a line and ends at the next or at the end of its input."""

    started = []

    def __init__(self, command, place):
        self.title = f"{place.arm.name}: {' '.join(command[:3])}"
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, env=place.environment(), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        Tenant.started.append(self)

    def ready(self):
        if self.process.stdout.readline().strip() != "ready":
            self.kill()
            raise Failed(f"{self.title} did not start: {self.said()}")
        return self

    def said(self):
        self.errors.seek(0)
        return self.errors.read().strip()[-200:]

    def say(self, word="go"):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def finish(self, timeout=60):
        """Closes its input; its remaining output."""
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.title} did not end within {timeout} s") from None
        if self.process.returncode:
            raise Failed(f"{self.title}: exit status {self.process.returncode}: {self.said()}")
        return out

    def kill(self):
        self.process.kill()
        self.process.wait()

    @classmethod
    def kill_all(cls):
        """Whatever a failed step has left running; the next one wants the card alone."""
        for t in cls.started:
            if t.process.poll() is None:
                t.kill()
        cls.started.clear()


def together(tenants, seconds):
    """Starts all at one moment and stops them `seconds` later; their outputs."""
    try:
        for t in tenants:
            t.ready()
        for t in tenants:
            t.say()
        time.sleep(seconds)
        for t in tenants:
            t.say("stop")
        return [t.finish() for t in tenants]
    finally:
        for t in tenants:
            if t.process.poll() is None:
                t.kill()


def series(text):
    """`gpu flood`'s samples as (seconds, chunks)."""
    return [(float(t) / 1e9, float(c)) for t, c in
            (line.split()[1:3] for line in text.splitlines() if line.startswith("sample "))]
