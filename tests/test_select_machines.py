"""Several machines that share a selection: KerasTuner's chief and workers around the scheduler."""

import json
import pathlib
import signal
import socket
import threading
import time
import types

import grpc
import pytest
from keras_tuner.engine.trial import TrialStatus
from processes import PYTHON, start, with_package

from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.runs.run_folder import is_busy
from scnas_keras.select import kerastuner, machines
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.jobs import RACE, Job, TrainingFailed
from scnas_keras.select.kerastuner import RaceOracle, run_jobs
from scnas_keras.select.record import Record
from scnas_keras.select.scheduler import Over, Wait
from scnas_keras.select.trials import result_of

HERE = pathlib.Path(__file__).parent
DATA = ("--task=phantom", "--num_phantoms=8", "--num_folds=4", "--patch_size=16,16,16", "--processes=1", "--validation_steps=1")
LENGTH = ("--budget_minutes=4", "--candidates=nnunet,unet", "--machines=2")


def job(name, stage=RACE):
    return Job(stage, f"rung_1/{name}", name, f"training {name}", 10.0, 5.0, 0)


class Planned:
    """A scheduler with a list of jobs that may all run at once."""

    def __init__(self, *names):
        self.left, self.told = [job(name) for name in names], []

    def next(self, busy=()):
        free = [one for one in self.left if one.key not in busy]
        return free[0] if free else Wait() if self.left else Over(None)

    def ended(self, one, overhead=None, failed=None):
        self.told.append((one.network, overhead, failed))
        self.left.remove(one)


@pytest.fixture
def setting(tmp_path):
    return types.SimpleNamespace(
        config=types.SimpleNamespace(seed=3), record=Record(tmp_path, time.monotonic()), run=types.SimpleNamespace(path=tmp_path)
    )


def made(scheduler, setting, lease=None):
    oracle = RaceOracle(scheduler, setting, lease)
    oracle._set_project_dir(str(setting.run.path), "kerastuner")
    return oracle


def end(oracle, trial, **came):
    trial.status = TrialStatus.FAILED if "failed" in came else TrialStatus.COMPLETED
    trial.hyperparameters.values |= came
    if trial.status == TrialStatus.COMPLETED:
        oracle.update_trial(trial.trial_id, {"objective": 0.5})
    oracle.end_trial(trial)


def test_workers_get_different_jobs_and_idle_while_others_run(setting):
    scheduler = Planned("a", "b")
    oracle = made(scheduler, setting)
    first, second, third = (oracle.create_trial(worker) for worker in ("w0", "w1", "w2"))
    assert {first.hyperparameters.values["network"], second.hyperparameters.values["network"]} == {"a", "b"}
    assert third.status == TrialStatus.IDLE
    assert oracle.create_trial("w0").trial_id == first.trial_id  # a worker that began anew has the same
    end(oracle, first, took_besides=4.5)
    end(oracle, second, failed="no memory")
    assert scheduler.told == [("a", 4.5, None), ("b", None, "no memory")]
    assert oracle.create_trial("w2").status == TrialStatus.STOPPED and oracle.error is None


def test_a_worker_that_is_silent_loses_its_job_to_another(setting, monkeypatch):
    now = [100.0]
    oracle = made(Planned("a"), setting, lease=50.0)
    monkeypatch.setattr("scnas_keras.select.kerastuner.time.monotonic", lambda: now[0])
    mine = oracle.create_trial("w0@one")
    now[0] += 40
    oracle.update_trial(mine.trial_id, {})  # a heartbeat
    now[0] += 40
    oracle.keep()
    assert oracle.create_trial("w1@two").status == TrialStatus.IDLE
    now[0] += 20
    oracle.keep()
    other = oracle.create_trial("w1@two")
    assert other.status == TrialStatus.RUNNING and other.hyperparameters.values["key"] == mine.hyperparameters.values["key"]
    assert setting.record.decided.ran_on == {"rung_1/a": "w1@two"}
    now[0] += 60
    oracle.keep()
    assert not oracle.ongoing_trials and not oracle.tuner_ids  # so that a chief who waits for nobody else can end


