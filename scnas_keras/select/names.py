"""Families of networks that can race."""

from collections.abc import Iterable

from scnas_keras.architectures.registry import HANDMADE
from scnas_keras.errors import ConfigError

DEFAULT, FOUND, RANDOM = "nnunet", "found", "random"
"""The network that is always raced and always in the finals; those of searches; of noise, as dear as the first found one."""
TUNED = "tuned"
"""Family of entrants whose recipe is sampled."""
DICE, NSD = "dice", "nsd"
"""Objectives that are no class: means over the classes."""
UNTUNED, RECIPE, ALL = TUNINGS = ("none", "recipe", "all")
FAMILIES = (FOUND, RANDOM, *HANDMADE)
USUAL = (FOUND, RANDOM, DEFAULT, "resenc_m", "u_resnet", "unet")


def need_search(families: Iterable[str]) -> bool:
    """Whether there are networks among them that a search must find."""
    return bool({FOUND, RANDOM} & {*families})


def parse_families(text: str) -> tuple[str, ...]:
    """The families that --candidates names; ConfigError for others."""
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in FAMILIES]
    if unknown or len({*names}) < len(names):
        raise ConfigError(f"--candidates={text}: expected some of {', '.join(FAMILIES)}, once each, with commas between.")
    return names
