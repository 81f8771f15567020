#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hami_build_info: what was built, also from an archive, and the same for two builds of one commit."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import kit
from kit import node, test

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "build-info")
EPOCH, DATE = "1700000000", "2023-11-14T22:13:20Z"


class Tree:
    """A repository with the script and one commit."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hami-build-info-")
        self.top = self.folder("top")
        self.git("init", "-q")
        shutil.copy(os.path.join(os.path.dirname(SCRIPT), "..", ".gitattributes"), self.top)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "one", GIT_AUTHOR_DATE=f"{EPOCH} +0200", GIT_COMMITTER_DATE=f"{EPOCH} +0200")
        self.commit = self.git("rev-parse", "HEAD")

    def folder(self, *names):
        path = os.path.join(self.dir, *names)
        os.makedirs(path + "/tools")
        shutil.copy(SCRIPT, path + "/tools")
        return path

    def git(self, *args, **env):
        names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        r = subprocess.run(["git", "-C", self.top, *args], env={"PATH": os.environ["PATH"], "HOME": self.dir, **names, **env}, check=True, capture_output=True, text=True)
        return r.stdout.strip()

    def info(self, top=None, **env):
        """(revision, date)."""
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, **env}
        r = subprocess.run([(top or self.top) + "/tools/build-info"], env=env, cwd="/", check=True, capture_output=True, text=True)
        assert not r.stderr and r.stdout.count("\n") == 1, r
        return tuple(json.loads(f"[{r.stdout}]"))


def tree(check):
    def run(build):
        t = Tree()
        try:
            check(t)
        finally:
            shutil.rmtree(t.dir)
    return run


@test("build info: commit and its time, nothing of when and where it is built")
@tree
def _(t):
    assert t.info() == t.info() == (t.commit, DATE), t.info()
    open(t.top + "/untracked", "w").close()
    assert t.info() == (t.commit, DATE)
    with open(t.top + "/.gitattributes", "a") as f:
        f.write("# changed\n")
    assert t.info() == (t.commit + "-dirty", DATE)


@test("build info: an archive knows its commit without git")
@tree
def _(t):
    t.git("archive", "-o", t.dir + "/a.tar", "HEAD")
    os.makedirs(t.dir + "/unpacked")
    subprocess.run(["tar", "-xf", t.dir + "/a.tar", "-C", t.dir + "/unpacked"], check=True)
    os.makedirs(t.dir + "/bin")
    for name in ("sh", "dirname", "date"):
        os.symlink(shutil.which(name), f"{t.dir}/bin/{name}")
    for path in (os.environ["PATH"], t.dir + "/bin"):
        assert t.info(t.dir + "/unpacked", PATH=path) == (t.commit, DATE), t.info(t.dir + "/unpacked")


@test("build info: another's repository around the tree says nothing of it")
@tree
def _(t):
    assert t.info(t.folder("top", "vendor")) == ("unknown", "unknown")


@test("build info: what is given counts, if it is a revision and a time")
@tree
def _(t):
    bare = t.folder("bare")
    assert t.info(bare, REVISION="v1.2+deb1", SOURCE_DATE_EPOCH="0") == ("v1.2+deb1", "1970-01-01T00:00:00Z")
    assert t.info(SOURCE_DATE_EPOCH="1") == (t.commit, "1970-01-01T00:00:01Z")
    for wrong in ('a"b', "a b", "a\nb", "a\\", "$(id)"):
        assert t.info(bare, REVISION=wrong, SOURCE_DATE_EPOCH=wrong) == ("unknown", "unknown"), wrong


@test("build info: the metric says what `hami version` says, with the labels of the contract")
def _(build):
    """scheduler.md 1.4: no zone."""
    version = json.loads(subprocess.run([build + "/hami", "version", "--json"], check=True, capture_output=True, text=True).stdout)
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", version["revision"]) or os.environ.get("REVISION") == version["revision"], version
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|unknown", version["build_date"]), version
    with open(build + "/src/base/build_revision.h") as f:
        assert f'"{version["revision"]}", "{version["build_date"]}"' in f.read()
    w = kit.World(build, [node("a")])
    try:
        s = w.start()
        labels = dict(re.findall(r'(\w+)="(.*?)"', re.search(r"^hami_build_info\{(.*)\} 1$", s.metrics(), re.M)[1]))
        assert set(labels) == {"version", "revision", "build_date", "go_version", "compiler", "platform"}, labels
        assert all(labels[k] == version[k] for k in ("version", "revision", "build_date")), (labels, version)
        assert re.fullmatch(r"(gcc|Clang|clang|Debian|Ubuntu)\b.*\d+\.\d+.*", labels["compiler"]) and labels["platform"] in ("linux/amd64", "linux/arm64"), labels
    finally:
        w.close()


if __name__ == "__main__":
    kit.main()
