"""Which training runs a race asks for, from planted scores."""

import itertools

import pytest

from scnas_keras.select.race import Entrant, Race, Trial, most_trials, shares_for

NAMES = ("default", *"abcdefgh")


def race(names=NAMES, **costs):
    return Race(tuple(Entrant(name, costs.get(name, 1.0)) for name in names), "default")


def run(race, score):
    """All of it, a trial at a time, the last one asked for first; `score(trial)` may be None."""
    scores = {}
    while left := race.next(scores):
        scores[left[-1]] = score(left[-1])
    return scores


def by_rung(scores):
    return [sorted(trial.name for trial in scores if trial.rung == rung) for rung in range(1 + max(trial.rung for trial in scores))]


def test_a_third_survives_each_rung_and_the_default_always_does():
    worth = dict(zip(NAMES, (0.1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)))
    scores = run(race(), lambda trial: worth[trial.name])
    assert by_rung(scores) == [sorted(NAMES), ["a", "b", "c", "default"], ["a", "b", "default"]]
    assert race().shares == (1 / 9, 1 / 3, 1.0)
    assert race().winner(scores) == "a"
    assert race().ranked(2, scores) == ["a", "b", "default"]


@pytest.mark.parametrize("best", NAMES)
def test_the_planted_best_wins_whoever_it_is(best):
    assert race().winner(run(race(), lambda trial: 0.5 + 0.4 * (trial.name == best))) == best


def test_a_rung_is_judged_by_its_own_scores():
    late = run(race(), lambda trial: {"a": (0.9, 0.9, 0.1), "b": (0.8, 0.8, 0.9)}.get(trial.name, (0.5, 0.5, 0.5))[trial.rung])
    assert race().winner(late) == "b"


def test_of_equals_the_cheaper_wins():
    assert race(a=3.0, b=2.0, default=2.5).winner(run(race(a=3.0, b=2.0, default=2.5), lambda trial: 0.7)) != "a"
    one = race(("default", "a", "b"), default=3.0, a=2.0, b=1.0)
    assert one.winner(run(one, lambda trial: 0.7)) == "b"


def test_a_failed_trial_drops_its_entrant_and_no_other():
    scores = run(race(), lambda trial: None if trial.name == "a" else 0.5 + 0.1 * (trial.name == "b"))
    assert race().winner(scores) == "b"
    assert Trial(1, "a") not in scores and Trial(2, "default") in scores


def test_a_race_in_which_all_failed_has_no_winner():
    scores = run(race(), lambda trial: None)
    assert race().winner(scores) is None
    assert by_rung(scores) == [sorted(NAMES), ["default"], ["default"]]


def test_the_order_in_which_trials_end_changes_nothing():
    small = race(("default", "a", "b", "c"))
    worth = {"default": 0.2, "a": 0.3, "b": 0.9, "c": 0.4}
    ends = set()
    for order in itertools.permutations(small.next({})):
        scores = {}
        for trial in order:
            assert small.winner(scores) is None
            scores[trial] = worth[trial.name]
        ends.add(small.next(scores))
    assert ends == {(Trial(1, "default"), Trial(1, "b"), Trial(1, "c"))}


def test_nothing_is_asked_for_twice_and_no_rung_begins_before_the_last_is_over():
    scores, asked = {}, []
    while left := race().next(scores):
        assert len({trial.rung for trial in left}) == 1
        asked.append(left[0])
        scores[left[0]] = 0.5
    assert len(asked) == len({*asked})
    assert [trial.rung for trial in asked] == sorted(trial.rung for trial in asked)


@pytest.mark.parametrize("count, shares", [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (12, 3)])
def test_few_entrants_need_few_rungs(count, shares):
    assert len(shares_for(count)) == shares
    names = ("default", *map(str, range(count - 1)))
    scores = run(race(names), lambda trial: names.index(trial.name) / count)
    counts = [sum(trial.rung == rung for trial in scores) for rung in range(shares)]
    assert all(found <= most for found, most in zip(counts, most_trials(count)))
    assert counts[0] == most_trials(count)[0]
