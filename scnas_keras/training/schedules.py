"""Keras callbacks that change a run as it goes: learning rates by how far it has come, its end, a second start after a collapse."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import keras
import numpy as np
from absl import logging

from scnas_keras.documents.ranges import Counter
from scnas_keras.runs.horizon import Horizon
from scnas_keras.training.names import COSINE, POLY

LEAST_RATE = 1e-7
"""Under this learning rate SCNAS ends a training."""
LATEST_RESTART = 0.5
"""Share of a run after which it isn't started again: what is left would be too short."""
SMOOTHING = 0.9
"""What an average of epochs' Dice keeps of its last value, as nnU-Net's does: it is of 10 epochs, in effect."""
LEAST_RISE = 0.001
"""Of that average, over the best until then; less doesn't count as one."""


class _Falling(keras.callbacks.Callback):
    """A rate that is a function of the finished share of the run, set once an epoch.

    In a run that ends by wall time, which has epochs of any length, it is set before every step.

    Args:
        horizon: of the run.
        rate: at the start.
    """

    def __init__(self, horizon: Horizon, rate: float):
        super().__init__()
        self._horizon, self.rate = horizon, rate

    def share(self, fraction: float) -> float:
        """What is left of the rate when a fraction (0 to 1) of the run is done."""
        raise NotImplementedError

    @property
    def state(self) -> float:
        """The rate at the start."""
        return self.rate

    @state.setter
    def state(self, rate: float) -> None:
        self.rate = rate

    def restart(self, rate: float) -> None:
        """Takes another rate for that at the start."""
        self.rate = rate

    def on_epoch_begin(self, epoch, logs=None):
        self._set()

    def on_train_batch_begin(self, batch, logs=None):
        if self._horizon.budget_seconds is not None:
            self._set()

    def _set(self) -> None:
        self.model.optimizer.learning_rate.assign(self.rate * self.share(self._horizon.fraction))


class Poly(_Falling):
    """The rate times (1 - t) ^ 0.9, t the finished share of the run: nnU-Net's schedule."""

    def share(self, fraction: float) -> float:
        return (1 - fraction) ** 0.9


class Cosine(_Falling):
    """The rate times (1 + cos(pi t)) / 2, t the finished share of the run: from all of it to 0, without restarts.

    Reference:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv 1608.03983, eq. 5.
    """

    def share(self, fraction: float) -> float:
        return (1 + math.cos(math.pi * fraction)) / 2


FALLING: Mapping[str, type[_Falling]] = {POLY: Poly, COSINE: Cosine}
"""By the name of a schedule."""