def test_what_a_chief_before_handed_out_is_taken_by_its_values(setting):
    before = made(Planned("a", "b"), setting)
    late = [before.create_trial(worker) for worker in ("w0", "w1")]
    scheduler = Planned("b", "a")
    oracle = made(scheduler, setting)
    running = oracle.create_trial("w2")
    assert running.trial_id == late[0].trial_id and running.hyperparameters.values["key"] != late[0].hyperparameters.values["key"]
    oracle.update_trial(late[1].trial_id, {"objective": 0.7})  # this chief doesn't know that number
    end(oracle, late[1])
    end(oracle, late[0], failed="no memory")
    assert [told[0] for told in scheduler.told] == ["b", "a"] and scheduler.told[1][2] == "no memory"
    assert oracle.ongoing_trials["w2"] is running


def test_the_genes_of_a_sample_go_along_for_kerastuners_tables(setting):
    sample = Candidate("tuned_1", "tuned", "nnunet", "32", base="nnunet", genes={"loss": "dice", "learning_rate": 0.004, "ema": 0})
    setting.record.decide(candidates=(sample,))
    scheduler = Planned("tuned_1", "unet")
    oracle = made(scheduler, setting)
    first, second = (oracle.create_trial(worker) for worker in ("w0", "w1"))
    own = {name: value for name, value in first.hyperparameters.values.items() if name.startswith("gene_")}
    assert own == {"gene_loss": "dice", "gene_learning_rate": 0.004, "gene_ema": 0}
    assert not any(name.startswith("gene_") for name in second.hyperparameters.values)
    end(oracle, first, took_besides=4.5)
    assert oracle.error is None and scheduler.told == [("tuned_1", 4.5, None)]


def test_a_worker_waits_until_it_sees_the_recipe_of_its_job(setting, monkeypatch):
    """Another machine may be shown an older race.json than the chief has written."""
    place, sample = Candidate("tuned_1", "tuned", "", ""), Candidate("tuned_1", "tuned", "nnunet", "32", flags={"patch_size": (16, 24, 8)})
    setting.record.decide(candidates=(place,))
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        setting.record.decide(candidates=(sample,))

    monkeypatch.setattr("scnas_keras.select.kerastuner.time.sleep", sleep)
    assert kerastuner._candidates(setting.run.path, job("unet")) == (place,) and not slept
    assert kerastuner._candidates(setting.run.path, job("tuned_1")) == (sample,) and len(slept) == 1
    setting.record.decide(candidates=(place,))
    monkeypatch.setattr("scnas_keras.select.kerastuner.time.sleep", slept.append)
    with pytest.raises(ConfigError, match=r"race.json doesn't say what tuned_1 is"):
        kerastuner._candidates(setting.run.path, job("tuned_1"))


def test_an_error_of_the_scheduler_stops_all_and_leaves_the_lock_open(setting):
    class Broken(Planned):
        def ended(self, one, overhead=None, failed=None):
            raise TrainingFailed("nnunet ended with code 2")

    oracle = made(Broken("a", "b"), setting)
    first = oracle.create_trial("w0")
    end(oracle, first, failed="too little memory")
    assert oracle.create_trial("w1").status == TrialStatus.STOPPED
    assert isinstance(oracle.error, TrainingFailed) and not oracle.ongoing_trials


def test_a_clock_that_cannot_be_saved_stops_all_and_leaves_the_lock_open(setting, monkeypatch):
    def full():
        raise OutputError("disk full")

    oracle = made(Planned("a", "b"), setting)
    monkeypatch.setattr(setting.record, "tick", full)
    keeper = threading.Thread(target=oracle.keep, name="keeper")
    keeper.start()
    keeper.join()
    assert oracle.create_trial("w0").status == TrialStatus.STOPPED and isinstance(oracle.error, OutputError)


def test_files_of_kerastuner_that_cannot_be_written_end_nothing(setting, caplog):
    (setting.run.path / "kerastuner").write_text("in the way")
    scheduler = Planned("a")
    oracle = made(scheduler, setting)
    end(oracle, oracle.create_trial("w0"))
    assert scheduler.told == [("a", None, None)] and oracle.error is None and "aren't saved" in caplog.text


def test_many_failures_in_a_row_stop_nothing(setting):
    names = [f"n{i}" for i in range(8)]
    scheduler = Planned(*names)
    oracle = made(scheduler, setting)
    for _ in names:
        end(oracle, oracle.create_trial("w0"), failed="no memory")
    assert oracle.error is None and len(scheduler.told) == len(names)


