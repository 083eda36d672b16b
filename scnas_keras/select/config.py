"""The options of `scnas_keras.select`."""

import dataclasses

from scnas_keras.errors import ConfigError
from scnas_keras.options import MINUTES, option
from scnas_keras.retrain.config import RecipeConfig, preset_option
from scnas_keras.select.names import DICE, FAMILIES, NSD, TUNINGS, UNTUNED, USUAL, parse_families
from scnas_keras.training.names import SHORT


@dataclasses.dataclass(frozen=True)
class SelectConfig(RecipeConfig):
    """All settings of a selection: those of its training runs, which networks race, and for how long."""

    preset: str | None = preset_option(SHORT)
    fold: int = option(0, "Fold of the cross-validation: its cases are looked at by the finals only.", "Split", least=0)
    budget_minutes: float | None = option(
        None,
        "Wall time of everything: preparing, search, race and the last training runs, with all their start-ups.",
        "Run",
        most=MINUTES,
        above=0,
    )
    hours: float | None = option(None, "The budget in hours, instead of --budget_minutes.", "Run", most=MINUTES // 60, above=0)
    candidates: str = option(",".join(USUAL), f"Which networks race, commas between: {', '.join(FAMILIES)}. nnunet always does.", "Race")
    searches: str | None = option(
        None,
        "Folders of searches with --judge_on=held_out on this fold, commas between, whose networks race. Default: one is made, in a tenth "
        "of the time.",
        "Race",
    )
    tune: str = option(
        UNTUNED,
        "Whether networks with sampled recipes race as well, after the others: recipe, or all, with sampled widths, stages and blocks too. "
        "See docs/select.md.",
        "Race",
        choices=TUNINGS,
    )
    machines: int = option(
        1, "Machines that train at the same time, for which the budget is planned: see docs/select.md.", "Race", least=1, most=10**4
    )
    objective: str = option(
        DICE,
        "What is compared: dice or nsd, the means of the classes (nsd: surfaces within --tolerance_mm), or the name of one class for its "
        "Dice.",
        "Race",
    )

    @property
    def seconds(self) -> float | None:
        """The budget, None if there is none."""
        if self.hours is not None:
            return 3600 * self.hours
        return None if self.budget_minutes is None else 60 * self.budget_minutes

    def check(self) -> None:
        """Refuses what can be refused without a framework, which takes seconds to load.

        Raises:
            ConfigError: no budget or two, families that don't exist, or an objective that isn't measured.
        """
        if self.budget_minutes is not None and self.hours is not None:
            raise ConfigError("--budget_minutes and --hours say the same: give one of them.")
        if self.seconds is None:
            raise ConfigError("Say how long it may take in all, with --budget_minutes=100 or --hours=8: all is planned to fit into that.")
        parse_families(self.candidates)
        if self.objective == NSD and not self.surfaces:
            raise ConfigError("--objective=nsd compares surfaces, which --surfaces=false doesn't measure: leave one of them out.")
