"""What a run costs, told and checked before its first step."""

import dataclasses
import json
import re
import types

import pytest
from some_spaces import SCNAS

from scnas_keras.architectures.registry import footprint
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.documents import load
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.machine.distribution import Cluster
from scnas_keras.networks.cost import NetworkCost
from scnas_keras.planning.topology import fixed_topology
from scnas_keras.runs import preflight
from scnas_keras.runs.preflight import estimate
from scnas_keras.search import SearchConfig
from scnas_keras.search import cost as search_costs
from scnas_keras.search.config import FAST, LOW_MEMORY
from scnas_keras.search.cost import COST, SearchCost, search_cost

PATCH, TRANSPOSED = (96, 64, 80), (2, 0, 1)
SUPERNET = SupernetNetwork(SCNAS, 48)


def fold(batch_size=4):
    """As much of a fold as its cost depends on; --patch_size=64,80,96 by its axes' order."""
    return types.SimpleNamespace(
        patch_size=PATCH,
        configuration=types.SimpleNamespace(batch_size=batch_size, spacing=(1.0, 1.0, 1.0), topology=fixed_topology(PATCH, 3)),
        task=types.SimpleNamespace(channel_names=("CT",), num_classes=3),
        plans=types.SimpleNamespace(transpose_forward=TRANSPOSED),
    )


def cluster(replicas=1, workers=1, on_gpu=False):
    return Cluster(types.SimpleNamespace(num_replicas_in_sync=replicas), 0, workers, on_gpu)


@pytest.fixture
def free(monkeypatch):
    """Sets the GiB that a run may take."""

    def set_free(gibibytes):
        for module in (preflight, search_costs):
            monkeypatch.setattr(module, "free_gibibytes", lambda cluster: gibibytes)

    return set_free


def cost(run, of=None, network=SUPERNET, by=None, **flags):
    return search_cost(SearchConfig(**flags), of or fold(), network, {COST: run / "cost.json"}, by or cluster())


def refused(tmp_path, **arguments):
    """GiB that each remedy takes, by flag."""
    with pytest.raises(ConfigError, match="patches of 96x64x80 voxels") as caught:
        cost(tmp_path, **arguments)
    return {flag: (value, float(gibibytes)) for flag, value, gibibytes in re.findall(r"--(\w+)=(\S+) takes (\d+\.\d)", str(caught.value))}


def test_auto_takes_the_fast_mode_if_it_fits(tmp_path, free):
    needs = cost(tmp_path).gibibytes
    assert needs[LOW_MEMORY] < needs[FAST] == estimate(SUPERNET, fold(), 4)
    for available, mode in ((needs[FAST], FAST), (needs[FAST] - 0.01, LOW_MEMORY), (None, FAST)):
        free(available)
        assert cost(tmp_path).memory_mode == mode


def test_each_remedy_is_enough_and_none_that_is_not_is_named(tmp_path, free):
    free(0.6 * estimate(SUPERNET, fold(), 4))
    remedies = refused(tmp_path, memory_mode=FAST)
    assert remedies.keys() == {"memory_mode", "accumulate", "batch_size", "patch_size", "stem_channels"}
    assert remedies["accumulate"] == ("4", remedies["batch_size"][1])
    limit = preflight.free_gibibytes(None)
    assert all(gibibytes <= limit + 0.05 for _, gibibytes in remedies.values())
    assert remedies["batch_size"] == ("1", pytest.approx(estimate(SUPERNET, fold(), 1), abs=0.05))
    free(estimate(SUPERNET, fold(), 1) - 0.01)
    assert refused(tmp_path, memory_mode=FAST).keys() == {"patch_size"}
    free(1.0)
    assert not refused(tmp_path)


def test_a_smaller_patch_is_given_in_the_order_in_which_the_flag_is_read(tmp_path, free):
    free(estimate(SUPERNET, fold(), 4, (88, 64, 80)))
    value, gibibytes = refused(tmp_path, memory_mode=FAST)["patch_size"]
    assert value == "64,80,88" and tuple(int(value.split(",")[axis]) for axis in TRANSPOSED) == (88, 64, 80)
    assert gibibytes == pytest.approx(estimate(SUPERNET, fold(), 4, (88, 64, 80)), abs=0.05)


def test_logical_devices_share_the_hosts_memory_and_gpus_do_not(tmp_path):
    one = cost(tmp_path, fold(3)).gibibytes
    assert cost(tmp_path, fold(3), by=cluster(2)).gibibytes[FAST] == estimate(SUPERNET, fold(), 4) > one[FAST]
    assert cost(tmp_path, fold(3), by=cluster(2, on_gpu=True)).gibibytes[FAST] == estimate(SUPERNET, fold(), 2)


def test_of_a_batch_in_slices_one_slice_is_in_memory(tmp_path, free):
    whole, sliced = cost(tmp_path), cost(tmp_path, accumulate=2)
    assert sliced.gibibytes[FAST] == estimate(SUPERNET, fold(), 2) and 2 * sliced.multiply_adds == whole.multiply_adds
    assert cost(tmp_path, by=cluster(2, on_gpu=True), accumulate=4).gibibytes[FAST] == estimate(SUPERNET, fold(), 1)
    free(estimate(SUPERNET, fold(), 1) + 0.01)
    assert cost(tmp_path, accumulate=8, memory_mode=FAST).memory_mode == FAST  # as many slices as patches
    with pytest.raises(ConfigError, match="--accumulate=3: 4 patches a device"):
        cost(tmp_path, accumulate=3)


