"""How the time of a selection is divided."""

import pytest

from scnas_keras.errors import ConfigError
from scnas_keras.select.budget import (
    LEAST_FIRST,
    LEAST_TRAINING,
    Overhead,
    enough,
    final_seconds,
    plan,
    rung_seconds,
    search_seconds,
)
from scnas_keras.select.plan_table import plan_table

OVERHEAD = Overhead(trial=25.0, final=30.0)


def together(budget):
    return budget.before + budget.race_total + budget.finals_total


@pytest.mark.parametrize("minutes", [5, 7, 10, 30, 100, 480])
@pytest.mark.parametrize("before", [0.0, 60.0])
def test_the_parts_fill_the_budget_and_no_more(minutes, before):
    budget = plan(60.0 * minutes, 8, OVERHEAD, before)
    assert 60 * minutes - 25 <= together(budget) <= 60 * minutes
    assert budget.race_total == pytest.approx(0.3 * (60 * minutes - before)) or not budget.race
    assert budget.final >= max([LEAST_TRAINING, *budget.race])


def test_no_race_is_longer_than_the_finals_where_validation_is_dear():
    for minutes in range(10, 200, 3):
        budget = plan(60.0 * minutes, 8, Overhead(trial=20.0, final=400.0))
        assert not budget.race or budget.final >= budget.race[-1]


def test_more_time_lets_more_race():
    counts = [(plan(60.0 * minutes, 8, OVERHEAD).trials or (1,))[0] for minutes in (5, 7, 30, 100, 300)]
    assert counts == sorted(counts) and counts[0] == 1 and counts[1] == 2 and counts[-1] == 8


def test_no_first_rung_of_several_is_shorter_than_a_minute():
    for minutes in range(6, 200):
        race = plan(60.0 * minutes, 12, OVERHEAD).race
        assert not race or race[0] >= (LEAST_FIRST if len(race) > 1 else LEAST_TRAINING)


def test_seven_minutes_still_end_with_a_verdict():
    budget = plan(7 * 60.0, 9, OVERHEAD)
    assert budget.trials == (2,) and budget.final > LEAST_TRAINING
    assert search_seconds(7 * 60.0) == 0


def test_a_search_takes_a_tenth_where_that_is_three_minutes():
    assert search_seconds(100 * 60.0) == 600.0
    assert search_seconds(29 * 60.0) == 0


def test_too_little_is_refused_with_what_is_enough():
    with pytest.raises(ConfigError, match=r"--budget_minutes=1 is too little.*takes 1.3 minutes") as caught:
        plan(60.0, 3, OVERHEAD)
    assert plan(60 * 1.4, 3, OVERHEAD).final >= LEAST_TRAINING
    assert str(caught.value).endswith("for a race, some 7.")
    assert plan(60 * 7.0, 3, OVERHEAD).race and not plan(60 * 6.0, 3, OVERHEAD).race


def test_a_rung_takes_its_share_of_what_is_left():
    whole = plan(12000.0, 6, OVERHEAD)
    assert rung_seconds(whole.race_total, 6, 0, 6, OVERHEAD.trial) == pytest.approx(whole.race[0])
    assert rung_seconds(whole.race_total - 6 * (whole.race[0] + 25), 6, 1, 3, OVERHEAD.trial) == pytest.approx(whole.race[1])
    assert rung_seconds(whole.race_total - 6 * (whole.race[0] + 25), 6, 1, 2, OVERHEAD.trial) > whole.race[1]  # one fewer shares it


def test_finals_take_what_is_left_and_never_nothing():
    assert final_seconds(620.0, 3, 30.0) == pytest.approx(170.0)
    assert final_seconds(10.0, 3, 30.0) == LEAST_TRAINING


def test_a_longer_start_than_assumed_leaves_fewer():
    race = plan(12000.0, 6, OVERHEAD)
    left = race.race_total - race.race[0] - 25
    assert enough(left, 6, race.race[0], 25.0)
    assert not enough(left, 6, race.race[0], 400.0)


def test_the_table_names_every_part():
    lines = plan_table(plan(12000.0, 6, OVERHEAD, before=620.0), 600.0, ["nnunet", "found_w64"], ["unet"])
    text = "\n".join(lines)
    assert lines[0] == "200 minutes, divided:"
    assert [line.split("  ")[0] for line in lines[2:]][:2] == ["gone", "search"]
    assert any(line.startswith("all ") and line.endswith("3:20:00") for line in lines), text
    assert "race, rung 3" in text and "finals" in text and "racing: nnunet, found_w64" in text and "left out" in text and "unet" in text


@pytest.mark.parametrize("machines", [2, 3, 8])
def test_several_machines_train_longer_or_more_in_the_same_time(machines):
    one, several = (plan(100 * 60.0, 8, OVERHEAD, machines=count) for count in (1, machines))
    assert 100 * 60 - 25 <= together(several) <= 100 * 60
    assert several.race_total == pytest.approx(sum(-(-n // machines) * (s + 25.0) for n, s in zip(several.trials, several.race)))
    assert (several.trials[0], several.race[0]) > (one.trials[0], one.race[0]) and several.final > one.final
    assert f"on {machines} machines" in plan_table(several, 0.0, [], [])[0]


def test_two_race_on_two_machines_though_the_finals_take_two_rounds():
    for minutes in (5, 10, 100):
        budget = plan(60.0 * minutes, 2, OVERHEAD, machines=2)
        assert budget.trials == (2,) and budget.race[0] <= budget.final * 1.0001


def test_rungs_and_finals_count_rounds_of_machines():
    assert final_seconds(620.0, 3, 20.0, machines=3) == pytest.approx(580.0)
    assert final_seconds(620.0, 3, 20.0, machines=2) == pytest.approx(280.0)
    seconds = rung_seconds(1000.0, 2, 0, 2, 20.0, machines=2)
    assert seconds == pytest.approx(980.0)
    assert enough(300.0, 6, 30.0, 20.0, machines=6) and not enough(100.0, 6, 30.0, 20.0)
