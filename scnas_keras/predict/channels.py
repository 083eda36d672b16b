"""What the names of a scan's files say of its channels must be how they are used."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from scnas_keras.errors import ConfigError
from scnas_keras.formats.endings import strip_ending
from scnas_keras.tasks.layout_nnunet import group_channels

_WORD = re.compile(r"[^\W_]+")


def check_order(files: Sequence[Path], channels: Sequence[str]) -> None:
    """Raises ConfigError where several files, one per channel in this order, say another one by their names, or two say the same.

    By nnU-Net's numbers (CASE_0000, CASE_0001), or by the channels' names as words of the files' names (pat_T1, pat_T2).
    """
    if len(files) < 2:
        return
    cases, others = group_channels([strip_ending(file.name) for file in files])
    if not others:
        if len(cases) > 1:
            raise ConfigError(
                f"--image={_joined(files)}: by their names these are channels of {len(cases)} scans: {', '.join(cases)}. Give the files of "
                "one scan, or the folder with all."
            )
        numbers = [int(strip_ending(file.name)[-4:]) for file in files]
        if len(files) == len(channels):
            _compare(files, channels, numbers, [f"{number:04d}" for number in numbers])
    elif len(files) == len(channels):
        words = [_channel_in(file, channels) for file in files]
        known = {word: place for place, word in enumerate(words) if word is not None}
        for word in known:
            alike = [file.name for file, other in zip(files, words) if other == word]
            if len(alike) > 1:
                raise ConfigError(
                    f"--image={_joined(files)}: {' and '.join(alike)} name the same channel, {channels[word]}. Give one file for each of "
                    f"{', '.join(channels)}, in this order, or rename the files."
                )
        if any(word != place for word, place in known.items()):
            free = iter(sorted(set(range(len(words))) - set(known)))
            places = [next(free) if word is None else word for word in words]  # a name that says nothing takes what the others leave
            _compare(files, channels, places, [None if word is None else channels[word] for word in words])


def absent_channels(files: Sequence[Path], channels: Sequence[str]) -> str:
    """Which numbered files lack that would make a scan of these files whole, and which of them are there; "" where names don't say."""
    cases, others = group_channels([strip_ending(file.name) for file in files])
    if others or len(cases) != 1:
        return ""
    ((case, numbered),) = cases.items()
    ending, folder = files[0].name.removeprefix(strip_ending(files[0].name)), files[0].parent
    wanted = [folder / f"{case}_{number:04d}{ending}" for number in range(len(channels))]
    absent = [f"{file.name} ({channels[number]})" for number, file in enumerate(wanted) if not file.exists()]
    if absent:
        return f" By its name this is channel {', '.join(f'{number:04d}' for number in sorted(numbered))}; {', '.join(absent)} isn't there."
    return f" The others are there: --image={_joined(wanted)}."


def _compare(files: Sequence[Path], channels: Sequence[str], places: Sequence[int], said: Sequence[str | None]) -> None:
    """Raises ConfigError unless the places that the files say are those that they have."""
    if list(places) == list(range(len(files))):
        return
    used = zip(files, said, channels)
    told = "; ".join(
        f"{file.name} says {word} and would be used as {channel}" for file, word, channel in used if word not in (None, channel)
    )
    if sorted(places) == list(range(len(files))):
        remedy = f"Give --image={_joined(file for _, file in sorted(zip(places, files)))}, or rename the files"
    else:
        remedy = f"The model has the channels {', '.join(f'{number:04d} {name}' for number, name in enumerate(channels))}: give their files"
    raise ConfigError(f"--image={_joined(files)}: {told}. {remedy}.")


def _channel_in(file: Path, channels: Sequence[str]) -> int | None:
    """The channel whose name's words stand in a file's name, if it's a single one."""
    words = _words(strip_ending(file.name))
    found = [number for number, name in enumerate(channels) if (wanted := _words(name)) and _holds(words, wanted)]
    return found[0] if len(found) == 1 else None


def _holds(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(list(words[start : start + len(wanted)]) == list(wanted) for start in range(len(words)))


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(name)]


def _joined(files: Iterable[Path]) -> str:
    return ",".join(map(str, files))
