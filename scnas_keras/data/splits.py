"""Which cases train the weights, which the architecture, and which are only ever looked at to validate."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from scnas_keras.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Split:
    """The case names of one fold: for the network's weights, for the architecture's logits, and for validation."""

    weights: tuple[str, ...]
    logits: tuple[str, ...]
    validation: tuple[str, ...]


def split_cases(names: Sequence[str], fold: int, num_folds: int = 5, seed: int = 0) -> Split:
    """Splits cases for cross-validation, and a fold's training cases 4:1 for weights and logits, as SCNAS does.

    The names are sorted first, so that the result depends on nothing but the names, the seed and the fold. Every case
    is in the validation part of exactly one fold.

    Raises:
        ConfigError: `num_folds` is under 2, or `fold` isn't one of them.
        DataError: too few cases to leave at least one in each part.
    """
    if num_folds < 2:
        raise ConfigError(f"--num_folds={num_folds}: cross-validation needs at least 2 folds.")
    if not 0 <= fold < num_folds:
        raise ConfigError(f"--fold={fold}: with --num_folds={num_folds} the folds are 0 to {num_folds - 1}.")
    if len(names) < 3:
        raise DataError(f"Found {len(names)} labelled cases; at least 3 are needed: one each for the weights, the "
                        "architecture and the validation. Label more cases.")
    if len(names) < num_folds:
        raise DataError(f"--num_folds={num_folds} needs at least as many labelled cases, found {len(names)}. "
                        f"Use --num_folds={len(names)} or fewer.")
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(sorted(names)).tolist()
    folds = [part.tolist() for part in np.array_split(np.arange(len(names)), num_folds)]
    held_out = set(folds[fold])
    validation = [shuffled[index] for index in folds[fold]]
    training = [name for index, name in enumerate(shuffled) if index not in held_out]
    if len(training) < 2:
        raise DataError(f"{len(names)} cases in --num_folds={num_folds} leave {len(training)} to train fold {fold}; "
                        f"weights and architecture need one each. Use --num_folds={len(names)}.")
    num_logits = max(1, round(len(training) / 5))
    return Split(weights=tuple(sorted(training[num_logits:])), logits=tuple(sorted(training[:num_logits])),
                 validation=tuple(sorted(validation)))
