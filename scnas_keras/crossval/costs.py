"""What networks cost in a cross-validation, as a table: measured and counted here, and as published."""

from collections.abc import Mapping, Sequence

from scnas_keras.crossval.published import Published
from scnas_keras.crossval.results import NetworkResult
from scnas_keras.errors import times
from scnas_keras.reporting.text_table import table

COSTS = {
    "width": ("width", 1, "{:.0f}"),
    "parameters": ("params M", 1e6, "{:.2f}"),
    "multiply_adds": ("mult-adds G", 1e9, "{:.1f}"),
    "seconds_per_step": ("s/step", 1, "{:.2f}"),
    "seconds_per_epoch": ("s/epoch", 1, "{:.1f}"),
    "epochs": ("epochs", 1, "{:.0f}"),
    "updates": ("updates", 1, "{:.0f}"),
    "training_peak_bytes": ("peak GiB", 2**30, "{:.2f}"),
    "seconds_per_scan": ("s/scan", 1, "{:.2f}"),
}
"""Of a training run: column, unit, format. Multiply-adds are those of a forward pass of one patch; s/scan is the time of a segmentation."""


def cost_table(networks: Sequence[NetworkResult], published: Sequence[Published]) -> list[str]:
    """A row for each network and each published one, with the patch that multiply-adds are of."""
    rows = [("", "patch", *(title for title, *_ in COSTS.values()))]
    rows += [_row(network.name, patch_of(network), {name: network.cost(name) for name in COSTS}) for network in networks]
    rows += [_row(f"paper: {own.network}", own.source.counted_on, own.costs) for own in published if own.costs]
    return table(rows)


def patch_of(network: NetworkResult) -> tuple[int, ...]:
    """Voxels along the axes of a network's patches, which are those of its plan on all folds; none where its runs don't tell."""
    return next((tuple(fold.cost["patch_size"]) for fold in network.folds if fold.cost.get("patch_size")), ())


def _row(title: str, patch: Sequence[int], costs: Mapping[str, float | None]) -> tuple[str, ...]:
    found = [(costs.get(name), scale, form) for name, (_, scale, form) in COSTS.items()]
    return title, times(patch) or "-", *("-" if cost is None else form.format(cost / scale) for cost, scale, form in found)
