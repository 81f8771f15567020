# SPDX-License-Identifier: Apache-2.0
"""A Go that is new enough, where the machine's own is not (Debian 12 has 1.19).

Go's toolchain is a module like any other (golang.org/toolchain, one version
for each release and platform), so that an old Go can fetch a new one from
wherever GOPROXY says modules come from. It is kept beside the control plane
in the cache; its hash is pinned here, and the old Go compares it with what
arrived (h1: of `go help module-auth`, as the checksum database has it).
"""
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile

RELEASE = "1.25.14"
SUMS = {
    "x86_64": ("amd64", "h1:XriDgll2yv4W2YeUo2X/WuUuy+iGJkXGH0CQloMBEXo="),
    "aarch64": ("arm64", "h1:tccCYNAEolyjUyQVNxD/wJuly2Sx85m+OUkzGIhO1oY="),
}
MOD_SUM = "h1:8wlg68NqwW7eMnI1aABk/C2pDYXj8mrMY4TyRfiLeS0="  # "module golang.org/toolchain", whatever the release
FETCH_LIMIT_S = 600


class Absent(Exception):
    """It is not to be had here; the text says why."""


def version_of(text):
    m = re.search(r"\bgo ?(\d+)\.(\d+)", text)
    return (int(m[1]), int(m[2])) if m else (0, 0)


def environment(needed, cache, say):
    """Environment in which `go` is at least `needed`, a pair. Raises Absent, or CalledProcessError for a wrong hash."""
    text = "Go {}.{}".format(*needed)
    if not shutil.which("go"):
        raise Absent(f"{text} is needed, and there is no `go` in PATH, not even an old one that could fetch it: apt-get install golang-go")
    # Outside a module, so that an old Go does not stumble over the newer go.mod.
    have = version_of(subprocess.run(["go", "version"], capture_output=True, text=True, cwd="/").stdout)
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    if have >= needed:
        return env
    assert version_of("go" + RELEASE) >= needed, "the pinned toolchain is older than what go.mod asks for"
    folder = os.path.join(cache, "go-" + RELEASE)
    if not os.path.exists(os.path.join(folder, "bin", "go")):
        fetch(folder, env, say, f"Go {have[0]}.{have[1]} is too old, {text} is needed")
    env.pop("GOROOT", None)
    return {**env, "PATH": os.path.join(folder, "bin") + os.pathsep + env.get("PATH", ""), "GOTOOLCHAIN": "local"}


def fetch(folder, env, say, why):
    if platform.machine() not in SUMS:
        raise Absent(f"{why}, and no hash of Go {RELEASE} for {platform.machine()} is pinned")
    arch, h1 = SUMS[platform.machine()]
    module, version = "golang.org/toolchain", f"v0.0.1-go{RELEASE}.linux-{arch}"
    say(f"{why}: fetching {module}@{version} into {folder}")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="go-", dir=os.path.dirname(folder)) as unfinished:
        with open(os.path.join(unfinished, "go.mod"), "w") as f:
            f.write("module fetch\n")
        with open(os.path.join(unfinished, "go.sum"), "w") as f:
            f.write(f"{module} {version} {h1}\n{module} {version}/go.mod {MOD_SUM}\n")
        # A module cache of its own, which goes with the folder.
        env = {**env, "GOMODCACHE": os.path.join(unfinished, "mod"), "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local"}
        tree = download(["go", "mod", "download", "-json", f"{module}@{version}"], unfinished, env, why)
        make_usable(tree)
        os.rename(tree, folder)


def download(command, where, env, why):
    try:
        r = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=FETCH_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Absent(f"{why}, and {command[-1]} did not arrive within {FETCH_LIMIT_S} s") from None
    if "checksum mismatch" in r.stderr + r.stdout:
        raise subprocess.CalledProcessError(r.returncode, command, stderr=r.stderr or r.stdout)
    if r.returncode != 0:
        try:
            complaint = json.loads(r.stdout)["Error"]
        except (ValueError, KeyError):
            complaint = (r.stderr.strip().splitlines() or ["?"])[-1]
        raise Absent(f"{why}, and Go {RELEASE} cannot be had: {complaint}")
    return json.loads(r.stdout)["Dir"]


def make_usable(tree):
    """What a zip of a module cannot say: which files are programs, and that src/ has modules of its own."""
    for part in ("bin", "pkg/tool"):
        for parent, _, names in os.walk(os.path.join(tree, part)):
            for name in names:
                os.chmod(os.path.join(parent, name), 0o755)
    for parent, _, names in os.walk(os.path.join(tree, "src")):
        if "_go.mod" in names:
            os.rename(os.path.join(parent, "_go.mod"), os.path.join(parent, "go.mod"))
