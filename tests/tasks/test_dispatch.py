"""Jobs reach workers that may die, and their outcomes come in order; the workers here do nothing."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path

import pytest

from xray_denoise.errors import CannotRunError
from xray_denoise.tasks import dispatch
from xray_denoise.tasks.dispatch import (
    JOBS_PER_WORKER,
    MAX_DEATHS,
    MAX_FAILED_STARTS,
    WINDOW,
    Dispatch,
    WorkerLostError,
)
from xray_denoise.tasks.jobs import Job


class Hall:
    """Hires puppets; `act` is called after each job that begins, and finishes or kills as a test likes."""

    def __init__(self, act: "Callable[[Hall, Puppet, int], None]") -> None:
        self.act = act
        self.workers: list[Puppet] = []
        self.begun: list[int] = []
        self.false_starts = 0

    def run(
        self, jobs: int, workers: int = 2, is_last: Callable[[str], bool] = lambda _: False
    ) -> Generator[str, None, None]:
        self.dispatch: Dispatch[int, str] = Dispatch(
            range(jobs), lambda: Puppet(self), workers, is_last=is_last, give_up=lambda job, reason: f"{job}: {reason}"
        )
        return self.dispatch.outcomes(lambda outcome: outcome)


class Puppet:
    def __init__(self, hall: Hall) -> None:
        self.hall, self.jobs, self.stopped = hall, dict[int, Future[str]](), False
        hall.workers.append(self)

    def start(self) -> Future[None]:
        future: Future[None] = Future()
        if self.hall.false_starts:
            self.hall.false_starts -= 1
            future.set_exception(WorkerLostError("at birth"))
        else:
            future.set_result(None)
        return future

    def submit(self, job: int, *, again: bool) -> Future[str]:
        assert again == (job in self.hall.begun)
        self.hall.begun.append(job)
        future = self.jobs[job] = Future()
        assert len(self.jobs) <= JOBS_PER_WORKER
        self.hall.act(self.hall, self, job)
        return future

    def finish(self, job: int) -> None:
        self.jobs.pop(job).set_result(str(job))

    def die(self) -> None:
        while self.jobs:
            self.jobs.popitem()[1].set_exception(WorkerLostError("killed"))

    def stop(self) -> None:
        self.stopped = True


def at_once(_: Hall, puppet: Puppet, job: int) -> None:
    puppet.finish(job)


def names(numbers: range) -> list[str]:
    return [str(number) for number in numbers]


def test_outcomes_come_in_the_order_of_the_jobs() -> None:
    def backwards(hall: Hall, *_: object) -> None:
        pending = [(job, one) for one in hall.workers for job in one.jobs]
        if len(pending) == 2 * JOBS_PER_WORKER:
            for job, one in sorted(pending, reverse=True):
                one.finish(job)

    hall = Hall(backwards)
    assert list(hall.run(4 * JOBS_PER_WORKER)) == names(range(4 * JOBS_PER_WORKER))
    assert all(worker.stopped for worker in hall.workers)


def test_few_jobs_are_in_flight_and_few_outcomes_wait() -> None:
    def but_the_first(hall: Hall, puppet: Puppet, job: int) -> None:
        if job:
            puppet.finish(job)
        if job == 2 * WINDOW - 1:  # two workers may run so far ahead, and no farther
            next(one for one in hall.workers if 0 in one.jobs).finish(0)

    hall = Hall(but_the_first)
    running = hall.run(1000)
    assert next(running) == "0"
    assert len(hall.begun) == 2 * WINDOW
    assert list(running) == names(range(1, 1000))


def test_jobs_of_a_worker_that_dies_are_done_by_others() -> None:
    def die_once(hall: Hall, puppet: Puppet, job: int) -> None:
        if len(hall.begun) == 2 * JOBS_PER_WORKER:
            hall.workers[0].die()
        if hall.workers[0].jobs and puppet is hall.workers[0]:
            return
        for one in hall.workers[1:]:
            for known in list(one.jobs):
                one.finish(known)

    hall = Hall(die_once)
    assert list(hall.run(20)) == names(range(20))
    assert hall.dispatch.lost == 1
    assert hall.workers[0].stopped


def test_a_job_that_kills_is_found_out_and_costs_no_other() -> None:
    beside: list[int] = []

    def act(hall: Hall, puppet: Puppet, job: int) -> None:
        if job == 5:
            beside.append(len(puppet.jobs) - 1)
            puppet.die()
        elif hall.begun.count(job) > 1:
            assert len(puppet.jobs) == 1, "a suspect is alone"
            puppet.finish(job)
        elif len(puppet.jobs) == JOBS_PER_WORKER or job > 20:
            for known in list(puppet.jobs):
                puppet.finish(known)

    hall = Hall(act)
    assert list(hall.run(40)) == [*names(range(5)), "5: killed", *names(range(6, 40))]
    assert hall.dispatch.lost == MAX_DEATHS
    assert beside[0] > 0, "the first time it took others with it"
    assert beside[1:] == [0] * (MAX_DEATHS - 1)


def test_nothing_is_begun_after_the_last() -> None:
    hall = Hall(at_once)
    told = list(hall.run(1000, is_last=lambda outcome: outcome == "3"))
    assert told == names(range(len(told)))
    assert 4 <= len(told) <= 4 + 2 * JOBS_PER_WORKER


def hold_back(hall: Hall, puppet: Puppet, job: int) -> None:
    """Finish a job when the next one begins, so that some are always under way."""
    for known in [known for known in puppet.jobs if known < job]:
        puppet.finish(known)
    if len(hall.begun) % 10 == 0:
        puppet.finish(job)


def finish_all(hall: Hall) -> None:
    for one in hall.workers:
        for job in list(one.jobs):
            one.finish(job)


def test_after_ctrl_c_what_was_begun_is_finished_and_told() -> None:
    hall = Hall(hold_back)
    running = hall.run(1000)
    told = [next(running) for _ in range(10)]
    finish_all(hall)
    told.append(running.throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        told.extend(running)
    assert sorted(told) == sorted(map(str, hall.begun))
    assert all(worker.stopped for worker in hall.workers)


def test_closing_finishes_what_was_begun() -> None:
    hall = Hall(hold_back)
    running = hall.run(1000)
    next(running)
    finish_all(hall)
    begun = len(hall.begun)
    running.close()
    assert len(hall.begun) == begun
    assert all(worker.stopped and not worker.jobs for worker in hall.workers)


def test_workers_that_die_before_they_are_ready_end_the_run() -> None:
    hall = Hall(at_once)
    hall.false_starts = MAX_FAILED_STARTS - 1
    assert list(hall.run(9)) == names(range(9))
    hall.false_starts = 100
    with pytest.raises(CannotRunError, match="at birth"):
        list(hall.run(9))


def test_a_run_without_workers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(Puppet):
        def start(self) -> Future[None]:
            return Future()

    monkeypatch.setattr(dispatch, "START_TIMEOUT", 0.05)
    hall = Hall(at_once)
    lonely: Dispatch[int, str] = Dispatch(
        range(3), lambda: Never(hall), 2, is_last=lambda _: False, give_up=lambda job, _: str(job)
    )
    with pytest.raises(CannotRunError, match="no worker"):
        list(lonely.outcomes(str))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the resident size from /proc")
def test_memory_does_not_grow_with_the_number_of_files() -> None:
    """100 000 planned jobs on 200 workers: the resident size after 10 000 outcomes and at the end."""

    def resident() -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    class Idle:
        def start(self) -> Future[None]:
            return settled(None)

        def submit(self, job: Job, *, again: bool) -> Future[str]:
            assert not again
            return settled(job.target.name)

        def stop(self) -> None:
            pass

    def settled(value: object) -> Future:  # type: ignore[type-arg]
        future: Future[object] = Future()
        future.set_result(value)
        return future

    jobs = [Job(Path(f"in/{number:06d}.dcm"), Path(f"out/{number:06d}.dcm")) for number in range(100_000)]
    running: Dispatch[Job, str] = Dispatch(jobs, Idle, 200, is_last=lambda _: False, give_up=lambda job, _: str(job))
    early = 0
    for number, name in enumerate(running.outcomes(str)):
        assert name == f"{number:06d}.dcm"
        if number == 10_000:
            early = resident()
    assert number == 99_999
    assert resident() - early < 8 * 1024
