# SPDX-License-Identifier: Apache-2.0
"""From samples to figures; pure functions, no I/O. Shares are parts of 1, times seconds.

A series is a list of (monotonic seconds, chunks finished so far), as `gpu flood` prints it.
"""
import bisect
import math
import random
import statistics

OPEN = "open"  # a verdict: the target lies within the interval of the measured figure


def percentile(values, p):
    """Linear between ranks; p in 0..100."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * p / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median_interval(values, rounds=1000, seed=1):
    """Median and its 95 % bootstrap interval; samples are rounds, not calls."""
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(rounds))
    return statistics.median(values), medians[int(0.025 * rounds)], medians[int(0.975 * rounds)]


class Work:
    """Finished chunks over time, divided by the rate of the same shape alone on the card."""

    def __init__(self, series, solo_rate=1.0):
        self.times = [t for t, _ in series]
        self.chunks = [c for _, c in series]
        self.solo = solo_rate

    def begin(self):
        return self.times[0]

    def end(self):
        return self.times[-1]

    def at(self, t):
        i = bisect.bisect_left(self.times, t)
        if i == 0:
            return self.chunks[0]
        if i == len(self.times):
            return self.chunks[-1]
        t0, t1 = self.times[i - 1], self.times[i]
        part = (t - t0) / (t1 - t0) if t1 > t0 else 1
        return self.chunks[i - 1] + part * (self.chunks[i] - self.chunks[i - 1])

    def share(self, start, stop):
        return (self.at(stop) - self.at(start)) / (self.solo * (stop - start))

    def windows(self, start, stop, width):
        n = int((stop - start) / width + 1e-6)
        return [self.share(start + i * width, start + (i + 1) * width) for i in range(n)]


def mean_error(work, quota, start, stop, width):
    """MAE over non-overlapping windows; None where not one fits."""
    shares = work.windows(start, stop, width)
    return statistics.fmean(abs(u - quota) for u in shares) if shares else None


def error_floor(piece_s, quota, width):
    """What a perfect gate cannot avoid with pieces of this length: d(1-q)/(2W)."""
    return min(piece_s * (1 - quota) / (2 * width), 2 * quota * (1 - quota))


def settle(work, quota, start, stop, width, points=0.02, part=0.05):
    """Seconds from start until every later sliding window lies within the band; None: never."""
    band, settled, step = max(points, part * quota), start, width / 10
    t = start
    while t + width <= stop:
        if abs(work.share(t, t + width) - quota) > band:
            settled = t + step
        t += step
    return None if settled + width > stop else settled - start


def burst(work, quota, start, stop, step=0.005):
    """Largest excess over the quota between any two moments, in seconds of whole-card time."""
    least = most = total = 0.0
    t = start
    while t + step <= stop:
        total += (work.share(t, t + step) - quota) * step
        least = min(least, total)
        most = max(most, total - least)
        t += step
    return most


def jain(shares):
    squares = len(shares) * sum(x * x for x in shares)
    return sum(shares) ** 2 / squares if squares else 0.0


def thin(value):
    """A tenant's samples as steps of microseconds and chunks from the first; other values as they are."""
    rows = [line.split()[1:3] for line in value.splitlines() if line.startswith("sample ")] if isinstance(value, str) else []
    if not rows:
        return value
    us, chunks = ([int(float(row[i]) / scale) for row in rows] for i, scale in ((0, 1000), (1, 1)))
    steps = [[b - a for a, b in zip(of, of[1:])] for of in (us, chunks)]
    return {"first_us": us[0], "first_chunk": chunks[0], "us": steps[0], "chunks": steps[1]}
