"""The model card: what a person should know of a network before using it (Mitchell et al., arXiv 1810.03993), without names of cases."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from scnas_keras import __version__
from scnas_keras.formats.geometry import MILLIMETRES
from scnas_keras.inference.companion import Companion
from scnas_keras.metrics.case_table import surface_titles
from scnas_keras.metrics.summary import summarize
from scnas_keras.package.config import PackageConfig
from scnas_keras.package.found import Found

_RECIPE = (
    *("preset", "loss", "optimizer", "momentum", "learning_rate", "schedule", "weight_decay", "deep_supervision", "ema", "augmentation"),
    *("mirror_axes", "steps_per_epoch", "accumulate", "foreground_share", "budget_minutes", "epochs", "seed"),
    *("protocol", "num_folds", "fold", "path_dropout"),
)
"""Flags that name nothing of the place where it was trained."""
_RESULT = ("task", "network", "configuration", "width", "parameters", "multiply_adds", "training_scans", "updates", "epochs", "batch_size")
_FEW_UPDATES = 500
_UNSTATED = "Not stated by who packed it. It is no medical device."
_PARTS = {"validation": "that took no part in its training", "held_out": "on which choices were made"}


def about(config: PackageConfig, companion: Companion, found: Found) -> dict[str, Any]:
    """What the card says, as data."""
    plan, flags, result = companion.plan, found.summary.get("flags", {}), found.summary.get("result", {})
    classes = [name for value, name in plan.labels.items() if value]
    seen = companion.seen
    return {
        "scnas_keras": __version__,
        "packed": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "intended_use": _line(config.intended_use) or _UNSTATED,
        "authors": _line(config.authors),
        "license": _line(config.license),
        "channels": [channel.channel for channel in plan.channels],
        "classes": classes,
        "spacing_mm": plan.spacing,
        "slice_size": plan.slice_size,
        "patch_size": companion.patch_size,
        "trained_on": None if seen is None else dataclasses.asdict(seen),
        "judged_on": result.get("judged_on"),
        "metrics": _metrics(found, classes),
        "tolerance_mm": result.get("tolerance_mm"),
        "length_unit": result.get("length_unit", MILLIMETRES),
        "result": {name: result[name] for name in _RESULT if result.get(name) is not None},
        "recipe": {name: flags[name] for name in _RECIPE if flags.get(name) is not None},
        "versions": found.summary.get("versions", {}),
        "verdict": list(found.verdict),
    }


def card(told: Mapping[str, Any], name: str) -> str:
    """The card as Markdown."""
    result = told["result"]
    classes = ", ".join(f"{name} ({value})" for value, name in enumerate(told["classes"], start=1))
    lines = [f"# {result.get('task', name)}: a segmentation network", ""]
    lines += [f"Packed with scnas_keras {told['scnas_keras']} on {told['packed']}."]
    lines += [f"{title}: {told[key]}" for title, key in (("Authors", "authors"), ("Licence", "license")) if told[key]]
    lines += ["", "## Intended use", told["intended_use"]]
    lines += [
        "",
        "## What it does",
        f"From scans with the channels {', '.join(told['channels'])} it segments {classes}.",
    ]
    lines += _scans(told["trained_on"], told["channels"])
    lines += _quality(told)
    lines += ["", "## The network", *(f"- {key.replace('_', ' ')}: {_value(value)}" for key, value in result.items() if key != "task")]
    grid = f"slices of {_joined(told['slice_size'])} pixels" if told["slice_size"] else f"spacing: {_joined(told['spacing_mm'])} mm"
    lines += [f"- {grid}, patch {_joined(told['patch_size'])} voxels"]
    if told["recipe"]:
        lines += ["", "## How it was trained", *(f"- {key}: {value}" for key, value in told["recipe"].items())]
    if told["versions"]:
        lines += ["", "Versions: " + ", ".join(f"{key} {value}" for key, value in told["versions"].items() if value)]
    use = f"    scnas predict --model={name} --image=SCAN.nii.gz --output=SEGMENTATION.nii.gz"
    return "\n".join([*lines, "", "## To use it", use, ""])


def _metrics(found: Found, classes: list[str]) -> dict[str, Any]:
    measures = {"dice": found.dice, "nsd": found.nsd, "hd95_mm": found.hd95}
    return {
        name: {
            key: dataclasses.asdict(summarize([values[name] for values in cases.values() if name in values]))
            for key, cases in measures.items()
            if cases
        }
        for name in classes
    }


def _scans(seen: Mapping[str, Any] | None, channels: list[str]) -> list[str]:
    if seen is None:
        return []
    lines = ["", "It was trained on scans like these (the least and the most of each); of others its segmentations may be worse."]
    for what, key in (("voxels", "spacing"), ("extent", "extent")):
        lines.append(f"- {what}: {', '.join(f'{axis} {_span(span)} mm' for axis, span in zip('xyz', seen[key]))}")
    lines += [
        f"- {name}: {_span(span)} (least 0.5 and greatest 99.5 percentile of a scan)" for name, span in zip(channels, seen["intensity"])
    ]
    return lines


def _quality(told: Mapping[str, Any]) -> list[str]:
    rows = [(name, own) for name, own in told["metrics"].items() if own.get("dice", {}).get("count")]
    if not rows:
        return ["", "## How good it is", "Not measured, or not told where it was packed."]
    part = told["judged_on"]
    lines = ["", "## How good it is", f"On scans {_PARTS.get(part, '')} ({part}), each whole and on its own grid:", ""]
    surfaces = any("nsd" in own for _, own in rows)
    titles = [
        "class",
        "scans",
        "Dice",
        "95 % interval",
        "median",
        *(surface_titles([told["tolerance_mm"]], told["length_unit"]) if surfaces else ()),
    ]
    lines += [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for name, own in rows:
        dice = own["dice"]
        interval = "-" if dice["low"] is None else f"{dice['low']:.3f} to {dice['high']:.3f}"
        more = [_number(own["nsd"]["mean"], 3), _number(own["hd95_mm"]["mean"], 2)] if surfaces else []
        lines.append(f"| {' | '.join([name, str(dice['count']), _number(dice['mean'], 3), interval, _number(dice['median'], 3), *more])} |")
    lines += ["", "The interval is a bootstrap over scans: it knows nothing of other hospitals, scanners and patients."]
    if told["result"].get("updates", _FEW_UPDATES) < _FEW_UPDATES:
        lines += [f"It had only {told['result']['updates']} updates, so that it isn't near its best."]
    if told["verdict"]:
        lines += ["", "What its selection concluded:", "", *(f"- {text}" for text in told["verdict"])]
    return lines


def _line(text: str | None) -> str | None:
    """A flag's text on one line, so that it can't begin a heading of its own."""
    return " ".join(text.split()) if text else None


def _value(value: Any) -> str:
    """Numbers as people read them."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _span(span: tuple[float, float]) -> str:
    low, high = (f"{value:.4g}" for value in span)
    return low if low == high else f"{low} to {high}"


def _joined(values: Any) -> str:
    return " x ".join("the scan's own" if value is None else f"{value:g}" for value in values)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
