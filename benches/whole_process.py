"""Measures a program as a whole process.

The peak memory of a new process includes that of its parent at the fork, so the process that measures must
stay small. This module imports little.
"""

import os
import subprocess
import time


def measured(command, log, output=None):
    """Wall and CPU seconds, and peak memory in MiB; None if the program failed.

    The program's output goes to `output`, or to the log if that is None.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output or log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        return None
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def warm(path):
    """Reads a file, so that it is in the page cache."""
    with open(path, "rb", buffering=0) as file:
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass
