# SPDX-License-Identifier: Apache-2.0
"""What the management library says of the card while a step runs, read beside it and changing nothing."""
import ctypes
import statistics
import threading
import time

SM_CLOCK = 1
EVERY_S = 0.02


class ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses_v3."""
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint), ("compute_instance", ctypes.c_uint)]


def card_0():
    """The library and its handle of card 0; None without a driver."""
    try:
        nvml, handle = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_void_p()
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0:
            return nvml, handle
    except (OSError, AttributeError):
        pass
    return None


def memory_of(pid):
    """Bytes that the driver books to this process; None where it does not say."""
    seen = card_0()
    if not seen:
        return None
    infos, count = (ProcessInfo * 256)(), ctypes.c_uint(256)
    if seen[0].nvmlDeviceGetComputeRunningProcesses_v3(seen[1], ctypes.byref(count), infos) != 0:
        return None
    return next((i.used for i in infos[:count.value] if i.pid == pid and i.used != 2**64 - 1), None)


class Clock:
    """Reads the clock of the multiprocessors while its block runs."""

    def __enter__(self):
        self.readings, self.ended, self.seen = [], threading.Event(), card_0()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        if self.seen:
            self.thread.start()
        return self

    def watch(self):
        mhz = ctypes.c_uint()
        while not self.ended.wait(EVERY_S):
            if self.seen[0].nvmlDeviceGetClockInfo(self.seen[1], SM_CLOCK, ctypes.byref(mhz)) == 0:
                self.readings.append((time.monotonic(), mhz.value))

    def __exit__(self, *_):
        self.ended.set()
        if self.seen:
            self.thread.join()

    def mhz(self, begin, end):
        """Its mean between two moments of the monotonic clock; 0 = not known."""
        return statistics.fmean([m for t, m in self.readings if begin <= t <= end] or [0])
