"""Compares the upload of a large file to a standalone server with `dd conv=fsync` of the same bytes.

- `dd`: copies the file on the same disk, and flushes the copy (`conv=fsync`).
- `curl`: `curl -F file=@FILE` to `/v1/file_statistics`, until the answer 202, which means that the file is
  on the disk and its task in the database. The server hashes the file while it receives it.
- `taskctl`: `taskctl upload FILE`, until the same answer.

Runs are interleaved (A B C, A B C, …) and the file is in the page cache. Each upload has its own server,
with an empty folder that is removed afterwards. The SHA-256 and the size that the task determines must be
those of the file; waiting for the task is not timed. Prints the median wall time and its ratio to `dd`, the
CPU time of client and server until the answer, and the peak memory of both. `make bench-upload` prepares
everything.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from systems import Failed, Standalone
from whole_process import measured, warm

HERE = pathlib.Path(__file__).parent
MEGABYTE = 1_000_000


def make(path, size, seed):
    """Makes a text file with a fixed seed, and returns its SHA-256. It runs in other processes, so that
    this process stays small: see `whole_process`."""
    command = [sys.executable, HERE / "text_files.py", "ascii", str(size), str(seed), path]
    subprocess.run(command, check=True)
    summed = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
    return summed.stdout.split()[0]


def copy(source, arguments, log):
    """Copies with dd: wall and CPU seconds, peak memory in MiB, and zeros for the server."""
    target = arguments.folder / "copied"
    try:
        run = measured(["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync"], log)
    finally:
        target.unlink(missing_ok=True)
    if run is None:
        raise Failed(f"dd failed; see {log.name}")
    return *run, 0, 0


def upload(client, source, digest, arguments, log):
    """Like `copy`, with the CPU seconds and the peak memory of the server."""
    with Standalone(arguments.folder, arguments.programs) as system:
        answer = arguments.folder / "answer.json"
        command = command_of(client, system.server, source, arguments)
        before = system.processor_seconds()
        with open(answer, "wb") as output:
            run = measured([str(part) for part in command], log, output)
        used = system.processor_seconds() - before
        peak = system.peak_of_memory()
        if run is None:
            raise Failed(f"{client} failed; see {log.name} and {answer}")
        task = json.loads(answer.read_text())["task_id"]
        check(task, system.server, source, digest, arguments)
        answer.unlink()
    return *run, used, peak


def command_of(client, server, source, arguments):
    if client == "curl":
        return ["curl", "-fsS", "-F", f"file=@{source}", f"{server}/v1/file_statistics"]
    taskctl = arguments.programs / "taskctl"
    return [taskctl, "--json", "--server", server, "upload", "--kind", "file_statistics", source]


def check(task, server, source, digest, arguments):
    """Checks that the server received the same bytes."""
    command = [arguments.programs / "taskctl", "--json", "--server", server, "watch", task]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"the task of the upload failed: {done.stdout or done.stderr}")
    found = json.loads(done.stdout)["result"]
    if (found["sha256"], found["size"]) != (digest, source.stat().st_size):
        raise Failed(f"the server received other bytes than were sent: {found}")


def show(runs, size):
    print(f"{'':8}{'wall s':>9}{'of dd':>8}{'MB/s':>8}{'CPU s':>9}{'server':>8}{'peak MiB':>10}{'server':>8}")
    dd = statistics.median(run[0] for run in runs["dd"])
    for program, of_program in runs.items():
        wall, cpu, _, server_cpu, _ = (statistics.median(values) for values in zip(*of_program))
        peak, server_peak = (max(run[place] for run in of_program) for place in (2, 4))
        server = f"{server_cpu:8.2f}{peak:10.0f}{server_peak:8.0f}" if server_peak else f"{'':8}{peak:10.0f}"
        print(f"{program:8}{wall:9.2f}{dd / wall:8.2f}{size / wall / 1e6:8.0f}{cpu:9.2f}{server}")


def bench(arguments, log):
    source = arguments.folder / "sent.txt"
    digest = make(source, arguments.megabytes * MEGABYTE, arguments.seed)
    warm(source)
    runs = {"dd": [], "curl": [], "taskctl": []}
    for _ in range(arguments.runs):
        for program, of_program in runs.items():
            # Otherwise this run would wait for the writes of the previous one.
            os.sync()
            if program == "dd":
                of_program.append(copy(source, arguments, log))
            else:
                of_program.append(upload(program, source, digest, arguments, log))
    size = source.stat().st_size
    print(f"\n{size:,} bytes; the server reports the correct SHA-256 and size")
    show(runs, size)


def version_of(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="folder on the disk to measure")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the file")
    parser.add_argument("--runs", type=int, default=5, help="the number of runs; the median is shown")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=arguments.folder.resolve()))
    curl = " ".join(version_of("curl").split()[:2])
    print(f"{version_of('dd')}, {curl}, {os.cpu_count()} processors; median of {arguments.runs}", flush=True)
    try:
        with open(arguments.folder / "log", "w") as log:
            bench(arguments, log)
    except Failed as failed:
        sys.exit(f"bench-upload: {failed}; the logs are in {arguments.folder}")
    finally:
        (arguments.folder / "sent.txt").unlink(missing_ok=True)
    shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