def test_the_smallest_batch_has_a_patch_for_each_device(tmp_path, free):
    free(estimate(SUPERNET, fold(), 2) + 0.01)
    assert refused(tmp_path, by=cluster(2), memory_mode=FAST)["batch_size"][0] == "2"


def test_a_batch_that_is_raised_is_told_once(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    cost(tmp_path, fold(3), by=cluster(2))
    assert caplog.text.count("batch 4 instead of 3") == 1


def test_the_eigenvalue_of_all_operations_counts(tmp_path):
    needs = cost(tmp_path, hessian_every=5).gibibytes
    assert needs[FAST] == estimate(SupernetNetwork(SCNAS, 48, len(SCNAS.operations)), fold(), 4)
    assert cost(tmp_path, hessian_every=5).multiply_adds == cost(tmp_path).multiply_adds


def test_a_resumed_search_keeps_its_mode_and_is_not_refused(tmp_path, free, caplog):
    dataclasses.replace(cost(tmp_path), memory_mode=LOW_MEMORY).save({COST: tmp_path / "cost.json"})
    assert cost(tmp_path).memory_mode == LOW_MEMORY
    free(1.0)
    assert cost(tmp_path).memory_mode == LOW_MEMORY
    assert "1.0 GiB are free" in caplog.text


def test_a_training_is_refused_before_and_warned_of_when_it_goes_on(tmp_path, free, monkeypatch, caplog):
    network = DerivedNetwork(SCNAS, 64)
    costs = types.SimpleNamespace(parameters=1e6, multiply_adds=1e9)
    run = {"checkpoint": tmp_path / "checkpoint"}
    free(2.0)
    with pytest.raises(ConfigError, match="train this genotype network, and 2.0 GiB are free. Give one"):
        preflight.check_training(fold(), network, costs, run, cluster())
    hand_made = r"Give one of these .*--width=\d+ \(in crossval --baseline_width=\d+\) takes"
    free(estimate(footprint("r2_unet", 32), fold(1), 1))
    with pytest.raises(ConfigError, match=hand_made):
        preflight.check_training(fold(1), footprint("r2_unet"), costs, run, cluster())
    free(2.0)
    (tmp_path / "checkpoint").mkdir()
    preflight.check_training(fold(), network, costs, run, cluster())
    assert "2.0 GiB are free" in caplog.text


@pytest.mark.parametrize(
    "change, message",
    [
        ({"memory_mode": "auto"}, 'memory_mode: found "auto", expected one of "fast", "low_memory".'),
        ({"memory_mode": None}, "memory_mode: found null, expected a word in quotes."),
        ({"parameters": -1}, "parameters: found -1, expected a whole number >= 0."),
        ({"multiply_adds": "5"}, 'multiply_adds: found "5", expected a whole number.'),
        ({"gibibytes": [1]}, "gibibytes: found [1], expected an object {...}."),
        ({"gibibytes": {"fast": float("inf")}}, "gibibytes.fast: found Infinity, expected a finite number."),
        ({"memory_modes": "fast"}, "memory_modes: found this key, expected one of parameters, multiply_adds, gibibytes, memory_mode."),
    ],
)
def test_nonsense_in_the_costs_of_a_resumed_search_is_refused_with_its_place(tmp_path, change, message):
    file = tmp_path / "cost.json"
    content = dataclasses.asdict(cost(tmp_path))
    file.write_text(json.dumps(content | change))
    with pytest.raises(DataError) as caught:
        cost(tmp_path)
    assert str(caught.value) == f"{file}: {message} Restore it from a copy, or name another --workdir."


def test_the_costs_of_a_search_are_written_as_they_were_read(tmp_path):
    file = tmp_path / "cost.json"
    cost(tmp_path).save({COST: file})
    text = file.read_text()
    load(file, SearchCost).save({COST: file})
    assert file.read_text() == text


def test_stages_and_blocks_of_an_edited_plan_count():
    own, network = fold(), footprint("nnunet")
    own.configuration.topology = network.topology((1.0, 1.0, 1.0), PATCH)
    usual = estimate(network, own, 4)
    assert usual == estimate(network, own, 4, PATCH)
    counts = (4,) * len(own.configuration.topology.strides)
    own.configuration.topology = dataclasses.replace(own.configuration.topology, blocks=counts)
    assert estimate(network, own, 4) > 1.2 * usual


def test_a_scan_that_memory_cant_hold_in_the_end_is_refused_before_the_training(monkeypatch):
    cases = [types.SimpleNamespace(name=f"case_{size}", shape=(size, 100, 100)) for size in (10, 200, 50)]
    own = types.SimpleNamespace(part=lambda *names: cases if names == ("held_out",) else [])
    needed = 2**29 + 4 * 200 * 100 * 100
    monkeypatch.setattr(preflight, "available_memory", lambda: needed)
    preflight.check_scans(own, "held_out")
    monkeypatch.setattr(preflight, "available_memory", lambda: needed - 1)
    preflight.check_scans(own, "validation")  # of a training run on all cases
    with pytest.raises(ConfigError, match=r"case_200: in the end .* 200x100x100 voxels, for which 0.507 GiB"):
        preflight.check_scans(own, "held_out")


def test_slices_are_a_remedy_only_where_the_loss_allows_them(tmp_path, free):
    network, run = footprint("u_resnet"), {"checkpoint": tmp_path / "checkpoint"}
    free(estimate(network, fold(), 1) + 0.01)
    for sliceable in (True, False):
        with pytest.raises(ConfigError) as caught:
            preflight.check_training(fold(), network, NetworkCost(1, 1, 1), run, cluster(), sliceable=sliceable)
        assert ("--accumulate=4 takes" in str(caught.value)) == sliceable and "--batch_size=1 takes" in str(caught.value)