class PlateauState(TypedDict):
    """Best loss so far, and epochs waited since."""

    best: float
    wait: Counter


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Lowers the rate when the training loss has not improved for a share of the run, in epochs of its present pace.

    Args:
        horizon: of the run.
        share: of the run; 0.1 of 200 epochs are SCNAS' 20.
        least: the run ends when the rate falls under this.
        **kwargs: of `keras.callbacks.ReduceLROnPlateau`, without `patience`.
    """

    def __init__(self, horizon: Horizon, share: float, least: float = 0.0, **kwargs):
        super().__init__(monitor="loss", patience=1, **kwargs)
        self._horizon, self._share, self._least, self._resumed = horizon, share, least, None

    @property
    def state(self) -> PlateauState | None:
        """None before any epoch; setting it lasts through the start of a run."""
        return None if self.best is None else {"best": float(self.best), "wait": self.wait}

    @state.setter
    def state(self, state: PlateauState | None) -> None:
        self._resumed = state

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self._resumed:
            self.best, self.wait = self._resumed["best"], self._resumed["wait"]

    def on_epoch_end(self, epoch, logs=None):
        self.patience = max(3, math.ceil(self._share * self._horizon.planned_epochs))
        super().on_epoch_end(epoch, logs)
        if float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)) < self._least:
            logging.info("the learning rate has fallen under %g: the run ends", self._least)
            self.model.stop_training = True

    def restart(self, rate: float) -> None:
        """Goes on from another rate, with no best loss yet."""
        self.model.optimizer.learning_rate.assign(rate)
        self._reset()


class PatienceState(TypedDict):
    """The average, its best, and epochs waited since."""

    average: float
    best: float
    waited: Counter


class Patience(keras.callbacks.Callback):
    """Ends a run whose `val_dice` no longer rises.

    An epoch's Dice is of few patches. So its exponential moving average is looked at, which begins with 0, an untrained network's: a lucky
    epoch, the first one too, is none that all others fall behind, and an unlucky one ends nothing. The average follows with a delay: when
    the Dice stands still, it still rises for some 50 epochs at most.

    Args:
        epochs: that may go by without a rise of `LEAST_RISE`.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self._epochs = epochs
        self.restart()

    def restart(self) -> None:
        """Forgets what was before."""
        self._average, self._best, self._waited = 0.0, 0.0, 0

    @property
    def state(self) -> PatienceState:
        """What was seen."""
        return {"average": self._average, "best": self._best, "waited": self._waited}

    @state.setter
    def state(self, state: PatienceState) -> None:
        self._average, self._best, self._waited = state["average"], state["best"], state["waited"]

    def on_epoch_end(self, epoch, logs=None):
        self._average = SMOOTHING * self._average + (1 - SMOOTHING) * logs["val_dice"]
        if self._average >= self._best + LEAST_RISE:
            self._best, self._waited = self._average, 0
            return
        self._waited += 1
        if self._waited >= self._epochs:
            logging.info(
                "the Dice, averaged over epochs, has not risen by %g for %d epochs (%.4f): the run ends",
                LEAST_RISE,
                self._waited,
                self._average,
            )
            self.model.stop_training = True


class CollapseState(TypedDict):
    """Whether it was reported, how often the training run was started again, and the share until which nothing is said."""

    reported: bool
    restarts: Counter
    quiet_until: float


class Collapse(keras.callbacks.Callback):
    """Notices a network that finds nothing: a Dice of all but 0 on training and validation patches when a share of the run is over.

    Small or rare structures do that to a training run (nnU-Net's issue 2318, for example): all is background, and the gradient is gone.

    Args:
        horizon: of the run.
        restart: starts once more, given how many times before; None to report only.
        after: share of the run before which nothing is said.
        least: Dice under which it counts.
    """

    def __init__(self, horizon: Horizon, restart: Callable[[int], None] | None = None, after: float = 0.2, least: float = 0.01):
        super().__init__()
        self._horizon, self._restart, self._after, self._least = horizon, restart, after, least
        self.reported, self.restarts, self._quiet_until = False, 0, after

    @property
    def state(self) -> CollapseState:
        """What was done about it."""
        return {"reported": self.reported, "restarts": self.restarts, "quiet_until": self._quiet_until}

    @state.setter
    def state(self, state: CollapseState) -> None:
        self.reported, self.restarts, self._quiet_until = state["reported"], state["restarts"], state["quiet_until"]

    def on_epoch_end(self, epoch, logs=None):
        found = max(logs.get("dice", 1.0), logs.get("val_dice", 0.0))
        if self.reported or self._horizon.fraction < self._quiet_until or found >= self._least:
            return
        again = self._restart is not None and not self.restarts and self._horizon.fraction <= LATEST_RESTART
        logging.warning(
            "The network finds no foreground (Dice %.3f after %.0f %% of the run)%s. What helps: a lower --learning_rate (a tenth), "
            "--loss=dice_ce, a higher --foreground_share, --class_weights, --on_collapse=restart; or the labels are wrong: look at them "
            "with scnas verify.",
            found,
            100 * self._horizon.fraction,
            "; starting again with other start values and a tenth of the rate" * again,
        )
        if again:
            self._restart(self.restarts)
            self.restarts, self._quiet_until = self.restarts + 1, self._horizon.fraction + self._after
        else:
            self.reported = True


def start_again(model: keras.Model, network: keras.Model, fresh: Sequence[np.ndarray]) -> None:
    """Puts new weights into a network that a model trains, and its optimizer back to before the first step."""
    network.set_weights(list(fresh))
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape, keras.backend.standardize_dtype(variable.dtype)))
