#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write src/abi/: the types of the CUDA driver and NVML interfaces.

The headers of a CUDA release are read with clang and only their facts are
kept: the names, layouts and values of the types that the rows of
contract/cuda.def and contract/nvml.def mention. Comments, functions and
conveniences are left behind. Run it by hand when a release brings new types:

    tools/abi/extract.py DIR-WITH-cuda.h DIR-WITH-nvml.h src/abi

The prototype test (tests/abi) then compares the result with NVIDIA's own
headers, field by field.
"""
import os
import re
import subprocess
import sys
import tempfile

# What the graphics interop headers expect from others' headers.
STUBS = {
    "GL/gl.h": "typedef unsigned int GLenum; typedef unsigned int GLuint;",
    "EGL/egl.h": "typedef int EGLint;",
    "EGL/eglext.h": "typedef void *EGLImageKHR; typedef void *EGLStreamKHR; typedef void *EGLSyncKHR;",
    "vdpau/vdpau.h": "#include <stdint.h>\ntypedef uint32_t VdpDevice; typedef uint32_t VdpFuncId; typedef int VdpStatus;"
                     "typedef uint32_t VdpVideoSurface; typedef uint32_t VdpOutputSurface;"
                     "typedef VdpStatus VdpGetProcAddress(VdpDevice, VdpFuncId, void **);",
}
CUDA_SOURCE = ("#include <GL/gl.h>\n#include <EGL/egl.h>\n#include <EGL/eglext.h>\n#include <vdpau/vdpau.h>\n"
               "#include <cuda.h>\n#include <cudaGL.h>\n#include <cudaEGL.h>\n#include <cudaVDPAU.h>\n#include <cudaProfiler.h>\n")
CUDA_FLAGS = ["-D__CUDA_API_VERSION_INTERNAL"]
FOREIGN = {"size_t", "wchar_t", "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "max_align_t"}


def clang(source, includes, *flags):
    with tempfile.TemporaryDirectory() as room:
        for name, text in STUBS.items():
            path = os.path.join(room, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w").write(text)
        main = os.path.join(room, "main.c")
        open(main, "w").write(source)
        command = ["clang", "-I" + room] + ["-I" + d for d in includes] + list(flags) + [main]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout


def declarations(text):
    """Top-level declarations of a translation unit, in order."""
    out, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "{") - (c == "}")
        if c == ";" and depth == 0:
            out.append(text[start:i + 1].strip())
            start = i + 1
    return out


def clean(decl):
    decl = re.sub(r"__attribute__\(\((?!aligned)[^()]*(\([^()]*\))?\)\)", "", decl)
    decl = re.sub(r"(\w+(?:\[\d+\])?) _Alignas\((\d+)\)", r"\1 __attribute__((aligned(\2)))", decl)
    decl = re.sub(r"\bUINT_MAX\b", "0xffffffffU", decl)
    return re.sub(r"[ \t]+\n", "\n", re.sub(r"  +(?=\S)(?<=\S )", " ", decl))


def introduced(decl):
    """The names a declaration brings: tags as 'struct x', and typedef names."""
    names = []
    head = decl.split("{", 1)[0]
    m = re.match(r"(?:typedef\s+)?(struct|union|enum)\s+(?:__attribute__\(\(.*?\)\)\s*)?(\w+)", head)
    if m:
        names.append(m.group(1) + " " + m.group(2))
    if decl.startswith("typedef"):
        tail = decl.rsplit("}", 1)[-1]
        m = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", tail) or re.search(r"(\w+)\)?\s*\([^()]*\)\s*;$", tail) or re.search(r"(\w+)\s*(\[[^]]*\])*\s*;$", tail)
        if m:
            names.append(m.group(1))
    if "enum" in head:
        names += re.findall(r"^\s*(\w+)(?=\s*(?:=|,|$))", decl.split("{", 1)[-1], flags=re.M)
    return names


def is_type(decl):
    return decl.startswith("typedef") or re.match(r"(struct|union|enum)\b[^()]*(\{|;$)", decl)


def wanted(decls, seeds):
    """The declarations that the seed words need, transitively, in order."""
    by_name = {}
    for i, d in enumerate(decls):
        for n in introduced(d):
            by_name.setdefault(n, []).append(i)
    keep, todo = set(), list(seeds)
    seen = set()
    while todo:
        word = todo.pop()
        if word in seen or word in FOREIGN:
            continue
        seen.add(word)
        for i in by_name.get(word, []):
            if i in keep:
                continue
            keep.add(i)
            d = decls[i]
            todo += re.findall(r"\b(?:struct|union|enum) \w+", d)
            todo += re.findall(r"\b[A-Za-z_]\w*\b", d)
    return [decls[i] for i in sorted(keep)]


def seeds(table):
    text = re.sub(r"/\*.*?\*/", "", open(table).read(), flags=re.S)
    words = set()
    for row in re.findall(r"^(?:CUDA|NVML)\((.*)\)$", text, flags=re.M):
        words |= set(re.findall(r"\b(?:struct|union|enum) \w+|\b[A-Za-z_]\w*\b", row.rsplit(", (", 1)[1]))
    return words


def macros(source, includes, pattern, flags):
    """Object-like macros with an integer value, evaluated by the compiler."""
    names = []
    for line in clang(source, includes, "-dM", "-E", *flags).splitlines():
        m = re.match(r"#define (\w+) (.+)$", line)
        if m and re.fullmatch(pattern, m.group(1)):
            names.append(m.group(1))
    values = []
    for n in sorted(names):
        probe = source + "\nenum { probe_%s = (int)(%s) };\n_Static_assert(__builtin_types_compatible_p(__typeof__(+(%s)), int) || 1, \"\");" % (n, n, n)
        try:
            clang(probe, includes, "-fsyntax-only", *flags)
            values.append(n)
        except RuntimeError:
            continue
    main = source + "\n#include <stdio.h>\nint main(void){%s return 0;}" % "".join(
        'printf("%%s %%#llx\\n", "%s", (unsigned long long)(%s));' % (n, n) for n in values)
    with tempfile.TemporaryDirectory() as room:
        exe = os.path.join(room, "probe")
        clang(main, includes, "-w", "-o", exe, *flags)
        lines = subprocess.run([exe], check=True, capture_output=True, text=True).stdout.splitlines()
    return [tuple(l.split()) for l in lines]


def split(decls):
    enums = [d for d in decls if re.match(r"(typedef )?enum", d)]
    others = [d for d in decls if d not in enums]
    return enums, others


def write(path, what, decls, includes, extra=""):
    guard = "HAMI_ABI_" + os.path.basename(path).replace(".", "_").upper()
    with open(path, "w") as f:
        f.write("/* SPDX-License-Identifier: Apache-2.0\n *\n * %s\n *\n" % what)
        f.write(" * Written by tools/abi/extract.py from the facts of NVIDIA's interface; tests/abi\n"
                " * compares every size, offset and value with NVIDIA's own headers.\n */\n")
        f.write("#ifndef %s\n#define %s\n\n" % (guard, guard))
        for i in includes:
            f.write("#include %s\n" % i)
        f.write("\n" if includes else "")
        for d in decls:
            f.write(re.sub(r"(?m)^ {4,}", lambda m: " " * (len(m.group(0))), d) + "\n")
        f.write(extra + "\n#endif\n")


def main():
    cuda_dir, nvml_dir, out = sys.argv[1:4]
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    printed = clang(CUDA_SOURCE, [cuda_dir], "-Xclang", "-ast-print", "-fsyntax-only", "-w", *CUDA_FLAGS)
    decls = [clean(d) for d in declarations(printed) if is_type(d)]
    need = seeds(os.path.join(root, "contract", "cuda.def")) | set(EXTRA_CUDA)
    enums, others = split(wanted(decls, need))
    write(os.path.join(out, "cuda_enums.h"), "Constants of the CUDA driver interface.", enums, [])
    write(os.path.join(out, "cuda.h"), "Types of the CUDA driver interface.", others,
          ["<stddef.h>", "<stdint.h>", '"abi/cuda_enums.h"'])

    source = "#include <nvml.h>\n"
    printed = clang(source, [nvml_dir], "-Xclang", "-ast-print", "-fsyntax-only", "-w")
    decls = [clean(d) for d in declarations(printed) if is_type(d)]
    need = seeds(os.path.join(root, "contract", "nvml.def")) | {"nvmlReturn_t"}
    enums, others = split(wanted(decls, need))
    values = macros(source, [nvml_dir], r"nvml\w*_v\d+|NVML_FI_\w+|nvmlEventType\w+|NVML_\w*(BUFFER_SIZE|MAX|_COUNT)\w*|nvmlClocks\w+|NVML_(INIT|GPU_INSTANCE|COMPUTE_INSTANCE|DEVICE|NVLINK|VALUE|TOPOLOGY)_\w+", ["-w"])
    extra = "".join("#define %s %s\n" % v for v in values if not v[0].startswith("NVML_DOXYGEN"))
    write(os.path.join(out, "nvml_enums.h"), "Constants of the NVML interface.", enums, [], extra)
    write(os.path.join(out, "nvml.h"), "Types of the NVML interface.", others,
          ["<stddef.h>", "<stdint.h>", '"abi/nvml_enums.h"'])


# Types that are passed as void * and so appear in no row.
EXTRA_CUDA = ["CUuuid", "CUmemPool_attribute", "CUgraphMem_attribute", "CUdevice_P2PAttribute", "CUresult",
              "CUipcMem_flags", "CUmemAttach_flags", "CUctx_flags", "CUstream_flags", "CUevent_flags",
              "CUevent_record_flags", "CUevent_wait_flags", "CUarray_format", "CUmemAllocationGranularity_flags",
              "CUdriverProcAddress_flags", "CUmemAllocationHandleType", "CUmemAllocationType", "CUmemLocationType",
              "CUgraphInstantiate_flags", "CUgraphDebugDot_flags", "CUgraphDependencyType", "CUuserObject_flags",
              "CUuserObjectRetain_flags", "CUgraphicsRegisterFlags", "CUgraphicsMapResourceFlags", "CUoccupancy_flags",
              "CUstreamWaitValue_flags", "CUstreamWriteValue_flags", "CUgreenCtxCreate_flags", "CUhostNodeSync",
              "CUlaunchAttributeID", "CUarray_cubemap_face", "CUsharedconfig", "CUlimit", "CUfunc_cache",
              "CUmemcpyFlags", "CUmemcpySrcAccessOrder", "CUfunctionLoadingState", "CUcoredumpGenerationFlags",
              "CUprocessState", "CUmemRangeHandleType", "CUdevSmResourceGroup_flags", "CUdevWorkqueueConfigScope"]

if __name__ == "__main__":
    main()
