"""Compares tasks whose files are in a bucket of S3 with the same tasks on a local disk.

A standalone server has its files in a local folder, or in a bucket of SeaweedFS on this machine, whose files are
on the same disk. A file is uploaded by `taskctl`, and an aggregation and statistics of it are made.
Runs are interleaved, and each has its own server and an empty folder. The results of both must be equal.
Prints the median time of each upload, until the answer, and of each task, from its start to its end, with the
ratio of the folder to the bucket. What the server of the bucket can do is shown by the time of `curl` for the
same file. That server takes a part of the processors, which it would not if it were another machine. It does not
wait for the disk, whereas an upload to the folder does. `make bench-bucket` prepares everything.
"""

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from systems import STARTS_WITHIN, Failed, Standalone, System
from whole_process import warm

KINDS = ["csv_aggregation", "file_statistics"]
BUCKET = "tasks"
ACCESS_KEY = "bench"
# The ports of SeaweedFS, by the names of its options.
PORTS = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
# SeaweedFS counts how many of its files, the volumes, of this size fit on the disk.
VOLUME_MIB = 1024


class SeaweedFS(System):
    """A server of S3: all its parts in one process, with one bucket and one access key."""

    name = "seaweedfs"

    def __init__(self, folder, weed):
        super().__init__(folder)
        self.weed = weed
        self.secret = secrets.token_hex(16)

    def start(self):
        self._data = self.folder / "seaweedfs"
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir()
        config = self._data / "s3.json"
        key = {"accessKey": ACCESS_KEY, "secretKey": self.secret}
        config.write_text(json.dumps({"identities": [{"name": "bench", "credentials": [key], "actions": ["Admin"]}]}))
        self._ports = dict(zip(PORTS, free_ports(len(PORTS))))
        command = [self.weed, "server", "-ip=127.0.0.1", f"-dir={self._data}", "-master.telemetry=false"]
        command += [f"-master.volumeSizeLimitMB={VOLUME_MIB}", "-volume.max=0", "-volume.preStopSeconds=0"]
        command += ["-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += [f"-{name}={port}" for name, port in self._ports.items()]
        self.launch(command, {})
        self.endpoint = self.url("s3")
        # This succeeds once data can be stored.
        self.wait_for(f"{self.url('master')}/dir/assign?collection={BUCKET}")
        self.wait_for(urllib.request.Request(f"{self.url('filer')}/buckets/{BUCKET}/", method="POST"))
        self.wait_for(f"{self.endpoint}/status")

    def url(self, part):
        return f"http://127.0.0.1:{self._ports[f'{part}.port']}"

    def wait_for(self, request):
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(request, timeout=10).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed("SeaweedFS does not start")

    def settings(self):
        """The settings of a standalone server that uses the bucket."""
        return {
            "TASK_MANAGER_STORAGE": f"s3://{BUCKET}",
            "TASK_MANAGER_STORAGE_ENDPOINT": self.endpoint,
            "TASK_MANAGER_STORAGE_REGION": "us-east-1",
            "TASK_MANAGER_STORAGE_ACCESS_KEY_ID": ACCESS_KEY,
            "TASK_MANAGER_STORAGE_SECRET_ACCESS_KEY": self.secret,
        }

    def transfer_times(self, source):
        """The seconds in which curl sends a file to the bucket, and fetches it."""
        with tempfile.NamedTemporaryFile("w") as config:
            config.write(f'user = "{ACCESS_KEY}:{self.secret}"')
            config.flush()
            curl = ["curl", "--silent", "--show-error", "--fail", "--config", config.name]
            curl += ["--aws-sigv4", "aws:amz:us-east-1:s3", f"{self.endpoint}/{BUCKET}/reference"]
            return [
                self.transfer_time([*curl, *arguments])
                for arguments in (
                    ["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--upload-file", source],
                    ["--output", os.devnull],
                )
            ]

    def transfer_time(self, command):
        os.sync()
        began = time.monotonic()
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"curl failed: {done.stderr}")
        return time.monotonic() - began

    def clean(self):
        shutil.rmtree(self._data, ignore_errors=True)
        # It leaves some of these behind.
        for port in self._ports.values():
            for local_socket in pathlib.Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                local_socket.unlink()


def free_ports(count):
    """Ports that are different because all are open at the same time."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


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
    transfers = []
    for _ in range(arguments.runs):
        runs["folder"].append(measured(source, arguments, {}))
        with SeaweedFS(arguments.folder, arguments.weed) as seaweedfs:
            transfers.append(seaweedfs.transfer_times(source))
            runs["bucket"].append(measured(source, arguments, seaweedfs.settings()))
    print(f"\n{'':18}{'upload s: folder':>18}{'bucket':>9}{'ratio':>8}{'task s: folder':>17}{'bucket':>9}{'ratio':>8}")
    for kind in KINDS:
        if len({run[kind][2] for of_storage in runs.values() for run in of_storage}) != 1:
            raise Failed(f"the results of {kind} differ")
        medians = {
            name: [statistics.median(run[kind][place] for run in of_storage) for place in (0, 1)]
            for name, of_storage in runs.items()
        }
        line = f"{kind:18}"
        for width, folder, bucket in zip((18, 17), medians["folder"], medians["bucket"]):
            line += f"{folder:{width}.2f}{bucket:9.2f}{folder / bucket:8.2f}"
        print(line)
    sent, fetched = (statistics.median(times) for times in zip(*transfers))
    print(f"curl alone sends the file to the bucket in {sent:.2f} s, and fetches it in {fetched:.2f} s")
    peaks = {name: max(run["peak"] for run in of_storage) for name, of_storage in runs.items()}
    print(f"peak memory of the server: {peaks['folder']:.0f} MiB, with the bucket {peaks['bucket']:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--weed", type=pathlib.Path, required=True, help="the program of SeaweedFS")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="folder on the disk to measure")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the CSV file")
    parser.add_argument("--runs", type=int, default=5, help="the number of runs; the median is shown")
    arguments = parser.parse_args()
    arguments.programs, arguments.weed = arguments.programs.resolve(), arguments.weed.resolve()
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
