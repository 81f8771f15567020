#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare our declared CUDA and NVML interfaces with NVIDIA's own headers.

usage: compare.py SOURCE-ROOT BUILD-FOLDER     (speaks TAP)

The headers come from the wheels that NVIDIA publishes on PyPI, by name and
version, into BUILD-FOLDER/abi; without a network and without an earlier
download every test is skipped. For each release:

  prototypes  every row of contract/*.def whose name the release declares has
              the same type, by __builtin_types_compatible_p, in the header's
              three views (default, all versions, per-thread default stream)
  layouts     sizes, offsets and values of src/abi, printed by one program
              compiled against our header and against NVIDIA's
"""
import os
import re
import subprocess
import sys
import zipfile

RELEASES = [
    ("12.9", {"cuda": ["nvidia-cuda-runtime-cu12==12.9.79", "nvidia-cuda-profiler-api-cu12==12.9.79"],
              "nvml": ["nvidia-nvml-dev-cu12==12.9.79"]}),
    ("13.5", {"cuda": ["nvidia-cuda-runtime==13.5.37", "nvidia-cuda-profiler-api==13.4.92"],
              "nvml": ["nvidia-nvml-dev==13.5.37"]}),
]
NEWEST = "13.5"

# What the graphics interop headers expect from others' headers.
STUBS = {
    "GL/gl.h": "typedef unsigned int GLenum; typedef unsigned int GLuint;",
    "EGL/egl.h": "typedef int EGLint;",
    "EGL/eglext.h": "typedef void *EGLImageKHR; typedef void *EGLStreamKHR; typedef void *EGLSyncKHR;",
    "vdpau/vdpau.h": "#include <stdint.h>\ntypedef uint32_t VdpDevice; typedef uint32_t VdpFuncId; typedef int VdpStatus;"
                     "typedef uint32_t VdpVideoSurface; typedef uint32_t VdpOutputSurface;"
                     "typedef VdpStatus VdpGetProcAddress(VdpDevice, VdpFuncId, void **);",
}
CUDA_HEADERS = ["GL/gl.h", "EGL/egl.h", "EGL/eglext.h", "vdpau/vdpau.h", "cuda.h", "cudaGL.h", "cudaEGL.h", "cudaVDPAU.h",
                "cudaProfiler.h"]
CUDA_VIEWS = [[], ["-D__CUDA_API_VERSION_INTERNAL"], ["-DCUDA_API_PER_THREAD_DEFAULT_STREAM"]]
NVML_VIEWS = [[], ["-DNVML_NO_UNVERSIONED_FUNC_DEFS"]]


def headers(wheel, folder):
    """Folder with the wheel's headers, downloading it at need; or None and why."""
    target = os.path.join(folder, wheel.replace("==", "-"))
    if os.path.isdir(target):
        return target, ""
    wheels = os.path.join(folder, "wheels")
    os.makedirs(wheels, exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps",
                           "--only-binary", ":all:", "-q", "-d", wheels, wheel], capture_output=True, text=True, timeout=300)
    if done.returncode:
        return None, "cannot download %s: %s" % (wheel, (done.stderr.strip().splitlines() or ["no reason given"])[-1])
    stem = wheel.replace("-", "_").replace("==", "-")
    found = [f for f in os.listdir(wheels) if f.startswith(stem)]
    os.makedirs(target + ".part", exist_ok=True)
    with zipfile.ZipFile(os.path.join(wheels, found[0])) as z:
        for name in z.namelist():
            if name.endswith(".h") and "/include/" in name:
                inside = name.split("/include/", 1)[1]
                path = os.path.join(target + ".part", inside)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                open(path, "wb").write(z.read(name))
    os.rename(target + ".part", target)
    return target, ""


def cc(arguments, source, folder, name="probe.c"):
    path = os.path.join(folder, name)
    open(path, "w").write(source)
    return subprocess.run([os.environ.get("CC", "cc").split()[-1], "-w", *arguments, path], capture_output=True, text=True)


def rows(table):
    text = re.sub(r"/\*.*?\*/", "", open(table).read(), flags=re.S)
    out = []
    for kind, body in re.findall(r"^(CUDA|NVML|NVML_TEXT)\((.*)\)$", text, flags=re.M):
        head, types = body.split(", (", 1)
        result = {"CUDA": "CUresult", "NVML": "nvmlReturn_t", "NVML_TEXT": "const char *"}[kind]
        out.append((head.split(",")[0], result, "(" + types))
    return out


def declared(text):
    return set(re.findall(r"\b((?:cu|nvml)[A-Z]\w*)\s*\(", re.sub(r'"[^"]*"', "", text)))


