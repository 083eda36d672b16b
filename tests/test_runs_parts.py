"""Which cases a search and a training run learn from, which they validate on, and at which rates: read off what they give to the loop."""

import types

import pytest

from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain import epochs as of_retrain
from scnas_keras.runs.horizon import Horizon
from scnas_keras.search import SearchConfig
from scnas_keras.search import epochs as of_search
from scnas_keras.training.schedules import Cosine

OPTIMIZER = types.SimpleNamespace(learning_rate=None)
CLUSTER = types.SimpleNamespace(batch_size=lambda size: size, from_chief=list)
FOLD = types.SimpleNamespace(
    split=types.SimpleNamespace(train=("a", "b", "c")),
    configuration=types.SimpleNamespace(batch_size=2),
    sampler=lambda *parts, seed, augmented: types.SimpleNamespace(cases=parts, seed=seed, augmented=augmented),
    patches_of_epoch=lambda *parts: 3 * len(parts),
    digest="",
)


class Assembled(Exception):
    """Carries what a command has put together."""


@pytest.fixture
def put_together(monkeypatch):
    def assemble(run, *rest):
        raise Assembled(run)

    def patch_batches(training, validation, *rest):
        return [[(*one.cases, one.seed, one.augmented) for one in (training if part else [validation])] for part in (1, 0)]

    for module in (of_search, of_retrain):
        monkeypatch.setattr(module, "assemble", assemble)
        monkeypatch.setattr(module, "patch_batches", patch_batches)

    def call(train, *arguments):
        with pytest.raises(Assembled) as caught:
            train(*arguments)
        return caught.value.args[0]

    return call


@pytest.mark.parametrize("judge", ["validation", "held_out"])
def test_a_search_learns_weights_and_alpha_on_parts_of_their_own_and_sees_validation_cases_only_to_validate(judge, put_together):
    supernet = types.SimpleNamespace(optimizer=OPTIMIZER, alpha_optimizer=OPTIMIZER)
    monitor = types.SimpleNamespace(columns=())
    config, horizon, run = SearchConfig(seed=5, judge_on=judge), Horizon(4, None), types.SimpleNamespace(path=None, extended=False)
    found = put_together(of_search.train, config, FOLD, supernet, monitor, horizon, run, CLUSTER)
    assert found.batches == [[("train", 15, True), ("held_out", 16, True)], [(judge, 17, False)]]
    assert [plateau.factor for plateau in found.callbacks] == [0.1] and list(found.parts) == ["plateau", "monitor"]


def test_a_search_whose_rate_falls_as_a_cosine_begins_at_that_of_the_flags(put_together):
    supernet = types.SimpleNamespace(optimizer=OPTIMIZER, alpha_optimizer=OPTIMIZER)
    monitor, run = types.SimpleNamespace(columns=()), types.SimpleNamespace(path=None, extended=False)
    config = SearchConfig(weights_schedule="cosine", weights_lr=0.02)
    found = put_together(of_search.train, config, FOLD, supernet, monitor, Horizon(4, None), run, CLUSTER)
    (schedule,) = found.callbacks
    assert isinstance(schedule, Cosine) and schedule.rate == 0.02 and found.parts["cosine"] is schedule


@pytest.mark.parametrize(
    "flags, learned, judged",
    [
        ({"fold": "0"}, ("train", "held_out"), ("validation",)),
        ({"fold": "0", "judge_on": "held_out"}, ("train",), ("held_out",)),
        ({"fold": "all"}, ("train", "held_out"), ("train", "held_out")),
    ],
    ids=str,
)
def test_a_training_learns_on_all_cases_but_those_that_judge(put_together, flags, learned, judged):
    config, horizon, run = RetrainConfig(seed=5, **flags), Horizon(4, None), types.SimpleNamespace(path=None, extended=False)
    recipe = types.SimpleNamespace(steps_per_epoch=3, epochs=4, schedule="plateau", learning_rate=0.1)
    learner = types.SimpleNamespace(optimizer=OPTIMIZER)
    found = put_together(of_retrain.train, config, recipe, FOLD, None, learner, horizon, run, CLUSTER)
    assert found.batches == [[(*learned, 10, True)], [(*judged, 11, False)]]
    assert found.callbacks[0].factor == 0.2


def test_a_second_start_has_other_start_values(put_together, monkeypatch):
    seeds = []
    monkeypatch.setattr(of_retrain.keras.utils, "set_random_seed", seeds.append)
    monkeypatch.setattr(of_retrain, "new_network", lambda *arguments: types.SimpleNamespace(get_weights=list))
    monkeypatch.setattr(of_retrain, "start_again", lambda *arguments: None)
    recipe = types.SimpleNamespace(steps_per_epoch=3, epochs=4, schedule="poly", learning_rate=0.1)
    learner = types.SimpleNamespace(optimizer=OPTIMIZER, network=types.SimpleNamespace(get_weights=list))
    config, run = RetrainConfig(seed=5, on_collapse="restart"), types.SimpleNamespace(path=None, extended=False)
    architecture = types.SimpleNamespace(weights=None)
    found = put_together(of_retrain.train, config, recipe, FOLD, architecture, learner, Horizon(4, None), run, CLUSTER)
    schedule, collapse = found.callbacks
    collapse._restart(0)
    assert seeds == [1005] and schedule.rate == pytest.approx(0.01)


@pytest.mark.parametrize("flags, steps", [({}, 100), ({"budget_minutes": 5.0}, 50), ({"budget_minutes": 5.0, "steps_per_epoch": 70}, 70)])
def test_an_epoch_of_a_search_takes_its_patches_and_by_wall_time_fewer(flags, steps, put_together, monkeypatch):
    fold, asked = types.SimpleNamespace(**vars(FOLD) | {"patches_of_epoch": lambda *parts: 200}), []
    monkeypatch.setattr(of_search, "patch_batches", lambda training, validation, batch_size, steps, *rest: asked.append(steps))
    supernet = types.SimpleNamespace(optimizer=OPTIMIZER, alpha_optimizer=OPTIMIZER)
    monitor, run = types.SimpleNamespace(columns=()), types.SimpleNamespace(path=None, extended=False)
    put_together(of_search.train, SearchConfig(**flags), fold, supernet, monitor, Horizon(4, None), run, CLUSTER)
    assert asked == [steps]
