"""Compares the statistics of a text file with GNU `wc -lwm` and `cat`, as whole processes.

- `wc`: lines, words and characters, in the locale C.UTF-8.
- `cat`: only reads the file.
- `engine`: lines, words, characters and whether it is UTF-8, on all processors; then on one.
- `taskctl`: `taskctl run file_statistics`, with content type and SHA-256 in addition.

Runs are interleaved (A B C D, A B C D, …), the page cache is warm, and all counts must be those of `wc`.
For each file, it prints the median wall time, the speed relative to `wc`, the CPU time and the peak
memory, which cannot be measured below that of Python itself. `make bench-statistics` prepares everything.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

from whole_process import measured, warm

HERE = pathlib.Path(__file__).parent
FILES = {"ascii": "ASCII", "multibyte": "two thirds of the words in other scripts, of 2 to 4 bytes a character"}
COUNTS = ["lines", "words", "characters"]


def commands(arguments, source):
    taskctl = arguments.programs / "taskctl"
    engine = arguments.programs / "text_count"
    return {
        "wc -lwm": ["env", "LC_ALL=C.UTF-8", arguments.wc, "-lwm", source],
        "cat": ["cat", source],
        "engine": [engine, source],
        "engine, 1 thread": [engine, "--threads", "1", source],
        "taskctl": [taskctl, "run", "file_statistics", source, "--json"],
    }


def counts_of(program, printed):
    """The counts that the program printed; None if it counts nothing."""
    if program == "cat":
        return None
    if program == "wc -lwm":
        return [int(count) for count in printed.split()[:3]]
    counted = json.loads(printed)
    if counted.get("invalid", 0) or counted.get("encoding", "utf-8") != "utf-8":
        raise SystemExit(f"bench-statistics: {program} says that the file is not UTF-8: {printed}")
    return [counted[name] for name in COUNTS]


def file_of(kind, arguments):
    source = arguments.folder / f"{kind}-{arguments.mebibytes}-{arguments.seed}.txt"
    if not source.exists():
        part = source.with_name(f"part-{source.name}")
        numbers = [str(arguments.mebibytes << 20), str(arguments.seed)]
        subprocess.run([sys.executable, HERE / "text_files.py", kind, *numbers, part], check=True)
        part.rename(source)
    warm(source)
    return source


def run_once(program, command, printed, log):
    """The measurements of a run, and its counts."""
    with open(os.devnull if program == "cat" else printed, "wb") as output:
        run = measured([str(part) for part in command], log, output)
    if run is None:
        raise SystemExit(f"bench-statistics: {program} failed; see {log.name}")
    return run, counts_of(program, "" if program == "cat" else printed.read_text())


def bench(kind, arguments, log):
    source = file_of(kind, arguments)
    printed = arguments.folder / "printed"
    programs = commands(arguments, source)
    runs = {program: [] for program in programs}
    counted = {}
    for _ in range(arguments.runs):
        for program, command in programs.items():
            run, counts = run_once(program, command, printed, log)
            runs[program].append(run)
            expected = counted.setdefault("wc -lwm", counts)
            if counts not in (None, expected):
                raise SystemExit(f"bench-statistics: {program} counts {counts}, wc {expected}, in {source}")
    size = source.stat().st_size
    shown = ", ".join(f"{count:,} {name}" for name, count in zip(COUNTS, counted["wc -lwm"]))
    print(f"\n{kind}: {FILES[kind]}; {size:,} bytes, {shown}; all counts are equal")
    print(f"{'':18}{'wall s':>9}{'× wc':>8}{'GB/s':>8}{'CPU s':>9}{'peak MiB':>10}")
    wc = statistics.median(run[0] for run in runs["wc -lwm"])
    for program in programs:
        wall, cpu, _ = (statistics.median(values) for values in zip(*runs[program]))
        peak = max(run[2] for run in runs[program])
        rate = size / wall / 1e9
        print(f"{program:18}{wall:9.3f}{wc / wall:8.1f}{rate:8.2f}{cpu:9.3f}{peak:10.1f}", flush=True)
    printed.unlink()
    if not arguments.keep:
        source.unlink()


def version_of_wc(wc):
    """The version of GNU wc. Ubuntu may have another program of that name."""
    first = subprocess.run([wc, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    if not first.startswith("wc (GNU coreutils)"):
        raise SystemExit(f"bench-statistics: `{wc}` is not that of GNU; pass it as --wc, for example --wc gnuwc")
    return first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="folder of the files")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of each file")
    parser.add_argument("--runs", type=int, default=5, help="the number of runs; the median is shown")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--wc", default="wc", help="GNU wc")
    parser.add_argument("--keep", action="store_true", help="keep the files for the next run")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{version_of_wc(arguments.wc)}, {os.cpu_count()} processors; median of {arguments.runs}")
    with open(arguments.folder / "log", "w") as log:
        for kind in arguments.files:
            bench(kind, arguments, log)


if __name__ == "__main__":
    main()