def compare_prototypes(table, include, flags, folder, view):
    """(number compared, names compared, complaints)"""
    plain = cc(["-E", "-P", *flags, *view], include, folder)
    if plain.returncode:
        return set(), ["the headers do not preprocess: " + plain.stderr.strip()[:300]]
    have = declared(plain.stdout)
    source, lines = [include], {}
    for name, result, types in rows(table):
        if name not in have:
            continue
        source.append("#undef %s" % name)
        lines[name] = "typedef %s ours_%s %s; _Static_assert(__builtin_types_compatible_p(ours_%s, __typeof__(%s)), \"%s\");" % (
            result, name, types, name, name, name)
    done = cc(["-fsyntax-only", *flags, *view], "\n".join(source + list(lines.values())) + "\n", folder)
    complaints = [l for l in done.stderr.splitlines() if "error" in l]
    return set(lines), complaints


# ---- layouts ----

def fields(text):
    """(type name, [member paths]) of every struct and union typedef of our header."""
    out, stack, paths = [], [], []
    for line in text.splitlines():
        line = line.strip()
        if re.match(r"typedef (struct|union)\b.*\{$", line) or (not stack and re.match(r"(struct|union) \w+ \{$", line)):
            stack, paths = [[]], []
        elif stack and line.endswith("{"):
            stack.append([])
        elif stack and line.startswith("}"):
            inner = stack.pop()
            name = re.match(r"\}\s*(\w*)", line).group(1)
            if not stack:
                if name and not line.startswith("};"):
                    out.append((name, inner))
                continue
            array = "[0]" if "[" in line else ""
            stack[-1] += ([name] + [name + array + "." + p for p in inner]) if name else inner
        elif stack and ":" not in line:
            m = re.search(r"\(\*\s*(\w+)\)", line) or re.search(r"(\w+)\s*(?:\[[^;]*\])*\s*;$", line)
            if m:
                stack[-1].append(m.group(1))
    return out


def layout_lines(header, enums):
    """What to print: label and expression, one per line."""
    lines = []
    for name, members in fields(open(header).read()):
        lines.append(("sizeof " + name, "(long long)sizeof(%s)" % name))
        lines += [("%s.%s" % (name, m), "(long long)__builtin_offsetof(%s, %s)" % (name, m)) for m in members]
    text = re.sub(r"/\*.*?\*/", "", open(enums).read(), flags=re.S)
    for body in re.findall(r"enum[^{;]*\{([^}]*)\}", text):
        for name in re.findall(r"^\s*(\w+)\s*(?==|,|$)", body, flags=re.M):
            if not re.search(r"_(MAX|COUNT|NUM_OPTIONS)$", name) and "_MAX_" not in name:
                lines.append((name, "(long long)(%s)" % name))
    for name in re.findall(r"^#define (\w+) +[^\s]", text, flags=re.M):
        lines.append((name, "(long long)(%s)" % name))
    return lines


def printed(include, flags, folder, lines):
    """label -> value, and the labels that this header does not know."""
    unknown = set()
    for _ in range(60):
        source = [include, "#include <stdio.h>", "int main(void) {"]
        at = {}
        for label, expression in lines:
            if label not in unknown:
                source.append('printf("%%s\\t%%lld\\n", "%s", %s);' % (label, expression))
                at[len("\n".join(source).splitlines())] = label
        program = os.path.join(folder, "probe")
        done = cc([*flags, "-o", program], "\n".join(source + ["return 0; }"]), folder)
        if done.returncode == 0:
            text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
            return dict(l.split("\t") for l in text.splitlines()), unknown, ""
        bad = {at[int(n)] for n in re.findall(r"probe\.c:(\d+):\d+: error", done.stderr) if int(n) in at}
        if not bad:
            return {}, unknown, done.stderr.strip()[:300]
        unknown |= bad
    return {}, unknown, "too many unknown names"


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def say(self, ok, name, notes=(), skip=""):
        self.n += 1
        self.failed += not ok
        print("%s %d %s%s" % ("ok" if ok else "not ok", self.n, name, " # SKIP " + skip if skip else ""))
        for note in list(notes)[:20]:
            print("# " + note)
        sys.stdout.flush()


