"""Measures the cost of a backlog: the rates of submission and dispatch and the latency of reads, with a given
number of tasks in the queue and no worker; then the rate at which two workers process them.
"""

import dataclasses
import time

from systems import Failed

OWNER = "backlog"
# The number of messages and events that are sent in addition to the backlog.
MESSAGES = 20_000
EVENTS = 100_000
IN_A_LIST = 1_000
READS = 300
# The number of tasks that the workers finish.
FINISHED = 10_000
DEADLINE = 600


@dataclasses.dataclass
class Measured:
    """The columns of the table by their headings: rates in tasks per second, reads as p50 and p99 in ms."""

    size: int
    rates: dict
    reads: dict


def measure(fleet, size):
    """Measures a fleet without workers, with `size` tasks in the queue."""
    with fleet.services.connect(fleet.database) as connection, connection.cursor() as cursor:
        rates = {"filling/s": fill(fleet, cursor, size) if size else None}
        messages = fleet.load("throughput", "--tasks", MESSAGES, "--clients", 100, "--no-wait")
        await_dispatch(cursor)
        rates["submit/s, single"] = messages["submit_per_second"]
        events = send_events(fleet, EVENTS)
        await_dispatch(cursor)
        rates["submit/s, lists"] = events["submit_per_second"]
        rates["dispatch/s"] = dispatched(cursor, events["user"])
        owner = OWNER if size else events["user"]
        reads = read(fleet, cursor, owner)
        workers = fleet.start_workers(2)
        rates["complete/s"] = finished(cursor)
        fleet.end(workers)
        return Measured(size, rates, reads)


def send_events(fleet, count, user=None):
    arguments = ["--kind", "event", "--tasks", count, "--bulk", IN_A_LIST, "--clients", 4, "--no-wait"]
    return fleet.load("throughput", *arguments, user=user)


def fill(fleet, cursor, size):
    rate = send_events(fleet, size, OWNER)["submit_per_second"]
    await_dispatch(cursor)
    return rate


def one(cursor, statement, *values):
    cursor.execute(statement, values)
    return cursor.fetchone()[0]


def await_dispatch(cursor):
    """Waits until all tasks are published to the broker."""
    deadline = time.monotonic() + DEADLINE
    # Counting the rows of a long outbox would affect the measurement.
    while one(cursor, "SELECT EXISTS (SELECT 1 FROM outbox)"):
        if time.monotonic() > deadline:
            raise Failed(f"not all tasks are published after {DEADLINE} s")
        time.sleep(0.1)


def dispatched(cursor, user):
    """The rate at which the user's tasks were published, from the times in their rows."""
    cursor.execute(
        "SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(created_at), MAX(dispatched_at)) FROM tasks "
        "WHERE owner = (SELECT id FROM users WHERE username = %s)",
        (user,),
    )
    count, microseconds = cursor.fetchone()
    return count / microseconds * 1e6


def read(fleet, cursor, owner):
    ids = (
        "SELECT LOWER(HEX(id)) FROM tasks WHERE kind = 'user_event' AND state = 'queued' "
        "ORDER BY queued_at LIMIT %s, 1"
    )
    first, within = (one(cursor, ids, place) for place in (0, 500))
    named = [part for task in (first, within) for part in ("--task", dashed(task))]
    measured = fleet.load("reads", "--times", READS, *named, user=owner)
    positions = dict(zip(["status, 1st in queue", "status, 501st"], measured["named"]))
    reads = {
        "list": measured["list"],
        "list, queued": measured["list_queued"],
        "status, newest": measured["newest"],
        **positions,
    }
    return {name: (times["p50_ms"], times["p99_ms"]) for name, times in reads.items()}


def dashed(text):
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def finished(cursor):
    """The rate at which workers finish events, counted from the first one."""
    deadline = time.monotonic() + DEADLINE
    of_events = "FROM tasks WHERE kind = 'user_event' AND state = 'processed'"
    while not cursor.execute(f"SELECT 1 {of_events} LIMIT {FINISHED - 1}, 1"):
        if time.monotonic() > deadline:
            raise Failed(f"{FINISHED} tasks are not finished after {DEADLINE} s")
        time.sleep(0.25)
    cursor.execute(
        "SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(finished_at), MAX(finished_at)) "
        + of_events
    )
    count, microseconds = cursor.fetchone()
    return count / microseconds * 1e6
