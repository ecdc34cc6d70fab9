import threading
import time

import numpy as np
import pytest

from jaxanim.errors import InputError
from sample.page.jobs import Job, Jobs
from sample.page.work import so_far


@pytest.fixture
def jobs(tmp_path):
    made = Jobs(tmp_path)
    yield made
    made.close()


def until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_one_runs_and_the_others_know_their_place(jobs):
    go, order = threading.Event(), []

    def work(name):
        def run(job):
            go.wait(10)
            order.append(name)

        return run

    made = [jobs.submit(work(name), jobs.folder()) for name in "abc"]
    until(lambda: made[0].state == "running")
    assert [job.state for job in made] == ["running", "waiting", "waiting"]
    assert [jobs.place(job) for job in made] == [0, 1, 2]
    go.set()
    until(lambda: all(job.over for job in made))
    assert order == ["a", "b", "c"]


def test_a_running_job_stops_at_its_next_report_and_a_waiting_one_never_begins(jobs):
    steps = []

    def work(job):
        for step in range(1000):
            steps.append(step)
            job.report(step, 1000)
            time.sleep(0.005)

    running, waiting = (jobs.submit(work, jobs.folder()) for _ in range(2))
    until(lambda: len(steps) > 3)
    waiting.cancel()
    running.cancel()
    until(lambda: running.over and waiting.over)
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    assert len(steps) < 1000
    assert steps.count(0) == 1


def test_mistakes_have_their_sentence_and_end_no_other_job(jobs, capsys):
    def mistaken(job):
        raise InputError("reference is blue; it should be green")

    def broken(job):
        raise KeyError("x")

    made = [jobs.submit(work, jobs.folder()) for work in (mistaken, broken, lambda job: None)]
    until(lambda: made[2].over)
    assert [job.state for job in made] == ["failed", "failed", "done"]
    assert made[0].message == "reference is blue; it should be green"
    assert made[1].message.startswith("KeyError")


def test_a_removed_job_takes_its_folder_with_it_when_it_has_stopped(jobs):
    go = threading.Event()

    def work(job):
        (job.folder / "half").write_text("x")
        go.wait(10)
        job.report(1, 2)

    job = jobs.submit(work, jobs.folder())
    until(lambda: (job.folder / "half").exists())
    job.remove()
    assert job.folder.exists()
    go.set()
    until(lambda: not job.folder.exists())
    assert job.state == "cancelled"


def test_about_ten_steps_show_a_strip_of_what_there_is(tmp_path):
    job = Job(lambda job: None, tmp_path)
    levels = np.linspace(-1, 1, 9, dtype=np.float32)
    pictures = np.broadcast_to(levels[:, None, None, None], (9, 4, 6, 3))
    shown = []
    for done in range(1, 26):
        job.report(done, 25, pictures)
        if (strip := so_far(job)) is not None:
            shown.append(done)
    assert shown == list(range(2, 26, 2))
    # Four of the nine, the first and the last among them, side by side and large enough to be seen.
    job.report(2, 25, pictures)
    strip = so_far(job)
    assert strip.shape == (4 * 64, 4 * 6 * 64, 3)
    np.testing.assert_array_equal(strip[0, :: 6 * 64, 0], [0, 96, 159, 255])
    job.report(4, 25, None)
    assert so_far(job) is None
