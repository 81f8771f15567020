# SPDX-License-Identifier: Apache-2.0
"""Processes that do not outlive us, their folders and their ports.

1. The kernel kills each child when the thread that started it ends
   (PR_SET_PDEATHSIG, by setpriv(1)), so that not even SIGKILL of the tests
   leaves one behind. Children are therefore started by the main thread only.
2. Children stay in our process group: who kills the group kills them too.
3. A child is asked first (TERM) and killed after GRACE_S.
"""
import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

GRACE_S = 10
# Below the ports that the kernel gives to outgoing connections.
PORTS = range(20000, 32000)
PREFIX = "hami-e2e-"
_started = []


class Died(Exception):
    pass


class Child:
    """One process with its log. `host` gives it a host name of its own."""

    def __init__(self, name, command, log, env=None, host=None):
        assert threading.current_thread() is threading.main_thread()
        self.name, self.log = name, log
        if host:
            command = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *command]
        with open(log, "ab") as out:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        _started.append(self)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """At once and without a word, as a crash would."""
        self.process.kill()
        return self.wait()

    def stop(self):
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.wait()

    def wait(self):
        status = self.process.wait(GRACE_S)
        if self in _started:
            _started.remove(self)
        return status

    def until(self, check, what, limit_s=60):
        """Looks every few milliseconds whether check() is true (or stops raising OSError)."""
        end = time.monotonic() + limit_s
        while True:
            try:
                if check():
                    return
            except OSError:
                pass
            if not self.running():
                raise Died(f"{self.name} ended with status {self.process.returncode} before {what}:\n{self.tail()}")
            if time.monotonic() > end:
                raise Died(f"{self.name}: not within {limit_s} s: {what}\n{self.tail()}")
            time.sleep(0.02)

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def tail(self, lines=15):
        return "".join(line[:400] + "\n" for line in self.said().splitlines()[-lines:])


def end_all():
    """Kills whatever is still there, last started first."""
    for child in reversed(_started.copy()):
        child.process.kill()
        child.process.wait()
    _started.clear()


def folder(name):
    """A folder of our own, removed at exit; what killed runs left goes first."""
    base = tempfile.gettempdir()
    for entry in os.listdir(base):
        pid = entry.removeprefix(PREFIX).split("-")[0]
        if entry.startswith(PREFIX) and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            shutil.rmtree(os.path.join(base, entry), ignore_errors=True)
    path = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{name}-", dir=base)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    atexit.register(end_all)  # registered later, so it runs before the folders go
    return path


def free_port():
    """A random port that nobody listens on, so that several runs keep out of each other's way."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def end_on_signals():
    """SIGTERM and SIGHUP end us like ^C does: with everything cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: (_ for _ in ()).throw(SystemExit(128 + n)))
