"""Programs that a benchmark starts for a measurement and ends afterwards. They listen on loopback only.

Imports only the standard library.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import processor_time

STARTS_WITHIN = 60
ENDS_WITHIN = 30


class Failed(Exception):
    """A measurement failed; the message says why."""


class System:
    """Programs that are started together."""

    name = ""
    # None if the system needs no services.
    services = None

    def __init__(self, folder):
        self.folder = folder
        self._processes = []
        self._logs = 0

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.end(self._processes)
        self.clean()

    def start(self):
        raise NotImplementedError

    def clean(self):
        pass

    def launch(self, command, environment):
        """Starts a program in the background; returns the process and its log."""
        self._logs += 1
        log = self.folder / f"{self.name.replace(' ', '_')}.{os.getpid()}.{self._logs}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.folder,
            )
        self._processes.append(process)
        return process, log

    def end(self, processes):
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = [process for process in self._processes if process not in processes]

    def processor_seconds(self):
        """The CPU time of the programs and their services so far, without the load generator."""
        roots = {process.pid for process in self._processes}
        return processor_time.seconds(roots | (self.services.processes() if self.services else set()))

    def peak_of_memory(self):
        """The peak resident memory so far of the largest program, in MiB."""
        return self._largest("VmHWM")

    def memory(self):
        """The resident memory of the largest program now, in MiB."""
        return self._largest("VmRSS")

    def _largest(self, field):
        statuses = (pathlib.Path(f"/proc/{process.pid}/status").read_text() for process in self._processes)
        return max(int(re.search(rf"{field}:\s*(\d+) kB", status)[1]) / 1024 for status in statuses)

    def address(self, process, log):
        """The address of a server, from its log."""
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline and process.poll() is None:
            found = re.search(r"listening on (http:\S+)", log.read_text())
            if found:
                return found[1]
            time.sleep(0.05)
        raise Failed(f"{self.name} does not start; its log is {log}")

    def measured(self, command, environment=None):
        """Runs a load generator and returns what it printed."""
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise Failed(f"{self.name}: {done.stderr.strip()}; the logs are in {self.folder}")
        return json.loads(done.stdout)


class Platform(System):
    """A system with the API of the platform, measured by `task_load`."""

    server = ""

    def __init__(self, folder, programs):
        super().__init__(folder)
        self.programs = programs

    def load(self, *arguments, user=None):
        command = [self.programs / "task_load", "--server", self.server]
        command += ["--user", user] if user else []
        return self.measured([*command, *arguments])

    def throughput(self, tasks, clients):
        return self.load("throughput", "--tasks", tasks, "--clients", clients)

    def latency(self, rate, seconds):
        return self.load("latency", "--rate", rate, "--seconds", seconds)


class Standalone(Platform):
    """Everything in one process, on SQLite."""

    name = "standalone"

    def __init__(self, folder, programs, environment=None):
        super().__init__(folder, programs)
        self.environment = environment or {}

    def start(self):
        self._data = self.folder / "standalone"
        shutil.rmtree(self._data, ignore_errors=True)
        command = [self.programs / "taskctl", "standalone", "--listen", "127.0.0.1:0"]
        command += ["--data", self._data]
        self.server = self.address(*self.launch(command, self.environment))

    def clean(self):
        shutil.rmtree(self._data, ignore_errors=True)
