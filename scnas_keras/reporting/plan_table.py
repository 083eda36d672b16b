"""A plan as a table for people."""

from collections.abc import Sequence

from scnas_keras.planning.plans import Configuration, Plans

_HEADINGS = ("configuration", "spacing mm", "median scan", "patch", "batch", "stages", "features")


def plan_table(plans: Plans) -> str:
    """The configurations of a plan, a row each, and what its axes are."""
    rows = [_HEADINGS, *(_row(name, configuration) for name, configuration in plans.configurations.items())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [f"{plans.dataset}: {', '.join(plans.channel_names)}; planned for {plans.network} in {plans.memory_gb:g} GiB"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    schemes = next(iter(plans.configurations.values()))
    lines.append(
        "normalisation: "
        + ", ".join(
            f"{name} {scheme.removesuffix('Normalization')}{' (nonzero voxels)' if masked else ''}"
            for name, scheme, masked in zip(plans.channel_names, schemes.normalization_schemes, schemes.use_mask_for_norm)
        )
    )
    lines.append(f"axes: {', '.join(plans.axes)}, the coarsest first" + (" (x is left to right)" if "x" in plans.axes else ""))
    return "\n".join(lines)


def _row(name: str, configuration: Configuration) -> tuple[str, ...]:
    features = configuration.features_per_stage
    return (
        name,
        "by size" if configuration.slice_size else " x ".join(f"{size:.4g}" for size in configuration.spacing),
        " x ".join(f"{size:g}" for size in configuration.median_image_size_in_voxels),
        " x ".join(map(str, configuration.patch_size)),
        str(configuration.batch_size),
        str(len(features)),
        _range(features) + (f", after {configuration.previous_stage}" if configuration.previous_stage else ""),
    )


def _range(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}"
