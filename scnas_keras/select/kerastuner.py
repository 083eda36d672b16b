"""KerasTuner's chief and workers around the scheduler, which decides; run folders and race.json are the truth, not KerasTuner's files.

What KerasTuner leaves open is here: a worker that is killed loses its job after a while instead of keeping the others waiting; nothing
raises inside of the oracle's lock, which would stay closed; workers wait for a chief that begins anew.
"""

import contextlib
import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import keras_tuner
from absl import logging
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from scnas_keras.errors import ConfigError, UserError
from scnas_keras.runs.run_folder import SUMMARY
from scnas_keras.select import machines
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.jobs import Job, TrainingFailed, run_job
from scnas_keras.select.record import FILE, read_decided
from scnas_keras.select.scheduler import Over, Scheduler, Wait
from scnas_keras.select.setting import NO_SCORE, Setting

_KEEP_EVERY = 2.0  # seconds
_PROJECT = "kerastuner"
_OBJECTIVE = "objective"
_FAILED, _BESIDES = "failed", "took_besides"
"""What came of a job, written beside its values."""
_GENE = "gene_"


class RaceOracle(keras_tuner.Oracle):
    """Hands out what the scheduler says.

    Args:
        scheduler: of the selection.
        setting: of the same.
        lease: seconds; None where jobs run in this very process.

    Attributes:
        error: why it stops, if that isn't the selection's end.
    """

    def __init__(self, scheduler: Scheduler, setting: Setting, lease: float | None):
        super().__init__(
            objective=keras_tuner.Objective(_OBJECTIVE, "max"),
            max_consecutive_failed_trials=10**9,  # it would raise inside of its lock
            seed=setting.config.seed + 1,  # 0 is any
        )
        self.verbose = 0
        self.error: Exception | None = None
        self._scheduler, self._setting, self._lease = scheduler, setting, lease
        self._heard: dict[str, float] = {}
        self._asks = ""

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str):
        self._heard[tuner_id], self._asks = time.monotonic(), tuner_id
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED:
            self._heard.pop(tuner_id)
        return trial

    def populate_space(self, trial_id: str):
        try:
            if self.error is not None:
                return {"status": TrialStatus.STOPPED}
            answer = self._scheduler.next({trial.hyperparameters.values["key"] for trial in self.ongoing_trials.values()})
            if isinstance(answer, Job):
                return {"status": TrialStatus.RUNNING, "values": self._values(self._for_asking(answer))}
            return {"status": TrialStatus.IDLE if isinstance(answer, Wait) else TrialStatus.STOPPED}
        except Exception as error:  # noqa: BLE001  whoever began the search raises it
            self.error = error
            return {"status": TrialStatus.STOPPED}

    def save(self) -> None:
        with _for_tools():
            super().save()

    def _save_trial(self, trial) -> None:
        with _for_tools():
            super()._save_trial(trial)

    def score_trial(self, trial) -> None:
        trial.score = trial.metrics.get_last_value(_OBJECTIVE)

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics, step: int = 0):
        """Without metrics: the worker is still at it."""
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._heard[tuner_id] = time.monotonic()
        if trial_id in self.trials and metrics:
            return super().update_trial(trial_id, metrics, step)
        return self.get_trial(trial_id)

    def get_trial(self, trial_id: str):
        """Also of those that a chief before this one handed out: what came of them is in their folders."""
        return self.trials.get(trial_id) or keras_tuner.engine.trial.Trial(self.get_space(), trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial) -> None:
        try:
            values = dict(trial.hyperparameters.values)
            failed, overhead = values.pop(_FAILED, None), values.pop(_BESIDES, None)
            job = _job(values)
            mine = self.trials.get(trial.trial_id)
            if mine is not None and mine.hyperparameters.values["key"] == job.key:
                super().end_trial(trial)
            self._scheduler.ended(job, overhead, failed)
        except Exception as error:  # noqa: BLE001
            self.error = self.error or error
            for tuner_id in [own for own, ongoing in self.ongoing_trials.items() if ongoing.trial_id == trial.trial_id]:
                del self.ongoing_trials[tuner_id]

    @keras_tuner.synchronized
    def keep(self) -> None:
        """Saves the clock, and takes jobs from workers that have gone."""
        try:
            self._setting.record.tick()
        except Exception as error:  # noqa: BLE001  such as a full disk; raised in here it would leave the lock closed
            self.error = self.error or error
        if self._lease is None:
            return
        for tuner_id, heard in list(self._heard.items()):
            if time.monotonic() - heard > self._lease:
                trial = self.ongoing_trials.pop(tuner_id, None)
                self.tuner_ids.discard(tuner_id)
                del self._heard[tuner_id]
                job = f"; {trial.hyperparameters.values['key']} goes to another" if trial else ""
                logging.warning("%s: not heard of for %.0f s%s", tuner_id, self._lease, job)

    def _values(self, job: Job) -> dict[str, Any]:
        """A job as hyperparameters; the genes of its candidate are for KerasTuner's tables only."""
        genes = next((one.genes for one in self._setting.record.decided.candidates if one.name == job.network), {})
        return dataclasses.asdict(job) | {f"{_GENE}{name}": value for name, value in genes.items()}

    def _for_asking(self, job: Job) -> Job:
        """The job as the worker that asks has it: longer, the slower its machine is. It is told in the log."""
        if self._lease is None:
            return job
        record, name = self._setting.record, self._asks
        measured = dict(record.decided.machines)
        if name not in measured and (step := machines.seconds_per_step(self._setting.run.path, name)):
            measured[name] = step
            record.decide(machines=measured)
        slow = machines.slowness(name, measured)
        record.decide(ran_on={**record.decided.ran_on, job.key: name})
        logging.info("%s has %s%s", name, job.title, "" if slow == 1 else f", {slow:.2f} times as long as the first machine")
        return dataclasses.replace(job, seconds=round(job.seconds * slow, 1))


