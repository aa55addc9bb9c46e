"""The CPU time of programs, from /proc: processor_time.py PID… prints it in seconds.

On a machine that is also used otherwise, CPU time measures the cost of a task better than wall time.
"""

import os
import pathlib
import sys

TICKS = os.sysconf("SC_CLK_TCK")


def seconds(roots):
    """The CPU time so far of these processes and their running descendants."""
    parents, used = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # The name of a program may contain spaces; it ends at the last parenthesis.
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        process = int(folder.name)
        parents[process] = int(fields[1])
        used[process] = (int(fields[11]) + int(fields[12])) / TICKS
    return sum(used[process] for process in used if descends(process, roots, parents))


def descends(process, roots, parents):
    while process in parents:
        if process in roots:
            return True
        process = parents[process]
    return False


if __name__ == "__main__":
    print(f"{seconds({int(process) for process in sys.argv[1:]}):.2f}")
