"""Jobs: one at a time, the others wait in line and know their place; any can be cancelled, and its folder goes."""

import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from jaxanim.errors import InputError

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Cancelled(Exception):
    """Raised inside a job that was cancelled, where it can stop."""


class Job:
    """One piece of work; its folder is there from the beginning until `remove`."""

    def __init__(self, work: Callable[["Job"], None], folder: Path):
        self.folder, self.state = folder, "waiting"
        self.message, self.done, self.total = "", 0, 0
        self.pictures: np.ndarray | None = None
        self.notes: dict[str, object] = {}
        self._work, self._stop = work, threading.Event()

    def report(self, done: int, total: int, pictures: np.ndarray | None = None) -> None:
        """Keeps how far the work is, and pictures of it; raises Cancelled where it was cancelled meanwhile."""
        self.done, self.total, self.pictures = done, total, pictures
        if self._stop.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Stops the work at its next report; what has not begun never begins."""
        self._stop.set()

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    def run(self) -> None:
        """Does the work. What goes wrong becomes the message: a user's mistake its sentence, others their kind."""
        try:
            self.report(0, 0)
            self.state = "running"
            self._work(self)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except InputError as error:
            self.message, self.state = " ".join(str(error).split()), "failed"
        except Exception as error:  # one job's failure ends no other
            traceback.print_exc()
            self.message, self.state = f"{type(error).__name__}: {error}", "failed"

    def remove(self) -> None:
        """Cancels the job and removes its folder, at once or when it has stopped."""
        self.cancel()
        if self.over or self.state == "waiting":
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.notes["remove"] = True


class Jobs:
    """The line of jobs, and the thread that does them one after another."""

    def __init__(self, root: Path):
        self.root = root
        self._line: list[Job] = []
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def folder(self) -> Path:
        """A new folder for a job."""
        return Path(tempfile.mkdtemp(prefix="job-", dir=self.root))

    def submit(self, work: Callable[[Job], None], folder: Path) -> Job:
        """Puts a job at the end of the line."""
        job = Job(work, folder)
        with self._change:
            self._line.append(job)
            self._change.notify()
        return job

    def place(self, job: Job) -> int:
        """How many jobs come before this one; 0 for the one that runs."""
        with self._change:
            return self._line.index(job) if job in self._line else 0

    def close(self) -> None:
        """Cancels everything and waits for the running job to stop."""
        with self._change:
            self._closed = True
            for job in self._line:
                job.cancel()
            self._change.notify()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._line or self._closed)
                if not self._line:
                    return
                job = self._line[0]
            job.run()
            with self._change:
                self._line.pop(0)
            if job.notes.get("remove"):
                job.remove()
