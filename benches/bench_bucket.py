"""Compares tasks whose files are in a bucket of S3 with the same tasks on a local disk.

A standalone server has its files in a local folder, or in a bucket of `rclone serve s3` on this machine, whose
files are on the same disk. A file is uploaded by `taskctl`, and an aggregation and statistics of it are made.
Runs are interleaved, and each has its own server and an empty folder. The results of both must be equal.
Prints the median time of each upload, until the answer, and of each task, from its start to its end, with the
ratio of the folder to the bucket. The server of the bucket takes a part of the processors, which it would not
if it were another machine. `make bench-bucket` prepares everything.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from systems import Failed, Standalone, System
from whole_process import warm

KINDS = ["csv_aggregation", "file_statistics"]
BUCKET = "tasks"


class Rclone(System):
    """A server of S3."""

    name = "rclone"

    def __init__(self, folder, rclone):
        super().__init__(folder)
        self.rclone = rclone
        self.secret = secrets.token_hex(16)

    def start(self):
        self._data = self.folder / "rclone"
        shutil.rmtree(self._data, ignore_errors=True)
        (self._data / BUCKET).mkdir(parents=True)
        command = [self.rclone, "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"bench,{self.secret}"]
        self.endpoint = self.listening_at(*self.launch([*command, self._data], {}))

    def listening_at(self, process, log):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            _, found, rest = log.read_text().partition("[http://")
            if found:
                return "http://" + rest.partition("]")[0].rstrip("/")
            time.sleep(0.05)
        raise Failed(f"rclone does not start; its log is {log}")

    def settings(self):
        """The settings of a standalone server that uses the bucket."""
        return {
            "TASK_MANAGER_STORAGE": f"s3://{BUCKET}",
            "TASK_MANAGER_STORAGE_ENDPOINT": self.endpoint,
            "TASK_MANAGER_STORAGE_REGION": "us-east-1",
            "TASK_MANAGER_STORAGE_ACCESS_KEY_ID": "bench",
            "TASK_MANAGER_STORAGE_SECRET_ACCESS_KEY": self.secret,
        }

    def clean(self):
        shutil.rmtree(self._data, ignore_errors=True)


def seconds_of(task):
    start, end = (datetime.datetime.fromisoformat(task[name]) for name in ("started_at", "finished_at"))
    return (end - start).total_seconds()


def call(arguments, server, *command):
    done = subprocess.run(
        [str(part) for part in [arguments.programs / "taskctl", "--json", "--server", server, *command]],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise Failed(f"taskctl {command[0]} failed: {done.stdout or done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def measured(source, arguments, environment):
    """For each kind: the seconds of the upload and of the task, and what identifies its result."""
    found = {}
    with Standalone(arguments.folder, arguments.programs, environment) as system:
        for kind in KINDS:
            os.sync()
            began = time.monotonic()
            accepted = call(arguments, system.server, "upload", "--kind", kind, source)
            uploading = time.monotonic() - began
            task = call(arguments, system.server, "watch", accepted["task_id"])
            result = task["result"].get("sha256")
            if kind == "csv_aggregation":
                output = arguments.folder / "result.csv"
                call(arguments, system.server, "download", accepted["task_id"], "--output", output)
                result = hashlib.sha256(output.read_bytes()).hexdigest()
                output.unlink()
            found[kind] = uploading, seconds_of(task), result
        found["peak"] = system.peak_of_memory()
    return found


def bench(source, arguments):
    runs = {"folder": [], "bucket": []}
    for _ in range(arguments.runs):
        runs["folder"].append(measured(source, arguments, {}))
        with Rclone(arguments.folder, arguments.rclone) as rclone:
            runs["bucket"].append(measured(source, arguments, rclone.settings()))
    print(f"\n{'':18}{'upload s: folder':>18}{'bucket':>9}{'task s: folder':>17}{'bucket':>9}{'ratio':>8}")
    for kind in KINDS:
        if len({run[kind][2] for of_storage in runs.values() for run in of_storage}) != 1:
            raise Failed(f"the results of {kind} differ")
        medians = {
            name: [statistics.median(run[kind][place] for run in of_storage) for place in (0, 1)]
            for name, of_storage in runs.items()
        }
        (folder_upload, folder), (bucket_upload, bucket) = medians["folder"], medians["bucket"]
        print(
            f"{kind:18}{folder_upload:18.2f}{bucket_upload:9.2f}{folder:17.2f}{bucket:9.2f}{folder / bucket:8.2f}"
        )
    peaks = {name: max(run["peak"] for run in of_storage) for name, of_storage in runs.items()}
    print(f"peak memory of the server: {peaks['folder']:.0f} MiB, with the bucket {peaks['bucket']:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--rclone", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="folder on the disk to measure")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the CSV file")
    parser.add_argument("--runs", type=int, default=5, help="the number of runs; the median is shown")
    arguments = parser.parse_args()
    arguments.programs, arguments.rclone = arguments.programs.resolve(), arguments.rclone.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=arguments.folder.resolve()))
    source = arguments.folder / "plays.csv"
    make = ["fake-songs", "--rows", str(arguments.rows), "--seed", "1", "--output", source]
    subprocess.run([arguments.programs / "taskctl", *make], check=True, capture_output=True)
    warm(source)
    print(f"{source.stat().st_size:,} bytes, {os.cpu_count()} processors; median of {arguments.runs}", flush=True)
    try:
        bench(source, arguments)
    except Failed as failed:
        sys.exit(f"bench-bucket: {failed}; the logs are in {arguments.folder}")
    shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