def check_release(tap, root, folder, release, wheels, kind, seen):
    label = "/abi/%s_%s" % (kind, release)
    include_dirs = []
    for wheel in wheels:
        include_dir, why = headers(wheel, folder)
        if include_dir is None:
            tap.say(True, label + "/prototypes_are_nvidias", skip=why)
            tap.say(True, label + "/layouts_are_nvidias", skip=why)
            return
        include_dirs.append(include_dir)
    stubs = os.path.join(folder, "stubs")
    for name, text in STUBS.items():
        os.makedirs(os.path.dirname(os.path.join(stubs, name)), exist_ok=True)
        open(os.path.join(stubs, name), "w").write(text + "\n")
    names = CUDA_HEADERS if kind == "cuda" else ["nvml.h"]
    names = [n for n in names if n in STUBS or any(os.path.exists(os.path.join(d, n)) for d in include_dirs)]
    include = "#include <stddef.h>\n" + "".join("#include <%s>\n" % n for n in names)
    flags = ["-I" + stubs] + ["-I" + d for d in include_dirs]
    compared, complaints = set(), []
    for view in CUDA_VIEWS if kind == "cuda" else NVML_VIEWS:
        got, bad = compare_prototypes(os.path.join(root, "contract", kind + ".def"), include, flags, folder, view)
        compared |= got
        complaints += bad
    seen |= compared
    tap.say(not complaints and len(compared) > 300, label + "/prototypes_are_nvidias",
            complaints + ["%d prototypes compared" % len(compared)])
    lines = layout_lines(os.path.join(root, "src/abi/%s.h" % kind), os.path.join(root, "src/abi/%s_enums.h" % kind))
    ours, our_unknown, trouble = printed('#include "abi/%s.h"\n' % kind, ["-I" + os.path.join(root, "src")], folder, lines)
    theirs, unknown, their_trouble = printed(include, flags + (CUDA_VIEWS[1] if kind == "cuda" else []), folder, lines)
    differ = ["%s: ours %s, NVIDIA's %s" % (k, ours[k], theirs[k]) for k in ours if k in theirs and ours[k] != theirs[k]]
    notes = [t for t in (trouble, their_trouble) if t] + ["our header does not have " + u for u in sorted(our_unknown)]
    if release == NEWEST:
        differ += ["NVIDIA's header does not have " + u for u in sorted(unknown)]
    else: # an older release: what it knows of must agree, unless a version number says it grew
        differ = [d for d in differ if not grew(d)]
    tap.say(not notes and not differ and len(theirs) > 500, label + "/layouts_are_nvidias",
            notes + differ + ["%d sizes, offsets and values compared, %d not in this release" % (len(theirs), len(unknown))])


# What later releases changed without a new name, so that an older one differs.
GREW = {
    "sizeof CUDA_HOST_NODE_PARAMS_v2", "sizeof CUDA_EXT_SEM_SIGNAL_NODE_PARAMS_v2",
    "sizeof CUDA_EXT_SEM_WAIT_NODE_PARAMS_v2", "sizeof CUDA_EVENT_RECORD_NODE_PARAMS", "sizeof CUdevSmResource",
    "CUmemPoolProps_v1.reserved", "CUcheckpointCheckpointArgs.reserved", "CUcheckpointRestoreArgs.reserved",
    "sizeof nvmlGpmMetricsGet_t", "nvmlClocksEventReasonAll", "nvmlClocksThrottleReasonAll", "NVML_NVLINK_MAX_LINKS",
    "NVML_COMPUTE_INSTANCE_PROFILE_COUNT", "NVML_GPU_INSTANCE_PROFILE_COUNT", "NVML_FI_MAX",
}
RENUMBERED = re.compile(r"NVML_FI_(PWR_SMOOTHING|DEV_POWER_SYNC|DEV_CLOCKS_EVENT)_")  # between 12.9 and 13.0

# Exported by the library, declared by no header.
UNDECLARED = {"nvmlInternalGetExportTable"}


def grew(difference):
    label = difference.split(":")[0]
    return label in GREW or RENUMBERED.match(label)


def main():
    root, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    folder = os.path.join(build, "abi")
    os.makedirs(folder, exist_ok=True)
    tap = Tap()
    print("1..%d" % (4 * len(RELEASES) + 2))
    for kind in ("cuda", "nvml"):
        seen = set()
        for release, wheels in RELEASES:
            check_release(tap, root, folder, release, wheels[kind], kind, seen)
        never = [n for n, _, _ in rows(os.path.join(root, "contract", kind + ".def")) if n not in seen | UNDECLARED]
        if seen:
            tap.say(not never, "/abi/every_%s_row_is_declared_by_a_release" % kind, never)
        else:
            tap.say(True, "/abi/every_%s_row_is_declared_by_a_release" % kind, skip="no headers")
    return 1 if tap.failed else 0


sys.exit(main())
