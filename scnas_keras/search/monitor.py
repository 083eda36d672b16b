"""What a search watches and steers between its epochs."""

import os
from collections.abc import Callable
from typing import Any, Literal, TypedDict

import keras
import numpy as np
from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import ZERO_GROUP
from scnas_keras.search import guards
from scnas_keras.search.config import SearchConfig
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.description import ARGMAX
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.supernet.diagnostics import Diagnostics, DiagnosticsState
from scnas_keras.supernet.penalty import MILLISECONDS, MULTIPLY_ADDS, PARAMETERS
from scnas_keras.supernet.supernet import Supernet


class MonitorState(TypedDict):
    """What the next epoch depends on; `stopped` says why the search ends, if it does."""

    diagnostics: DiagnosticsState
    phase: Literal["warm_up", "search"]
    warned: list[str]
    stopped: str | None


class Monitor:
    """Diagnostics, guard rails and the genotype of every epoch, in one object that a resumed search takes up again.

    Args:
        config: of the search.
        supernet: whose alpha is watched and whose phase and drop rate are set.
        tables: costs of the derived networks.
        genotypes: the file for the genotype of every epoch, or None where another process writes it.
        eigenvalue: epoch -> dominant eigenvalue of the validation loss' Hessian over alpha; needed with
            `config.hessian_every`.
        times: milliseconds of their steps; None where no target asks for them.

    Attributes:
        diagnostics: of the last epoch.
        stopped: why the search ended before its time, or None.
    """

    def __init__(
        self,
        config: SearchConfig,
        supernet: Supernet,
        tables: CostTables,
        genotypes: str | os.PathLike | None,
        eigenvalue: Callable[[int], float] | None = None,
        times: TimeTables | None = None,
    ):
        self._config, self._supernet, self._genotypes, self._eigenvalue = config, supernet, genotypes, eigenvalue
        self.diagnostics = Diagnostics(tables, config.max_identity_edges, times)
        self.stopped: str | None = None
        self._warned: list[str] = []
        guards.steer(config, supernet, 0.0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what `on_epoch_end` adds to the logs, in order."""
        penalty = [f"penalty_{name}" for name in self._supernet.penalty.names] if self._supernet.penalty else []
        drop_rate = ["drop_rate"] if self._config.parameter_free_dropout else []
        eigenvalue = ["hessian_eigenvalue"] if self._config.hessian_every else []
        return (*self.diagnostics.columns, *penalty, *drop_rate, *eigenvalue)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any], fraction: float) -> str | None:
        """Adds the epoch's quantities to its logs, warns, and sets up the next epoch.

        Args:
            epoch: finished epochs.
            logs: of the epoch, changed in place.
            fraction: finished share of the run, 0 to 1.

        Returns:
            Why the search should end now, or None.

        Raises:
            ConfigError: alpha is no number any more.
        """
        supernet, config = self._supernet, self._config
        alpha, learned = supernet.alpha_tables(), supernet.learns_alpha
        if not all(np.isfinite(table).all() for table in alpha.values()):
            raise ConfigError(
                f"The search diverged in epoch {epoch}: the architecture parameters alpha are not finite. Start again in another "
                "--workdir with a lower --weights_lr or --alpha_lr."
            )
        drawn, expected = (
            supernet.banks.to_tables([keras.ops.convert_to_numpy(own) for own in counts])
            for counts in (supernet.drawn, supernet.drawn_expected)
        )
        logs |= self.diagnostics.update(alpha, drawn, expected, int(keras.ops.convert_to_numpy(supernet.draws)), learned)
        if supernet.penalty:
            logs |= {
                f"penalty_{name}": float(value)
                for name, value in zip(supernet.penalty.names, keras.ops.convert_to_numpy(supernet.multipliers))
            }
        if config.parameter_free_dropout:
            logs["drop_rate"] = float(keras.ops.convert_to_numpy(supernet.drop_rate))
        if config.hessian_every and epoch % config.hessian_every == 0:
            logs["hessian_eigenvalue"] = self._eigenvalue(epoch)
        if self._genotypes is not None:
            genotype_history.record(self._genotypes, epoch, self.diagnostics.genotype)
        guards.steer(config, supernet, fraction)
        if not learned and supernet.learns_alpha:
            logging.info("the warm-up is over: from here on the architecture learns too (tracing its step takes a while) ...")
        if learned:
            self._warn(logs, guards.search_fraction(fraction, config.warm_up))
        self.stopped = guards.stop_reason(config, self.diagnostics)
        return self.stopped

    def describe(self, logs: dict[str, Any]) -> str:
        """The part of an epoch's line that says how far the architecture is."""
        parts = [f"entropy {logs['entropy']:.3f}", f"margin {logs['margin']:.3f}"]
        parts += [f"changed edges {logs['changes']:.0f}"] if "changes" in logs else []
        for name in self._supernet.penalty.names if self._supernet.penalty else ():
            short, unit = {
                PARAMETERS: ("mparams", "M parameters"),
                MULTIPLY_ADDS: ("gmacs", "G multiply-adds"),
                MILLISECONDS: ("ms", "ms a step"),
            }[name]
            target = getattr(self._config, f"target_{short}")
            parts.append(f"derived {logs[f'derived_{short}']:.3g} {unit} (target {target:g}, λ {logs[f'penalty_{name}']:.3g})")
        return "  ".join(parts)

    def _warn(self, logs: dict[str, Any], fraction: float) -> None:
        space = self._supernet.space
        if space.derivation != ARGMAX:  # where every node drops edges, absent ones are no sign of anything
            logs = {name: value for name, value in logs.items() if not name.endswith(f"_{ZERO_GROUP}")}
        for name, text in guards.warnings(logs, [cell.name for cell in space.cells], fraction).items():
            if name not in self._warned:
                self._warned.append(name)
                logging.warning("%s", text)

    @property
    def state(self) -> MonitorState:
        """For JSON; set it to go on from there."""
        return {"diagnostics": self.diagnostics.state, "phase": self._supernet.phase, "warned": list(self._warned), "stopped": self.stopped}

    @state.setter
    def state(self, state: MonitorState) -> None:
        self.diagnostics.state = state["diagnostics"]
        self._supernet.phase, self._warned, self.stopped = state["phase"], list(state["warned"]), state["stopped"]
