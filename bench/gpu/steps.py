# SPDX-License-Identifier: Apache-2.0
"""The steps of the suite. Each takes the Run, adds figures to run.table and raw samples to run.raw."""
import os
import statistics
import sys
import time

from arms import Failed, Tenant, call, floats, lines, series, together
from figures import OPEN, Work, burst, error_floor, jain, mean_error, median_interval, percentile, settle
from nvml import Clock, memory_of

CHUNK_US = 20
MIB, GIB = 1 << 20, 1 << 30
# Shape, chunks of 20 us in one kernel, pieces behind one launch, and how it is called in the table.
SHAPES = {"20 us": ("kernel", 1, 1), "300 us": ("kernel", 15, 1), "2 ms": ("kernel", 100, 1),
          "cooperative 300 us": ("coop", 15, 1), "KernelEx 300 us": ("ex", 15, 1),
          "graph 100 x 20 us": ("graph", 1, 100), "persistent 40 ms": ("kernel", 2000, 1)}


def flood(run, shape):
    kind, chunks, _ = SHAPES[shape]
    return [run.program, "flood", kind, str(chunks), str(run.laps)]


def gemm(run):
    return [sys.executable, os.path.join(run.here, "torch_steps.py"), "gemm"]


def solo_rate(run, shape):
    """Chunks a second of this shape alone on the card, measured once a run."""
    if shape not in run.solo:
        with Clock() as clock:
            out, = together([Tenant(gemm(run) if shape == "GEMM 8192" else flood(run, shape), run.native.slice())], run.window(1.6))
        w = Work(series(out))
        first = w.begin() + 0.4 * (w.end() - w.begin())
        run.solo[shape], run.clock[shape] = w.share(first, w.end()), clock.mhz(first, w.end())
        run.piece_s[shape] = (1 / run.solo[shape]) if shape == "GEMM 8192" else CHUNK_US * 1e-6 * SHAPES[shape][1] * SHAPES[shape][2]
    return run.solo[shape]


def inventory(run):
    seen = call([run.program, "inventory"], run.native.slice())
    run.card = {k: " ".join(v) for k, v in seen.items()}
    for arm in run.arms:
        arm.uuid = run.card["uuid"]
    run.laps = int(float(call([run.program, "calibrate"], run.native.slice())["laps"][0]))
    run.table.note(f"laps of one 20 us chunk: {run.laps or 'none, nothing counts on the simulated driver'}")
    for arm in run.arms[1:]:  # is the arm in effect at all: the limit must be what the program sees
        total = call([run.program, "inventory"], arm.slice(mem=GIB))["total_bytes"][0]
        run.table.note(f"arm {arm.name}: " + ("active" if int(total) == GIB else f"INACTIVE, sees {total} bytes under a limit of {GIB}"))
    for shape in ("20 us", "2 ms"):
        run.table.note(f"alone, {shape}: {solo_rate(run, shape) * CHUNK_US * 1e-4:.2f} % of nominal chunks")


def added(run, command, prefix, rows, rounds=2):
    """Paired differences of every arm, interleaved; {label: {arm: (added, low, high, native)}}."""
    samples = {}
    for _ in range(rounds):
        for arm in run.arms:
            seen = call(command, arm.slice(mem=int(run.card["total_bytes"])))  # counted, never refused
            if arm.library and seen["preloaded"] != ["1"]:
                raise Failed(f"{arm.name}: wrapped and genuine entries of the driver are the same; nothing can be compared")
            run.keep(f"{prefix} {arm.name}", seen)
            for label in rows:
                pair = samples.setdefault((label, arm.name), ([], []))
                pair[0].extend(floats(seen["added_" + label]))
                pair[1].extend(floats(seen["native_" + label]))
    return {label: {arm.name: (*median_interval(samples[label, arm.name][0]), statistics.median(samples[label, arm.name][1]))
                    for arm in run.arms} for label in rows}


