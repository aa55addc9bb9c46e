"""Compares the upload of a large file to a standalone server with `dd conv=fsync` of the same bytes.

- `dd`: copies the file on the same disk, and flushes the copy (`conv=fsync`).
- `curl`: `curl -F file=@FILE` to `/v1/file_statistics`, until the answer 202, which means that the file is
  on the disk and its task in the database. The server hashes the file while it receives it.
- `curl tus`: the same by tus 1.0.0. One request creates the upload, and one sends the file (`curl -T`).
- `tus 8 MiB`: the same in requests of 8 MiB, each of which is on the disk when it is answered. The client is
  `tus_upload.py`.
- `taskctl`: `taskctl upload FILE`, until the same answer.

Runs are interleaved (A B C, A B C, …) and the file is in the page cache. Each upload has its own server,
with an empty folder that is removed afterwards. The SHA-256 and the size that the task determines must be
those of the file; waiting for the task is not timed. Prints the median wall time and its ratio to `dd`, the
CPU time of client and server until the answer, and the peak memory of both.

Then one file of twice the size is uploaded by tus in one request: the peak memory of the server must stay
below a limit that no upload of this size fits into. At last, many small files are uploaded by `task_load`,
as bodies of `POST` requests and by tus. `make bench-upload` prepares everything.
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
REQUEST = 8 << 20
# The server may use as much memory for an upload of any size, in MiB.
MOST_MEMORY = 200
SMALL_FILES = {"POST": "body", "tus, POST and PATCH": "tus", "tus, POST with the file": "tus-at-once"}

TUS_BY_CURL = """set -e
upload=$(curl -fsS -o /dev/null -w '%header{location}' -X POST "$1/v1/uploads" -H 'Tus-Resumable: 1.0.0' \
    -H "Upload-Length: $(stat -c %s "$2")")
curl -fsS -X PATCH -T "$2" "$1$upload" -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' \
    -H 'Content-Type: application/offset+octet-stream' -w '{"task_id": "%header{task-id}"}'
"""


def make(path, size, seed):
    """Makes a text file with a fixed seed, and returns its SHA-256. It runs in other processes, so that
    this process stays small: see `whole_process`."""
    command = [sys.executable, HERE / "text_files.py", "ascii", str(size), str(seed), path]
    subprocess.run(command, check=True)
    return digest_of(path)


def digest_of(path):
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
    if client == "curl tus":
        return ["sh", "-c", TUS_BY_CURL, "sh", server, source]
    if client == "tus 8 MiB":
        return [sys.executable, HERE / "tus_upload.py", server, source, REQUEST]
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
    print(f"{'':10}{'wall s':>9}{'of dd':>8}{'MB/s':>8}{'CPU s':>9}{'server':>8}{'peak MiB':>10}{'server':>8}")
    dd = statistics.median(run[0] for run in runs["dd"])
    for program, of_program in runs.items():
        wall, cpu, _, server_cpu, _ = (statistics.median(values) for values in zip(*of_program))
        peak, server_peak = (max(run[place] for run in of_program) for place in (2, 4))
        server = f"{server_cpu:8.2f}{peak:10.0f}{server_peak:8.0f}" if server_peak else f"{'':8}{peak:10.0f}"
        print(f"{program:10}{wall:9.2f}{dd / wall:8.2f}{size / wall / 1e6:8.0f}{cpu:9.2f}{server}")


def bench(arguments, log):
    source = arguments.folder / "sent.txt"
    digest = make(source, arguments.megabytes * MEGABYTE, arguments.seed)
    warm(source)
    runs = {program: [] for program in ["dd", "curl", "curl tus", "tus 8 MiB", "taskctl"]}
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


def bench_memory(arguments, log):
    """Uploads a file of which nothing is on the disk."""
    source = arguments.folder / "sent.txt"
    with open(source, "wb") as file:
        file.truncate(2 * arguments.megabytes * MEGABYTE)
    wall, _, _, _, peak = upload("curl tus", source, digest_of(source), arguments, log)
    size = source.stat().st_size
    print(f"\n{size:,} bytes by tus: {wall:.2f} s, {peak:.0f} MiB at the peak of the server")
    if peak > MOST_MEMORY:
        raise Failed(f"an upload of {size:,} bytes took {peak:.0f} MiB, more than {MOST_MEMORY}")


def bench_small(arguments):
    files, clients = arguments.small_files, arguments.clients
    print(f"\n{files:,} files of 1 MB by {clients} clients\n{'':26}{'files/s':>9}{'p50 ms':>9}{'p99 ms':>9}")
    runs = {name: [] for name in SMALL_FILES}
    for _ in range(arguments.runs):
        for name, of_protocol in runs.items():
            os.sync()
            with Standalone(arguments.folder, arguments.programs) as system:
                load = ["uploads", "--protocol", SMALL_FILES[name], "--files", files, "--clients", clients]
                of_protocol.append(system.load(*load))
    for name, of_protocol in runs.items():
        rate = statistics.median(run["uploads_per_second"] for run in of_protocol)
        p50, p99 = (statistics.median(run["uploads"][of] for run in of_protocol) for of in ("p50_ms", "p99_ms"))
        print(f"{name:26}{rate:9.0f}{p50:9.1f}{p99:9.1f}")


def version_of(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="folder on the disk to measure")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the file")
    parser.add_argument("--runs", type=int, default=5, help="the number of runs; the median is shown")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small-files", type=int, default=1000, help="the number of files of 1 MB")
    parser.add_argument("--clients", type=int, default=8, help="the number of clients that upload them")
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=arguments.folder.resolve()))
    curl = " ".join(version_of("curl").split()[:2])
    print(f"{version_of('dd')}, {curl}, {os.cpu_count()} processors; median of {arguments.runs}", flush=True)
    try:
        with open(arguments.folder / "log", "w") as log:
            bench(arguments, log)
            bench_memory(arguments, log)
            bench_small(arguments)
    except Failed as failed:
        sys.exit(f"bench-upload: {failed}; the logs are in {arguments.folder}")
    finally:
        (arguments.folder / "sent.txt").unlink(missing_ok=True)
    shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
