"""Compares `taskctl run csv_aggregation` with DuckDB, Polars and chdb, as whole processes.

Runs are interleaved (A B C D, A B C D, …), the page cache is warm, and every output is compared with
ours. For each shape, it prints the median wall time, its ratio to ours, the CPU time and the peak
memory. `make bench-csv` prepares the Python environment.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

from csv_shapes import SHAPES
from whole_process import measured, warm

HERE = pathlib.Path(__file__).parent
PEERS = ["duckdb", "polars", "chdb"]


def command_of(program, shape, source, output, taskctl):
    if program != "ours":
        job = {
            "input": str(source),
            "columns": shape.columns,
            "output": str(output),
            "group_by": shape.group_by,
            "sums": shape.sums,
            "limit": shape.limit,
        }
        return [sys.executable, str(HERE / "csv_peer.py"), program, json.dumps(job)]
    command = [str(taskctl), "run", "csv_aggregation", str(source), "--output", str(output)]
    for name, columns in (("group_by", shape.group_by), ("sum", shape.sums)):
        command += [part for column in columns for part in ("--param", f"{name}={column}")]
    if shape.limit:
        command += ["--param", f"memory_limit={shape.limit}MiB"]
    return command


def is_equal(output, ours):
    command = [sys.executable, str(HERE / "csv_files.py"), "equal", str(output), str(ours)]
    return subprocess.run(command).returncode == 0


def bench(shape, arguments, log):
    source = arguments.folder / f"{shape.file}-{arguments.rows}-{arguments.seed}.{shape.ending}"
    if not source.exists():
        part = source.with_name(f"part-{source.name}")
        numbers = [str(arguments.rows), str(arguments.seed)]
        command = [sys.executable, str(HERE / "csv_files.py"), shape.file, *numbers, str(part)]
        subprocess.run(command, check=True)
        part.rename(source)
    warm(source)
    programs = ["ours", *PEERS]
    outputs = {program: arguments.folder / f"{program}.out.csv" for program in programs}
    runs = {program: [] for program in programs}
    for _ in range(arguments.runs):
        for program in list(runs):
            command = command_of(program, shape, source, outputs[program], arguments.taskctl)
            # Some file systems flush a file to disk before another one replaces it.
            outputs[program].unlink(missing_ok=True)
            run = measured(command, log)
            if run is None:
                runs.pop(program)
            else:
                runs[program].append(run)
    if "ours" not in runs:
        raise SystemExit(f"taskctl failed on shape {shape.name}; see {log.name}")
    print(f"\n{shape.name}: {shape.what}, {arguments.rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB")
    print(f"{'':8}{'wall s':>9}{'ratio':>8}{'CPU s':>9}{'peak MiB':>10}  output")
    ours = statistics.median(run[0] for run in runs["ours"])
    for program in programs:
        if program not in runs:
            print(f"{program:8}{'failed':>9}")
            continue
        wall, cpu, _ = (statistics.median(values) for values in zip(*runs[program]))
        peak = max(run[2] for run in runs[program])
        equal = "" if program == "ours" else "equal" if is_equal(outputs[program], outputs["ours"]) else "DIFFERS"
        print(f"{program:8}{wall:9.2f}{wall / ours:8.1f}{cpu:9.2f}{peak:10.0f}  {equal}", flush=True)
    for output in outputs.values():
        output.unlink(missing_ok=True)
    if not arguments.keep:
        source.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--taskctl", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shapes", default=",".join(shape.name for shape in SHAPES))
    parser.add_argument("--keep", action="store_true", help="keep the files for the next run")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    versions = subprocess.run([sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True).stdout
    peers = [line for line in versions.splitlines() if line.split("==")[0] in PEERS]
    print(f"{platform.machine()}, {os.cpu_count()} cores, {', '.join(peers)}; median of {arguments.runs}")
    wanted = arguments.shapes.split(",")
    with open(arguments.folder / "log", "w") as log:
        for shape in SHAPES:
            if shape.name in wanted:
                bench(shape, arguments, log)


if __name__ == "__main__":
    main()