def judge(figure, most_ns, most_part=None):
    """Reached, missed, or OPEN: the noise of this run cannot tell."""
    a, low, high, own = figure
    bound = most_ns if most_part is None else min(most_ns, most_part * own)
    return True if a <= bound else OPEN if low <= bound else False


def say_added(figures):
    return {arm: f"{a:+.0f} ns [{low:+.0f}, {high:+.0f}], {100 * a / own:+.2f} % of {own:.0f}"
            for arm, (a, low, high, own) in figures.items()}


def launches(run):
    names = {"plain": "launch", "ex": "KernelEx", "coop": "cooperative launch", "sync": "launch and synchronise", "graph20": "graph of 20"}
    found = added(run, [run.program, "launch", str(run.count(50)), str(run.count(1000))], "launch", names)
    for label, by_arm in found.items():
        bound = label in ("plain", "ex")
        run.table.add("G1" if bound else "", f"{names[label]}, added", "<= 10 ns, <= 0.5 %" if bound else "", say_added(by_arm),
                      judge(by_arm["O"], 10, 0.005) if bound else None)


def allocations(run):
    rows = {"plain_512B": True, "plain_64KiB": True, "plain_2MiB": True, "plain_256MiB": False, "async_2MiB": True,
            "vmm_2MiB": True, "managed_2MiB": False, "plain_512B_1000live": True, "plain_512B_10000live": True}
    found = added(run, [run.program, "alloc", str(run.count(21)), str(run.count(200))], "alloc", rows)
    for label, by_arm in found.items():
        run.table.add("G2" if rows[label] else "", f"alloc+free {label.replace('_', ', ')}, added", "<= 100 ns" if rows[label] else "",
                      say_added(by_arm), judge(by_arm["O"], 100) if rows[label] else None)


