"""scnas cost --operation_channels: what each operation of a space costs, and their means."""

import json

import pytest

from scnas_keras.cost.config import CostConfig
from scnas_keras.cost.runner import run_cost
from scnas_keras.errors import ConfigError
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.known import find_space, space_names, space_ranks


@pytest.mark.parametrize("name, rank", [(name, rank) for name in space_names() for rank in space_ranks(name)])
def test_every_operation_has_a_row_and_those_with_weights_a_mean(name, rank, tmp_path):
    file, patch = tmp_path / "costs.json", (8, 4, 16)[:rank]
    text = run_cost(CostConfig(space=name, rank=rank, patch_size=patch, operation_channels=32, json=str(file)))
    found = json.loads(file.read_text())
    assert [row["name"] for row in found["operations"]] == list(find_space(name, rank).operations)
    for row in found["operations"]:
        facts, voxels = operation(row["name"]), 32 if rank == 2 else 512
        parameters = facts.parameters(rank, 32)
        assert (row["parameters"], row["multiply_adds"]) == (parameters, facts.multiply_adds(rank, 32, voxels))
        assert f"{row['name']} " in text and f"{row['parameters']:,}" in text
    for cost in ("parameters", "multiply_adds"):
        counted = [row[cost] for row in found["operations"] if row[cost]]
        assert found["mean"][cost] == pytest.approx(sum(counted) / len(counted))


def test_the_papers_averages():
    """Table 1's last row: 1.54 thousand parameters, 1.11 million multiply-adds; the selective kernel is read in another way."""
    text = run_cost(CostConfig(space="light", patch_size=(32, 32), operation_channels=32))
    assert text.splitlines()[-1].split()[-2:] == ["1,476.8", "1,099,673.6"]


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"space": "light", "operation_channels": 30}, "shuffled_group_conv_3 needs a multiple of 16, for example 16 or 32"),
        ({"network": "nnunet", "operation_channels": 32}, "costs of operations are those of a --space"),
        ({"space": "light", "operation_channels": 32, "milliseconds": True}, "without times"),
        *(
            ({"space": "light", "operation_channels": 32} | {name: value}, f"--{name} of a network has no effect on their costs. Leave it")
            for name, value in (("width", 64), ("channels", 1), ("classes", 2), ("spacing", (1.0, 1.0)))
        ),
        ({"space": "light", "rank": 3}, "--rank=3: --patch_size=32,32 has 2 sizes"),
    ],
)
def test_what_has_no_such_costs_is_refused(flags, words):
    with pytest.raises(ConfigError, match=words):
        run_cost(CostConfig(**{"patch_size": (32, 32)} | flags))