def test_what_a_worker_measured_is_read_of_a_run_without_a_budget(tmp_path):
    """A worker's first run counts epochs; without it no machine could help."""
    folder = tmp_path / "machines" / "one@here"
    folder.mkdir(parents=True)
    (folder / "validation.csv").write_text("case,core\na,0.5\n")
    result = {"mean_dice": 0.5, "dice": {"core": 0.5}, "parameters": 10, "multiply_adds": 10, "updates": 3}
    result |= {"seconds_per_step": 0.25, "seconds_per_scan": 1.0}
    (folder / "summary.json").write_text(json.dumps({"flags": {"budget_minutes": None}, "result": result}))
    assert machines.seconds_per_step(tmp_path, "one@here") == 0.25
    assert machines.seconds_per_step(tmp_path, "two@here") is None


def test_a_slower_machine_trains_longer(setting, monkeypatch):
    steps = {"w0@fast": 0.2, "w1@slow": 0.5}
    monkeypatch.setattr(machines, "seconds_per_step", lambda run, name: steps.get(name))
    oracle = made(Planned("a", "b", "c"), setting, lease=50.0)
    seconds = [oracle.create_trial(name).hyperparameters.values["seconds"] for name in ("w0@fast", "w1@slow", "w2@unknown")]
    assert seconds == [10.0, 25.0, 10.0]
    assert setting.record.decided.machines == steps


def test_a_lone_process_runs_all_and_raises_what_went_wrong(setting, monkeypatch):
    ran = []
    monkeypatch.setattr("scnas_keras.select.kerastuner.read_decided", lambda run: types.SimpleNamespace(candidates=()))
    monkeypatch.setattr("scnas_keras.select.kerastuner.run_job", lambda one, *rest: ran.append(one.network))
    setting.score = lambda one: 0.5
    assert run_jobs(setting, Planned("a", "b"), machines.ALONE) == Over(None)
    assert ran == ["a", "b"]

    def broken(one, *rest):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("scnas_keras.select.kerastuner.run_job", broken)
    with pytest.raises(ZeroDivisionError):
        run_jobs(setting, Planned("a"), machines.ALONE)


def test_a_worker_whose_chief_goes_while_it_is_asked_asks_again_until_the_selection_is_over(setting, monkeypatch):
    """And ends well if the report has been written meanwhile."""
    asked = []

    def search(trainings):
        asked.append(trainings)
        raise grpc.RpcError() if len(asked) < 3 else kerastuner.SelectionEnded()

    monkeypatch.setattr(kerastuner, "Trainings", lambda oracle, setting, role: role)
    monkeypatch.setattr(kerastuner, "_search", search)
    kerastuner.work(setting)
    assert asked == [machines.WORKER] * 3


@pytest.mark.parametrize(
    "variables, found",
    [
        ({}, machines.ALONE),
        ({"ID": "chief", "PORT": "8000"}, machines.CHIEF),
        ({"ID": "gpu_3", "PORT": "8000", "IP": "10.0.0.1"}, machines.WORKER),
        ({"ID": "gpu_3"}, "KERASTUNER_ORACLE_PORT isn't set"),
        ({"IP": "10.0.0.1"}, "KERASTUNER_TUNER_ID isn't set"),
        ({"ID": "chief", "PORT": "http"}, "from 1 to 65535"),
        ({"ID": "chief", "PORT": "99999"}, "from 1 to 65535"),
        ({"ID": "../one", "PORT": "8000"}, "names a folder"),
        ({"ID": "chief_2", "PORT": "8000"}, "for the chief's"),
    ],
)
def test_roles(monkeypatch, variables, found):
    names = {"ID": "KERASTUNER_TUNER_ID", "PORT": "KERASTUNER_ORACLE_PORT", "IP": "KERASTUNER_ORACLE_IP"}
    for short, name in names.items():
        monkeypatch.delenv(name, raising=False)
        if short in variables:
            monkeypatch.setenv(name, variables[short])
    if " " in found:
        with pytest.raises(ConfigError, match=found):
            machines.role()
        return
    assert machines.role() == found
    if found == machines.CHIEF:
        assert machines.place() == ("127.0.0.1", 8000)


