"""Sends messages to the Celery peer and measures them; prints a line of JSON.

load.py throughput TASKS CLIENTS | load.py latency RATE SECONDS

It measures what `task_load` measures, and prints the same fields. It polls Celery's table of results over
connections that stay open; Celery's own `AsyncResult` would open one per poll. The table is emptied first.
"""

import json
import os
import random
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pymysql
from tasks import app, validate_message

MOST = 0.85
# The interval at which results are counted, in seconds.
INTERVAL = 0.1
# The interval at which a single result is polled, in seconds.
POLL_INTERVAL = 0.001
DEADLINE = 600
USER = str(uuid.uuid4())


def connect():
    url = urlsplit(os.environ["CELERY_RESULTS"])
    return pymysql.connect(
        host=url.hostname,
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.path[1:],
        autocommit=True,
    )


def send(number):
    text = f"Parcel {number} has arrived at the door of its new owner."
    return validate_message.delay(USER, text, random.randint(1, 60), number + 1)


def count(cursor, where="TRUE"):
    cursor.execute(f"SELECT COUNT(*) FROM celery_taskmeta WHERE {where}")
    return cursor.fetchone()[0]


def empty(cursor):
    cursor.execute("SHOW TABLES LIKE 'celery_taskmeta'")
    if cursor.fetchone():
        cursor.execute("TRUNCATE celery_taskmeta")
    else:
        # Creates the table, so that the worker does not create it during the measurement.
        app.backend.ResultSession()


def throughput(tasks, clients):
    with connect() as connection, connection.cursor() as cursor:
        empty(cursor)
        accepted = {}
        numbers = iter(range(tasks))
        lock = threading.Lock()
        started = time.perf_counter()

        def client():
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    break
                send(number)
            accepted[threading.get_ident()] = time.perf_counter()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        until_most = None
        while (done := count(cursor, "status = 'SUCCESS'")) < tasks:
            now = time.perf_counter() - started
            if until_most is None and done >= tasks * MOST:
                until_most = (done, now)
            if now > DEADLINE:
                sys.exit(f"{tasks - done} of {tasks} tasks are left at the deadline")
            time.sleep(INTERVAL)
        until_all = time.perf_counter() - started
        for thread in threads:
            thread.join()
        done, seconds = until_most or (tasks, until_all)
        # The key of the table is the id of the task, so this counts one result per task.
        rows = count(cursor)
        if rows != tasks:
            sys.exit(f"{tasks} tasks were accepted, but {rows} results exist")
        return {
            "mode": "throughput",
            "accepted": tasks,
            "clients": clients,
            "submit_per_second": tasks / (max(accepted.values()) - started),
            "complete_per_second": done / seconds,
            "finished": rows,
            "seconds_until_all": until_all,
        }


def latency(rate, seconds):
    with connect() as connection, connection.cursor() as cursor:
        empty(cursor)
    local = threading.local()

    def follow(number, due):
        if not hasattr(local, "cursor"):
            local.cursor = connect().cursor()
        task = send(number).id
        to_accepted = time.perf_counter() - due
        statement = "SELECT status FROM celery_taskmeta WHERE task_id = %s"
        while True:
            local.cursor.execute(statement, task)
            took = time.perf_counter() - due
            status = (local.cursor.fetchone() or ("PENDING",))[0]
            if status == "SUCCESS":
                return to_accepted, took
            if status == "RETRY":
                return to_accepted, None
            if status == "FAILURE" or took > DEADLINE:
                sys.exit(f"task {task} is {status}")
            time.sleep(POLL_INTERVAL)

    tasks = rate * seconds
    with ThreadPoolExecutor(16) as pool:
        # Starts the threads and opens their connections before the measurement.
        ready = threading.Barrier(16)
        warm = [pool.submit(lambda n: (ready.wait(), follow(n, time.perf_counter())), n) for n in range(16)]
        for future in warm:
            future.result()
        futures = []
        started = time.perf_counter()
        for number in range(tasks):
            due = started + number / rate
            time.sleep(max(0, due - time.perf_counter()))
            futures.append(pool.submit(follow, number, due))
        taken = [future.result() for future in futures]
    results = [result for _, result in taken if result is not None]
    return {
        "mode": "latency",
        "rate": rate,
        "accepted": tasks,
        "drawn_again": tasks - len(results),
        "to_accepted": quantiles([accepted for accepted, _ in taken]),
        "to_result": quantiles(results),
    }


def quantiles(durations):
    durations = sorted(duration * 1000 for duration in durations)

    def at(share):
        return durations[max(1, -int(-share * len(durations) // 1)) - 1] if durations else None

    return {
        "count": len(durations),
        "p50_ms": at(0.5),
        "p90_ms": at(0.9),
        "p99_ms": at(0.99),
        "max_ms": at(1),
    }


if __name__ == "__main__":
    mode = {"throughput": throughput, "latency": latency}[sys.argv[1]]
    print(json.dumps(mode(*map(int, sys.argv[2:]))))
