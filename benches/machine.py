"""Prints the machine and the versions that the benchmarks depend on, as a Markdown table.

It runs in the Python environment of the benchmarks: machine.py FOLDER_OF_THE_BENCHMARKS.
"""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import sys

PEERS = ["duckdb", "polars", "chdb", "celery", "SQLAlchemy", "PyMySQL"]
# Distributions do not add the folders of servers to the PATH of normal users.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def first_line(*command):
    """The first line that a program prints; empty if it is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": PATH})
    except OSError:
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def field(path, name):
    """The value of the first line `NAME: VALUE` of a file."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", pathlib.Path(path).read_text(), re.MULTILINE)
    return found[1] if found else ""


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def rows(folder):
    kibibytes = int(field("/proc/meminfo", "MemTotal").split()[0])
    yield "processor", f"{field('/proc/cpuinfo', 'model name') or platform.machine()}, {os.cpu_count()} cores"
    yield "memory", f"{kibibytes / 2**20:.0f} GiB"
    yield "file system", first_line("findmnt", "-no", "FSTYPE", "-T", folder)
    yield "kernel", platform.release()
    yield "system", platform.freedesktop_os_release().get("PRETTY_NAME", "")
    yield "commit", first_line("git", "describe", "--always", "--dirty")
    yield "Rust", first_line("rustc", "--version")
    yield "coreutils", first_line("wc", "--version").rpartition(" ")[2]
    yield "curl", first_line("curl", "--version").partition("(")[0].removeprefix("curl ")
    yield "MariaDB", first_line("mariadbd", "--version").partition("Ver ")[2].partition(" ")[0]
    # `rabbitmqctl version` would leave an Erlang daemon behind.
    servers = sorted(pathlib.Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    yield "RabbitMQ", servers[-1].name.partition("-")[2] if servers else ""
    yield "Python", platform.python_version()
    for package in PEERS:
        yield package, version_of(package)


def main():
    print("| | |\n|---|---|")
    for name, value in rows(sys.argv[1]):
        print(f"| {name} | {value.strip() or 'missing'} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
