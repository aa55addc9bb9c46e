"""Measures how much memory a standalone server keeps after work.

The server gets messages, uploads of 1 MB by several clients, and aggregations of a larger file. After
everything has ended, nothing is sent for a minute. Prints the resident memory of the server at its start, at
its peak and after that minute, which must be below a limit. `make bench-memory` prepares everything.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from systems import Failed, Standalone

# At most so much memory a minute after the last request, in MiB.
MOST_AT_REST = 120
REST_SECONDS = 60
SONGS = 20_000


def write_plays(path, rows, seed):
    """Writes a file for the default aggregation."""
    chance = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("Song,Date,Number of Plays\n")
        for _ in range(rows):
            day = f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
            file.write(f"Song {chance.randrange(SONGS)},{day},{chance.randrange(1000)}\n")


def aggregate(system, source):
    """Uploads the file and waits for its task."""
    taskctl = [system.programs / "taskctl", "--json", "--server", system.server]
    command = [*taskctl, "upload", "--kind", "csv_aggregation", "--wait", source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"an aggregation failed: {done.stdout or done.stderr}")
    return json.loads(done.stdout)


def bench(arguments):
    source = arguments.folder / "plays.csv"
    write_plays(source, arguments.rows, arguments.seed)
    with Standalone(arguments.folder, arguments.programs) as system:
        start = system.memory()
        for _ in range(arguments.rounds):
            system.throughput(arguments.messages, arguments.clients)
            system.load("uploads", "--files", arguments.files, "--clients", 8)
            for _ in range(arguments.aggregations):
                aggregate(system, source)
        ended = system.memory()
        peak = system.peak_of_memory()
        time.sleep(REST_SECONDS)
        rest = system.memory()
    source.unlink()
    print(f"{'start':>8}{'peak':>8}{'end':>8}{'at rest':>9}   MiB")
    print(f"{start:8.0f}{peak:8.0f}{ended:8.0f}{rest:9.0f}")
    if rest > MOST_AT_REST:
        raise Failed(f"the server keeps {rest:.0f} MiB, more than {MOST_AT_REST}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="folder for the data")
    parser.add_argument("--rounds", type=int, default=3, help="how often the load is repeated")
    parser.add_argument("--messages", type=int, default=50_000, help="messages in each round")
    parser.add_argument("--clients", type=int, default=100, help="clients that send them")
    parser.add_argument("--files", type=int, default=500, help="uploads of 1 MB in each round")
    parser.add_argument("--aggregations", type=int, default=5, help="aggregations in each round")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the aggregated file")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=arguments.folder.resolve()))
    print(f"{os.cpu_count()} processors, {arguments.rounds} rounds", flush=True)
    try:
        bench(arguments)
    except Failed as failed:
        sys.exit(f"bench-memory: {failed}; the logs are in {arguments.folder}")
    shutil.rmtree(arguments.folder)


if __name__ == "__main__":
    main()
