"""The systems that `bench_tasks.py` compares. Each is started for a measurement and ended afterwards, so that
they do not compete for processors.

They use the private services of `scripts/services.sh`, which must be running, with their own databases and
queues.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pymysql
from systems import Failed, Platform, System

HERE = pathlib.Path(__file__).parent
SERVICES = HERE.parent / "scripts" / "services.sh"


class Services:
    """MariaDB and RabbitMQ."""

    def __init__(self):
        lines = self._run("env-fleet").splitlines()
        self.settings = dict(line.split("=", 1) for line in lines)
        url = self.settings["TASK_MANAGER_DATABASE_URL"]
        user, password, host, port = re.match(r"mysql://(.*?):(.*?)@(.*?):(\d+)/", url).groups()
        self._login = {"user": user, "password": password, "host": host, "port": int(port)}
        self.database_url = url.rsplit("/", 1)[0]
        self.queue_url = self.settings["TASK_MANAGER_QUEUE_URL"]

    def connect(self, database=None):
        return pymysql.connect(**self._login, database=database, autocommit=True)

    def make_database(self, name):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")

    def drop_database(self, name):
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")

    def delete_queues(self, prefix):
        names = self._run("rabbitmqctl", "--quiet", "list_queues", "--no-table-headers", "name")
        for name in names.split():
            if name.startswith(prefix):
                self._run("rabbitmqctl", "--quiet", "delete_queue", name)

    def processes(self):
        """The processes of MariaDB and RabbitMQ."""
        return {int(process) for process in re.findall(r"process (\d+)", self._run("status"))}

    def broker_version(self):
        return self._run("rabbitmqctl", "version").strip()

    @staticmethod
    def _run(*arguments):
        done = subprocess.run([SERVICES, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"services.sh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


class Fleet(Platform):
    """A task manager and workers, on MariaDB and RabbitMQ. One worker can use all processors of a machine."""

    name = "fleet"

    def __init__(self, folder, programs, services, workers=1):
        super().__init__(folder, programs)
        self.services = services
        self.workers = workers
        self.database = f"bench_tasks_{os.getpid()}"
        bucket = str(folder / "bucket")
        self._settings = services.settings | {
            "TASK_MANAGER_DATABASE_URL": f"{services.database_url}/{self.database}",
            "TASK_MANAGER_LISTEN": "127.0.0.1:0",
            "TASK_MANAGER_STORAGE": bucket,
            "TASK_MANAGER_QUEUE_PREFIX": self.database,
            "DATA_PROCESSOR_LISTEN": "127.0.0.1:0",
            "DATA_PROCESSOR_STORAGE": bucket,
            "DATA_PROCESSOR_QUEUE_PREFIX": self.database,
        }

    def start(self):
        self.services.make_database(self.database)
        manager = [self.programs / "task_manager", "serve"]
        self.server = self.address(*self.launch(manager, self._settings))
        self.start_workers(self.workers)

    def start_workers(self, count):
        settings = self._settings | {"DATA_PROCESSOR_TASK_MANAGER_URL": self.server}
        program = [self.programs / "data_processor"]
        return [self.launch(program, settings)[0] for _ in range(count)]

    def clean(self):
        self.services.drop_database(self.database)
        self.services.delete_queues(self.database)
        shutil.rmtree(self.folder / "bucket", ignore_errors=True)


class Celery(System):
    """Celery with two processes, on the same RabbitMQ and MariaDB."""

    def __init__(self, folder, services, configuration):
        super().__init__(folder)
        self.name = f"Celery {configuration}"
        self.services = services
        self.database = f"bench_celery_{os.getpid()}"
        url = services.database_url.replace("mysql://", "db+mysql+pymysql://")
        self._settings = {
            "CELERY_PEER": configuration,
            # Its driver does not decode the path, which names the virtual host `/`.
            "CELERY_BROKER": services.queue_url.replace("/%2f", "//"),
            "CELERY_RESULTS": f"{url}/{self.database}",
            "PYTHONPATH": str(HERE / "celery_peer"),
        }

    def start(self):
        self.services.make_database(self.database)
        self.services.delete_queues("celery")
        command = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--pool", "prefork"]
        command += ["--concurrency", 2, "--loglevel", "WARNING"]
        self.launch(command, self._settings)

    def clean(self):
        self.services.drop_database(self.database)
        self.services.delete_queues("celery")

    def load(self, *arguments):
        program = HERE / "celery_peer" / "load.py"
        return self.measured([sys.executable, program, *arguments], self._settings)

    def throughput(self, tasks, clients):
        return self.load("throughput", tasks, clients)

    def latency(self, rate, seconds):
        return self.load("latency", rate, seconds)