def test_a_port_in_use_and_a_foreign_address_are_refused(monkeypatch, caplog):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
        assert machines.chief_answers()
        with pytest.raises(ConfigError, match="can't listen"):
            machines.check_port()
    machines.check_port()
    assert not machines.chief_answers() and "password" not in caplog.text
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "0.0.0.0")
    machines.check_port()
    assert "without a password" in caplog.text
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "192.0.2.1")  # kept free for documents
    with pytest.raises(ConfigError, match="can't listen"):
        machines.check_port()


class Processes:
    """A chief and workers of one selection on this machine."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.folder, self.all = folder, []

    def begin(self, name, *flags):
        places = (f"--workdir={self.folder / 'run'}", f"--cache_dir={self.folder / 'cache'}")
        environment = with_package(KERASTUNER_TUNER_ID=name, KERASTUNER_ORACLE_PORT=self.port)
        process = start(PYTHON, HERE / "small_select.py", *DATA, *places, *LENGTH, *flags, env=environment, cwd=self.folder)
        self.all.append(process)
        return process

    def wait(self, process, code=0):
        output, errors = process.communicate(timeout=500)
        assert process.returncode == code, errors[-3000:]
        return output + errors


@pytest.fixture
def processes(tmp_path):
    found = Processes(tmp_path)
    yield found
    for process in found.all:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def until(there, *alive):
    end = time.monotonic() + 240
    while not there():
        assert time.monotonic() < end and all(process.poll() is None for process in alive), [p.communicate() for p in alive if p.poll()]
        time.sleep(0.1)


def busy_job(run):
    """The folder of a training run that runs; on a slow machine there is time for finals only."""
    return next((folder for folder in [*run.glob("race/*/*"), *run.glob("finals/*")] if folder.is_dir() and is_busy(folder)), None)


def report(folder):
    return json.loads((folder / "run" / "select.json").read_text())


@pytest.mark.nightly
def test_two_workers_share_trials_and_one_that_is_killed_loses_its_own(processes, tmp_path):
    chief = processes.begin("chief")
    workers = [processes.begin("one"), processes.begin("two")]
    until(lambda: busy_job(tmp_path / "run"), chief, *workers)
    record = json.loads((tmp_path / "run" / "race.json").read_text())
    victim = workers[[name.partition("@")[0] for name in record["ran_on"].values()][0] == "two"]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    survivor = next(worker for worker in workers if worker is not victim)
    assert "no more training runs" in processes.wait(survivor)
    assert "not heard of" in processes.wait(chief)
    found = report(tmp_path)
    assert not any(row["failed"] for row in found["trials"]) and found["kept"] in {"unet", "nnunet_seed_0"}


@pytest.mark.nightly
def test_a_chief_that_is_killed_is_begun_again(processes, tmp_path):
    chief, worker = processes.begin("chief"), processes.begin("one")
    until(lambda: busy_job(tmp_path / "run"), chief, worker)
    first = busy_job(tmp_path / "run")
    chief.send_signal(signal.SIGKILL)
    chief.communicate()
    until((first / "summary.json").is_file, worker)
    begun = result_of(first)
    again = processes.begin("chief")
    processes.wait(again)
    assert "waiting for the chief" in processes.wait(worker)
    assert result_of(first) == begun and not any(row["failed"] for row in report(tmp_path)["trials"])


@pytest.mark.nightly
def test_workers_with_other_flags_data_or_version_are_refused(processes, tmp_path):
    chief, run = processes.begin("chief"), tmp_path / "run"
    until((run / "race.json").is_file, chief)
    assert "--seed: 0 there, 5 here" in processes.wait(processes.begin("one", "--seed=5"), code=2)
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({case: dict.fromkeys(files, "other") for case, files in data.items()}))
    assert "begun with other data" in processes.wait(processes.begin("one"), code=2)
    (run / "data.json").write_text(json.dumps(data))
    record = json.loads((run / "race.json").read_text())
    chief.send_signal(signal.SIGKILL)
    chief.communicate()
    (run / "race.json").write_text(json.dumps(record | {"version": "0.0.1"}))
    assert "the chief runs scnas_keras 0.0.1" in processes.wait(processes.begin("one"), code=2)
