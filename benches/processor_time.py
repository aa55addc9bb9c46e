"""The processor time of programs, as Linux tells it in /proc: processor_time.py PID… prints it in seconds.

On a machine that does other things too, it says more about the cost of a task than the clock does.
"""

import os
import pathlib
import sys

TICKS = os.sysconf("SC_CLK_TCK")


def seconds(roots):
    """What these processes and all that come from them have used so far, of those that run."""
    parents, used = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # The name of a program may hold blanks; it ends at the last bracket.
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