class Trainings(BaseTuner):
    """Runs jobs, one after the other, as processes of their own.

    Args:
        oracle: of this process; a worker's only forwards to the chief's.
        setting: of the selection.
        role: of this process.
    """

    def __init__(self, oracle: keras_tuner.Oracle, setting: Setting, role: str):
        self._setting, self._role, self._worked = setting, role, True
        project = f"{_PROJECT}/{machines.own_name()}" if role == machines.WORKER else _PROJECT
        super().__init__(oracle, directory=str(setting.run.path), project_name=project, overwrite=True)
        if role == machines.WORKER:
            self.tuner_id = machines.own_name()

    def save(self) -> None:
        with _for_tools():
            super().save()

    def pre_create_trial(self) -> None:
        if not self._worked:
            time.sleep(machines.PAUSE)
        self._worked = False
        self._await_chief()

    def run_trial(self, trial, *args, **kwargs):
        self._worked, values = True, trial.hyperparameters.values
        job, run = _job(values), self._setting.run.path
        try:
            with self._heartbeat(trial.trial_id):
                overhead = run_job(job, self._setting.config, run, _candidates(run, job))
        except TrainingFailed as error:
            values[_FAILED] = str(error)
            self._await_chief()
            return {_OBJECTIVE: NO_SCORE}  # of a FailedTrialError it would print the traceback
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        if overhead is not None:
            values[_BESIDES] = overhead
        self._await_chief()
        return {_OBJECTIVE: self._setting.score(job)}

    @contextlib.contextmanager
    def _heartbeat(self, trial_id: str) -> Iterator[None]:
        """Tells the chief now and then that the job is being run."""
        if self._role != machines.WORKER:
            yield
            return

        def beat() -> None:
            if machines.chief_answers():
                self.oracle.update_trial(trial_id, {})

        with repeated(beat, machines.HEARTBEAT):
            yield

    def _await_chief(self) -> None:
        """Returns once the chief answers; FatalError ends this worker if the selection is over."""
        told = False
        while self._role == machines.WORKER and not machines.chief_answers():
            if self._setting.run[SUMMARY].is_file():
                raise keras_tuner.errors.FatalError("over") from SelectionEnded()
            if not told:
                logging.info("waiting for the chief at %s:%d", *machines.place())
            told = True
            time.sleep(machines.PAUSE)


class SelectionEnded(UserError):
    """The chief has finished while this worker was away."""


def run_jobs(setting: Setting, scheduler: Scheduler, role: str) -> Over:
    """Runs all jobs of a selection here, or hands them out; returns when all have ended.

    Raises:
        UserError: what the scheduler, a job of the default network or a file that can't be written raised.
        SystemExit, Stopped: a signal came.
    """
    oracle = RaceOracle(scheduler, setting, machines.LEASE if role == machines.CHIEF else None)
    with repeated(oracle.keep, _KEEP_EVERY):
        _search(Trainings(oracle, setting, role))
    if oracle.error is not None:
        raise oracle.error
    over = scheduler.next()
    assert isinstance(over, Over), over
    return over


def work(setting: Setting) -> None:
    """Runs jobs of a chief until there are none.

    Raises:
        UserError: a file can't be written.
        SystemExit, Stopped: a signal came.
    """
    with contextlib.suppress(SelectionEnded):
        while True:
            try:
                return _search(Trainings(keras_tuner.Oracle(keras_tuner.Objective(_OBJECTIVE, "max")), setting, machines.WORKER))
            except grpc.RpcError as error:  # the chief went while it was asked; what has been trained is in its folder
                logging.info("the chief no longer answers (%s)", _status(error))


@contextlib.contextmanager
def repeated(call: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls something in a thread now and then, while entered."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(seconds):
            try:
                call()
            except Exception as error:  # noqa: BLE001  the next time may do
                logging.warning("%s", error)

    thread = threading.Thread(target=repeat, name=f"every {seconds:g} s", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def _for_tools() -> Iterator[None]:
    """Lets KerasTuner write a file that nothing here reads; a disk that is full shows in what is needed."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        logging.warning("KerasTuner's files aren't saved: %s", error)


def _job(values: Mapping[str, Any]) -> Job:
    """That of a trial's hyperparameters."""
    return Job(**{name: value for name, value in values.items() if not name.startswith(_GENE)})


def _candidates(run: pathlib.Path, job: Job) -> tuple[Candidate, ...]:
    """Those of the race, once the job's is among them with its recipe: a shared folder may show other machines an older race.json.

    Raises:
        ConfigError: it shows none.
    """
    for _ in range(round(machines.LEASE / machines.PAUSE)):
        found = read_decided(run).candidates
        if all(one.is_drawn for one in found if one.name == job.network):
            return found
        time.sleep(machines.PAUSE)
    raise ConfigError(f"{run / FILE} doesn't say what {job.network} is. All machines must see the same --workdir; give the command again.")


def _status(error: grpc.RpcError) -> str:
    return error.code().name if isinstance(error, grpc.Call) else type(error).__name__


def _search(tuner: Trainings) -> None:
    try:
        tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise (error.__cause__ or error) from None
