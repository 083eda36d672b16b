"""What a selection tells of entrants whose recipe was sampled."""

import dataclasses
import shlex
from typing import Any

from scnas_keras.flag_values import flag_text
from scnas_keras.reporting.text_table import table
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.jobs import FINALS
from scnas_keras.select.race import Trial
from scnas_keras.select.scheduler import Ended
from scnas_keras.select.setting import Setting

_LITTLE = "Each is one training run of a sample with several changes: this tells which did well together, not what any change does."


def tuned_lines(setting: Setting, ended: Ended) -> list[str]:
    """A table of the samples that raced, and its last line says how little it tells; nothing if there were none."""
    samples = _samples(setting)
    if not samples:
        return []
    rows = []
    for sample in samples:
        result = ended.results.get(Trial(0, sample.name))
        score = result.score(setting.config.objective) if result else None
        rows.append((sample.name, "-" if score is None else f"{score:.3f}", f"{sample.origin}".rjust(9)))
    header = ("sampled recipes", "first rung", "around")
    head, *lines = table([header, *rows])
    texts = [f"{line}  {sample.text}" for line, sample in zip(lines, samples)]
    return [f"{head}  network, and what differs from its usual form and the default recipe", *texts, _LITTLE, ""]


def tuned_data(setting: Setting) -> list[dict[str, Any]]:
    """The samples, for select.json."""
    return [dataclasses.asdict(sample) | {"text": f"{sample.name}: {sample.text}"} for sample in _samples(setting)]


def repeat_line(setting: Setting, winner: Candidate) -> str:
    """What a sample is that won, and how to train it again."""
    flags = setting.run[FINALS] / winner.name / "flags.cfg"
    again = shlex.join(["scnas", "retrain", f"--flagfile={flags}", "--workdir=NEW"])
    return f"{winner.name}: {winner.text}. This trains it again: {again}"


def flags_of(candidate: Candidate) -> str:
    """Flags by which a sample's training runs differ from the default recipe; none of other candidates."""
    if not candidate.base:
        return ""
    own = {"network": candidate.network, "width": candidate.width, "genotype": candidate.genotype}
    flags = {name: value for name, value in own.items() if value is not None} | candidate.flags
    return " ".join(f"--{name}={flag_text(value)}" for name, value in flags.items())


def _samples(setting: Setting) -> list[Candidate]:
    return [candidate for candidate in setting.record.decided.candidates if candidate.base]