def caps(run):
    big = min(20 * GIB, int(run.card["total_bytes"]) // 2)
    over, ways, enforced, refused, race = {}, {}, {}, {}, {}
    for arm in run.limited:
        try:
            seen = {f"1 GiB {k}": v for k, v in call([run.program, "cap", str(GIB)], arm.slice(mem=GIB)).items()}
            seen |= {f"{big // GIB} GiB {k}": v for k, v in call([run.program, "cap", str(big), "plain"], arm.slice(mem=big)).items()}
            rounds, served, bad, failed = map(int, call([run.program, "race", str(run.count(200))], arm.slice(mem=GIB * 8))["race"])
        except Failed as e:
            if arm.name == "O":
                raise
            run.table.note(f"{arm.name}: memory caps not measured: {e}")
            continue
        run.keep(f"cap {arm.name}", {k: v for k, v in seen.items() if "refusal" not in k})
        caps_seen = {k: int(v[0]) - (GIB if k.startswith("1 GiB") else big) for k, v in seen.items() if " cap_" in k}
        over[arm.name], ways[arm.name] = max(max(caps_seen.values()), 0), len(caps_seen)
        enforced[arm.name] = sum(excess <= 0 for excess in caps_seen.values())
        took = floats(seen.get("1 GiB refusal_ns", []))
        refused[arm.name] = f"{statistics.median(took):.0f} ns, p99 {percentile(took, 99):.0f}" if took else "never refused"
        race[arm.name] = f"{bad} of {rounds}" + ("" if served == rounds else f" ({rounds - served} served nobody)")
        if arm.name == "O":
            clean = bad == 0 and served == rounds and failed == 0
    run.table.add("G3", "bytes over the cap, worst way", "0 B", {a: f"{v} B" for a, v in over.items()}, over["O"] == 0)
    run.table.add("G3", "ways enforced", "all", {a: f"{v} of {ways[a]}" for a, v in enforced.items()}, enforced["O"] == ways["O"])
    run.table.add("G3", "rounds over-committed by 4 processes", "0", race, clean)
    run.table.add("", "refusal", "", refused, None)
    hidden(run)


def hidden(run):
    """Memory of a bare process: what its slice is charged, and what the driver says of the process.

    The card itself has some MiB less than both: those the driver books to no process."""
    def free(arm, mem=0):
        return int(call([run.program, "inventory"], arm.slice(mem=mem))["free_bytes"][0])

    shown, apart = {}, {}
    for arm in run.limited:
        charged, before = GIB - free(arm, GIB), free(run.native)
        holder = Tenant([run.program, "hold", "0"], arm.slice(mem=GIB)).ready()
        gone, told = before - free(run.native), memory_of(holder.process.pid)
        holder.finish()
        apart[arm.name] = abs(charged - told) if told else None
        shown[arm.name] = (f"charged {charged / MIB:.1f}, the driver says {told / MIB:.0f}, " if told else f"charged {charged / MIB:.1f}, ") + \
            f"the card has {gone / MIB:.1f} MiB less"
    run.table.add("", "memory of a context", "charged what the driver says", shown, apart["O"] <= 2 * MIB if apart["O"] is not None else None)


def starts(run):
    call([run.program, "start", "1"], run.native.slice())  # the first context on an idle card costs extra
    for n in (1, 8, 32):
        worst, shown = {}, {}
        for arm in run.arms:
            seen = call([run.program, "start", str(n)], arm.slice(mem=int(run.card["total_bytes"])))
            if seen["failed"][0] != "0":
                raise Failed(f"{arm.name}: {seen['failed'][0]} of {n} processes did not start")
            took = floats(seen["took_ms"])
            worst[arm.name], shown[arm.name] = max(took), f"max {max(took):.1f}, p50 {statistics.median(took):.1f} ms"
        run.table.add("G4" if n == 32 else "", f"start of {n} at once", "native max + 1 ms" if n == 32 else "", shown,
                      worst["O"] <= worst["N"] + 1 if n == 32 else None)


def quota_case(run, arm, shape, quota, seconds):
    rate = solo_rate(run, shape)
    command = gemm(run) if shape == "GEMM 8192" else flood(run, shape)
    with Clock() as clock:
        out, = together([Tenant(command, arm.slice(cores=int(quota * 100)))], run.window(seconds))
    run.keep(f"quota {arm.name} {shape} {quota}", out)
    w = Work(series(out), rate)
    first = w.begin() + 0.25 * (w.end() - w.begin())
    mhz, alone = clock.mhz(first, w.end()), run.clock[shape]
    d = run.piece_s[shape]
    return {"bias": 100 * (w.share(first, w.end()) - quota), "mae": 100 * (mean_error(w, quota, first, w.end(), 0.1) or 0),
            "mae1": 100 * (mean_error(w, quota, first, w.end(), min(1.0, run.window(1.0))) or 0),
            "floor": 100 * error_floor(d, quota, 0.1), "settle": settle(w, quota, w.begin(), w.end(), run.window(1.0)),
            "burst": 1e3 * burst(w, quota, first, w.end()), "mhz": mhz, "alone": alone, "clocked": shape == "GEMM 8192" and mhz and alone and abs(mhz / alone - 1) > 0.02}


def say_quota(f):
    settled = "never" if f["settle"] is None else f"{f['settle']:.2f} s"
    clock = f", at {f['mhz']:.0f} MHz, alone {f['alone']:.0f}" if f["clocked"] else ""
    return (f"bias {f['bias']:+.2f}, MAE {f['mae']:.2f} (floor {f['floor']:.2f}), 1 s {f['mae1']:.2f} pp, "
            f"burst {f['burst']:.1f} ms, settled {settled}{clock}")


def quotas(run):
    cases = [(s, q) for s in ("20 us", "300 us", "2 ms", "graph 100 x 20 us", "persistent 40 ms") for q in run.quotas]
    cases += [(s, 0.50) for s in ("cooperative 300 us", "KernelEx 300 us")]
    if run.torch:
        cases += [("GEMM 8192", q) for q in run.quotas if q > 0.1]
    else:
        run.table.note(f"GEMM in the quota step skipped: {run.no_torch}")
    other = {(s, q) for s in ("20 us", "2 ms", "graph 100 x 20 us") for q in (0.25, 0.50)}
    before = solo_rate(run, "300 us")
    for shape, q in cases:
        shown = {}
        for arm in run.limited:
            if arm.name == "O" or (shape, q) in other:
                f = quota_case(run, arm, shape, q, 4 if arm.name == "O" else 5)
                shown[arm.name] = say_quota(f)
                if arm.name == "O":
                    ours = f
        short = shape in ("20 us", "300 us", "2 ms", "KernelEx 300 us")
        # Alone such a card is at its power cap; at part load its clock rises, and work is no measure of time.
        good = OPEN if ours["clocked"] else ours["mae"] <= 2 and abs(ours["bias"]) <= 1 and ours["mae1"] <= 0.5 if short else ours["mae"] <= ours["floor"] + 1
        run.table.add("G5" if short else "G6", f"{shape}, q {q:.0%}",
                      "MAE <= 2, bias <= 1, 1 s <= 0.5 pp" if short else "MAE <= floor + 1 pp", shown, good)
        settled = ours["settle"]
        run.table.add("G7", f"{shape}, q {q:.0%}: settled", "<= 0.5 s",
                      {"O": "never" if settled is None else f"{settled:.2f} s"}, settled is not None and settled <= 0.5)
    del run.solo["300 us"]
    drift = 100 * (solo_rate(run, "300 us") / before - 1)
    run.table.note(f"rate alone, after against before the quota step: {drift:+.2f} %" + (": over 2 %, quota figures void" if abs(drift) > 2 else ""))


def crowd(run, arm, tenants, seconds):
    """Shares of several tenants of one card: [(percent, shape)] -> ([Work], start, stop)."""
    board = run.board()
    rates = [solo_rate(run, s) for _, s in tenants]
    outs = together([Tenant(flood(run, s), arm.slice(cores=p, board=board)) for p, s in tenants], run.window(seconds))
    works = [Work(series(o), r) for o, r in zip(outs, rates)]
    for i, o in enumerate(outs):
        run.keep(f"crowd {arm.name} {tenants} {i}", o)
    start, stop = max(w.begin() for w in works), min(w.end() for w in works)
    return works, start + 0.25 * (stop - start), stop


def crowds(run):
    cases = [("30/70", [(30, "300 us"), (70, "300 us")]), ("10/90", [(10, "300 us"), (90, "300 us")]),
             ("30/70 of 20 us and 2 ms", [(30, "20 us"), (70, "2 ms")]), ("four of 25", [(25, "300 us")] * 4)]
    for name, tenants in cases:
        ratio, total, fair = {}, {}, {}
        for arm in run.arms if name == "30/70" else run.limited:
            works, start, stop = crowd(run, arm, tenants, 8)
            shares = [w.share(start, stop) for w in works]
            weighted = [s / p for s, (p, _) in zip(shares, tenants)]
            ratio[arm.name] = 100 * (weighted[0] / weighted[-1] - 1) if weighted[-1] else float("inf")
            total[arm.name] = sum(shares)
            width = min(1.0, run.window(1.0))
            each = zip(*(w.windows(start, stop, width) for w in works))
            fair[arm.name] = percentile([jain([s / p for s, (p, _) in zip(u, tenants)]) for u in each] or [0], 5)
        if len(tenants) == 2:
            run.table.add("G8", f"{name}: ratio error", "<= 3 %", {a: f"{v:+.2f} %" for a, v in ratio.items()}, abs(ratio["O"]) <= 3)
            run.table.add("G8", f"{name}: work of both", ">= 0.97", {a: f"{v:.3f}" for a, v in total.items()}, total["O"] >= 0.97)
        else:
            run.table.add("G9", f"{name}: Jain, 5th percentile of 1 s windows", ">= 0.99", {a: f"{v:.4f}" for a, v in fair.items()}, fair["O"] >= 0.99)


def slower(latencies, than):
    return [100 * (percentile(latencies, p) / percentile(than, p) - 1) for p in (50, 95, 99)]


def victims(run):
    """A tenant of 70 % whose requests ask for 60 % of the card, beside one of 30 % that takes what it can get.

    Within its slice the load is 86 %, so that its own queue is longer than without a limit, whoever is beside it."""
    n = run.count(900)

    def victim(gap_us, requests=n):
        return [run.program, "victim", str(run.laps), f"{gap_us:.0f}", str(requests)]

    def latencies(arm, gap, aggressor=None):
        board = run.board()
        other = Tenant(aggressor, arm.slice(cores=30, board=board)).ready() if aggressor else None
        try:
            if other:
                other.say()
            v = Tenant(victim(gap), arm.slice(cores=70, board=board)).ready()
            v.say()
            return floats(lines(v.finish())["latency_us"])
        finally:
            if other:
                other.kill()

    served = Tenant(victim(0, run.count(200)), run.native.slice()).ready()
    served.say()
    gap = statistics.median(floats(lines(served.finish())["latency_us"])) / 0.6
    alone = {arm.name: latencies(arm, gap) for arm in run.arms}
    run.table.add("", "victim alone, p50 and p99", "", {a: f"{percentile(v, 50):.0f}, {percentile(v, 99):.0f} us" for a, v in alone.items()}, None)
    for name, kind, chunks, bound in (("0.3 ms kernels", "kernel", 15, True), ("3 ms kernels", "kernel", 150, False),
                                      ("30 ms kernels", "kernel", 1500, False), ("20 us flood", "kernel", 1, True), ("copies in memory", "copy", 25, False)):
        shown, ours = {}, None
        for arm in run.arms:
            v = latencies(arm, gap, [run.program, "flood", kind, str(chunks), str(run.laps)])
            shown[arm.name] = "p50 {:+.0f}, p95 {:+.0f}, p99 {:+.0f} %".format(*slower(v, alone[arm.name]))
            if arm.name != "N":
                shown[arm.name] += "; of native alone {:+.0f}, {:+.0f}, {:+.0f} %".format(*slower(v, alone["N"]))
            if len(v) < n:
                shown[arm.name] += f" ({len(v)} of {n} served)"
            ours = slower(v, alone[arm.name])[2] if arm.name == "O" else ours
        run.table.add("G10" if bound else "", f"victim beside {name}, of the same slice alone", "p99 <= +10 %" if bound else "", shown,
                      ours <= 10 if bound else None)


def changes(run):
    ours = run.arm("O")
    rate, place, board = solo_rate(run, "300 us"), ours.slice(cores=50, board=run.board()), None
    tenant = Tenant(flood(run, "300 us"), place).ready()
    tenant.say()
    moments = []
    for cores in (50, 20, 80):
        if cores != 50:
            place.resize(cores)
        moments.append((cores, time.monotonic()))
        time.sleep(run.window(2))
    tenant.say("stop")
    w = Work(series(tenant.finish()), rate)
    for (cores, at), (_, end) in zip(moments[1:], moments[2:] + [(0, w.end())]):
        after = settle(w, cores / 100, at, end, 0.1, 0.04, 0.1)
        run.table.add("", f"live change to {cores} %: in force after", "<= 200 ms",
                      {"O": "never" if after is None else f"{1e3 * after:.0f} ms"}, after is not None and after <= 0.2)
    board = run.board()
    stays, leaves = [Tenant(flood(run, "300 us"), ours.slice(cores=c, board=board)).ready() for c in (50, 50)]
    stays.say(), leaves.say()
    time.sleep(run.window(1.5))
    at = time.monotonic()
    leaves.kill()
    time.sleep(run.window(1.5))
    stays.say("stop")
    w = Work(series(stays.finish()), rate)
    after = settle(w, 0.5, at, w.end(), 0.1, 0.04, 0.1)
    run.table.add("", "neighbour killed: own half holds after", "", {"O": "never" if after is None else f"{1e3 * after:.0f} ms"}, None)
    reclaim(run)


def reclaim(run):
    """A process with most of the memory is killed in a kernel; when can the next have it."""
    total = int(run.card["free_bytes"])
    took = {}
    for arm in (run.native, run.arm("O")):
        samples = []
        for _ in range(run.count(5)):
            place = arm.slice(mem=int(total * 0.8))
            holder = Tenant([run.program, "hold", str(int(total * 0.6))], place).ready()
            next_one = Tenant([run.program, "reach", str(int(total * 0.6))], place).ready()
            holder.say()  # a long kernel starts
            next_one.say()
            holder.kill()
            samples.append(float(lines(next_one.finish())["reach_ms"][0]))
        took[arm.name] = statistics.median(samples)
    run.table.add("G13", "killed in a kernel: memory to be had after", "native + 10 ms", {a: f"{v:.2f} ms" for a, v in took.items()},
                  took["O"] <= took["N"] + 10)


TORCH_ROUNDS = 4  # each arm once in each, one after the other: a host's speed differs from process to process


def torch_rounds(run):
    """{step: {arm: median ms of each round}}, no core limit."""
    command = [sys.executable, os.path.join(run.here, "torch_steps.py"), "steps", "0.8"]
    medians = {}
    for i in range(TORCH_ROUNDS):
        for arm in run.arms[::-1] if i % 2 else run.arms:
            for name, words in call(command, arm.slice(), 180).items():
                medians.setdefault(name, {}).setdefault(arm.name, []).append(statistics.median(floats(words)))
    run.keep("PyTorch", medians)
    return medians


def torch_steps(run):
    if not run.torch:
        run.table.skip("PyTorch (G11, G12)", run.no_torch)
        return
    free, half = torch_rounds(run), {}
    command = [sys.executable, os.path.join(run.here, "torch_steps.py"), "steps", "1.5"]
    for arm in run.limited:
        for name, words in call(command, arm.slice(cores=50), 180).items():
            half.setdefault(name, {})[arm.name] = floats(words)
    for name, by_arm in free.items():
        base = statistics.median(by_arm["N"])
        over = {a: median_interval([100 * (m / n - 1) for m, n in zip(v, by_arm["N"])]) for a, v in by_arm.items() if a != "N"}
        shown = {a: f"{mid:+.2f} % [{low:+.2f}, {high:+.2f}]" for a, (mid, low, high) in over.items()}
        run.table.add("G11", f"PyTorch {name}, no core limit", "<= 0.3 %", {"N": f"{base:.3f} ms"} | shown,
                      judge((*over["O"], base), 0.3))
        if name == "churn":
            continue  # allocations are not compute: no quota applies to them
        scaled = {a: statistics.fmean(v) * 0.5 / base for a, v in half[name].items()}
        run.table.add("G12", f"PyTorch {name} at 50 %: step time x q / alone", "1.00 +- 0.02",
                      {a: f"{v:.3f}" for a, v in scaled.items()}, abs(scaled["O"] - 1) <= 0.02)


def cpu_ns(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total


def background(run):
    shown, seconds = {}, run.window(5)
    for arm in run.arms:
        idle = Tenant([run.program, "hold", "0"], arm.slice(mem=GIB, cores=50)).ready()
        time.sleep(run.window(3))  # the library looks on for two seconds after the last launch
        before, at = cpu_ns(idle.process.pid), time.monotonic()
        time.sleep(seconds)
        shown[arm.name] = 100 * (cpu_ns(idle.process.pid) - before) / 1e9 / (time.monotonic() - at)
        idle.finish()
    run.table.add("", "CPU of an idle process", "native + 0.005 %", {a: f"{v:.4f} %" for a, v in shown.items()},
                  shown["O"] <= shown["N"] + 0.005)


# (title, expected seconds on a card, and with arm H beside, function), in the order they run.
STEPS = [("inventory", 12, 14, inventory), ("launches", 15, 22, launches), ("allocations", 15, 22, allocations),
         ("memory caps", 10, 15, caps), ("start-up", 25, 40, starts), ("quotas", 140, 175, quotas),
         ("several tenants", 45, 80, crowds), ("latency beside a neighbour", 40, 55, victims),
         ("changes", 20, 20, changes), ("PyTorch", 140, 215, torch_steps), ("background", 18, 26, background)]
