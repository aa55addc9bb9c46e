"""Measures small tasks on the whole platform, and the same tasks on Celery.

Systems are interleaved (A B C D, A B C D, …), one runs at a time, and every run verifies that each
accepted task was finished exactly once. Prints Markdown tables. `make bench-tasks` prepares everything.
"""

import argparse
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time

import task_backlog
from systems import Failed, Standalone
from task_systems import Celery, Fleet, Services

PARTS = ["throughput", "latency", "standalone", "clients", "workers", "backlog"]
WARM_UP = 300


def say(text=""):
    print(text, flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


def table(header, rows):
    say()
    say("| " + " | ".join(header) + " |")
    say("|---" + "|---:" * (len(header) - 1) + "|")
    for row in rows:
        say("| " + " | ".join(row) + " |")


def number(value):
    return f"{value:,.0f}"


def milliseconds(value):
    return f"{value:.1f} ms"


class Median:
    """The median of a measurement of several runs, and its spread."""

    def __init__(self, runs, *path):
        self.values = []
        for run in runs:
            for name in path:
                run = run[name]
            self.values.append(run)
        self.value = statistics.median(self.values)

    def with_spread(self, shown):
        return f"{shown(self.value)} ({shown(min(self.values))} – {shown(max(self.values))})"


def compare(arguments, parts, services):
    """Throughput and latency of our systems and of Celery, interleaved."""
    systems = {}
    if {"throughput", "latency"} & parts:
        systems["fleet"] = lambda: Fleet(arguments.folder, arguments.programs, services)
    if "standalone" in parts:
        systems["standalone"] = lambda: Standalone(arguments.folder, arguments.programs)
    for name in ("default", "confirmed"):
        systems[f"Celery {name}"] = lambda name=name: Celery(arguments.folder, services, name)
    # With the part "standalone" alone, both are measured.
    with_throughput = "throughput" in parts or "latency" not in parts
    with_latency = "latency" in parts or "throughput" not in parts
    throughput = {name: [] for name in systems}
    latency = {name: [] for name in systems}
    for turn in range(arguments.runs):
        for name, make in systems.items():
            with make() as system:
                system.throughput(WARM_UP, 4)
                if with_throughput:
                    run = throughput_of(system, arguments)
                    throughput[name].append(run)
                    note(f"turn {turn + 1}, {name}: {run['complete_per_second']:.0f} tasks/s")
                if with_latency:
                    run = system.latency(arguments.rate, arguments.seconds)
                    latency[name].append(run)
                    note(f"turn {turn + 1}, {name}: {run['to_result']}")
    if with_throughput:
        show_throughput(arguments, throughput)
    if with_latency:
        show_latency(arguments, latency)


def throughput_of(system, arguments):
    tasks, clients = arguments.tasks, arguments.clients
    if isinstance(system, Celery):
        tasks, clients = arguments.celery_tasks, arguments.celery_clients
    before = system.processor_seconds()
    run = system.throughput(tasks, clients)
    run["processor_ms"] = (system.processor_seconds() - before) / tasks * 1000
    return run


def show_throughput(arguments, runs):
    say()
    say(f"Throughput: {number(arguments.tasks)} messages by {arguments.clients} clients, one a request;")
    say(f"with Celery {number(arguments.celery_tasks)} by {arguments.celery_clients} threads.")
    say(f"Medians of {arguments.runs} (smallest – largest).")
    complete = {name: Median(run, "complete_per_second") for name, run in runs.items()}
    peers = ["Celery default", "Celery confirmed"]
    rows = []
    for name, run in runs.items():
        rate = complete[name]
        ratios = [f"{rate.value / complete[peer].value:.1f} ×" for peer in peers]
        submit = Median(run, "submit_per_second").with_spread(number)
        processor = Median(run, "processor_ms").with_spread(lambda value: f"{value:.2f}")
        rows.append([name, rate.with_spread(number), *ratios, submit, processor])
    header = ["", "complete/s", *(f"of {peer}" for peer in peers), "submit/s", "processor ms/task"]
    table(header, rows)


def show_latency(arguments, runs):
    say()
    say(f"Latency: {arguments.rate} messages a second for {arguments.seconds} s, from when each was to be")
    say("sent until its result is seen (ours by a server-sent event); without those that are drawn again.")
    rows = []
    for name, run in runs.items():
        medians = [Median(run, "to_result", at) for at in ("p50_ms", "p99_ms", "max_ms")]
        accepted = Median(run, "to_accepted", "p50_ms")
        shown = [median.with_spread(milliseconds) for median in medians]
        rows.append([name, *shown, milliseconds(accepted.value)])
    table(["", "p50", "p99", "longest", "accepted, p50"], rows)


def by_clients(arguments, services):
    with Fleet(arguments.folder, arguments.programs, services) as fleet:
        fleet.throughput(WARM_UP, 10)
        rows = []
        for clients in (1, 10, 100, 1000):
            # One client waits for each commit.
            tasks = arguments.tasks if clients > 1 else max(arguments.tasks // 10, 500)
            runs = [fleet.throughput(tasks, clients) for _ in range(arguments.runs)]
            rates = [Median(runs, name) for name in ("complete_per_second", "submit_per_second")]
            tails = [Median(runs, "requests", name) for name in ("p50_ms", "p99_ms")]
            shown = [rate.with_spread(number) for rate in rates]
            rows.append([str(clients), *shown, *(milliseconds(tail.value) for tail in tails)])
            note(f"{clients} clients: {rows[-1]}")
    say()
    say(f"Clients: {number(arguments.tasks)} messages (a tenth by one client), one worker.")
    table(["clients", "complete/s", "submit/s", "request, p50", "request, p99"], rows)


def by_workers(arguments, services):
    rows = []
    for workers in (1, 2, 4):
        with Fleet(arguments.folder, arguments.programs, services, workers) as fleet:
            fleet.throughput(WARM_UP, 10)
            runs = [throughput_of(fleet, arguments) for _ in range(arguments.runs)]
        rates = [Median(runs, name) for name in ("complete_per_second", "submit_per_second")]
        rows.append([str(workers), *(rate.with_spread(number) for rate in rates)])
        note(f"{workers} workers: {rows[-1]}")
    say()
    say(f"Workers: {number(arguments.tasks)} messages by {arguments.clients} clients.")
    table(["workers", "complete/s", "submit/s"], rows)


def with_backlog(arguments, services):
    sizes = [size for size in (0, 10_000, 100_000, 1_000_000) if size <= arguments.backlog]
    measured = []
    for size in sizes:
        with Fleet(arguments.folder, arguments.programs, services, workers=0) as fleet:
            measured.append(task_backlog.measure(fleet, size))
            note(f"backlog: {measured[-1]}")
    say()
    say("Backlog: tasks in the queue, then rates of more tasks, and reads by their owner (p50 / p99).")
    rows = []
    for one in measured:
        reads = [f"{milliseconds(p50)} / {milliseconds(p99)}" for p50, p99 in one.reads.values()]
        rates = [number(rate) if rate else "" for rate in one.rates.values()]
        rows.append([number(one.size), *rates, *reads])
    table(["backlog", *measured[0].rates, *measured[0].reads], rows)


def machine(services):
    with services.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        database = cursor.fetchone()[0]
    broker = services.broker_version()
    python = platform.python_version()
    say(f"{os.cpu_count()} processors, MariaDB {database}, RabbitMQ {broker}, Python {python};")
    say("the load, the services and the programs share them.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--runs", type=int, default=5, help="the number of runs; the median is shown")
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks of ours, for throughput")
    parser.add_argument("--celery-tasks", type=int, default=3_000, help="tasks of Celery, for throughput")
    parser.add_argument("--clients", type=int, default=100, help="clients of ours")
    # With more threads, a single Python process gets slower.
    parser.add_argument("--celery-clients", type=int, default=4, help="threads that send to Celery")
    parser.add_argument("--rate", type=int, default=50, help="messages per second, for latency")
    parser.add_argument("--seconds", type=int, default=20, help="duration, for latency")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="the largest backlog")
    arguments = parser.parse_args()
    arguments.programs = arguments.programs.resolve()
    parts = set(arguments.parts)
    started = time.monotonic()
    services = Services()
    arguments.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-tasks-"))
    try:
        machine(services)
        if {"throughput", "latency", "standalone"} & parts:
            compare(arguments, parts, services)
        if "clients" in parts:
            by_clients(arguments, services)
        if "workers" in parts:
            by_workers(arguments, services)
        if "backlog" in parts:
            with_backlog(arguments, services)
    except Failed as failed:
        sys.exit(f"bench-tasks: {failed}")
    note(f"bench-tasks: {time.monotonic() - started:.0f} s; the logs are in {arguments.folder}")


if __name__ == "__main__":
    main()
