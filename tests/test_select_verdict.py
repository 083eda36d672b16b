"""What the finals may say, from planted Dice."""

import re
import types

import numpy as np
import pytest

from scnas_keras.select import SelectConfig
from scnas_keras.select.survey import Survey, few_units
from scnas_keras.select.verdict import contest
from scnas_keras.tasks.splits import Split

CASES = [f"case_{i}" for i in range(20)]


def dice(mean, seed=0, spread=0.02, cases=CASES):
    """Case -> class -> Dice around a mean; equal seeds give equal noise."""
    noise = np.random.default_rng(seed).normal(0, spread, len(cases))
    return {case: {"core": float(mean + own), "shell": float(mean - 0.1 + own)} for case, own in zip(cases, noise)}


def alone(cases=CASES):
    return {case: case for case in cases}


def test_a_clear_win_is_told_with_interval_p_and_time():
    found = contest("found", dice(0.89), "nnunet", [dice(0.87), dice(0.872)], alone(), time=0.5)
    assert found.differs and found.kept == "found"
    assert found.difference == pytest.approx(0.019)
    assert found.text.startswith("found is 1.9 points of Dice above nnunet on 20 validation scans (95 % interval +1.9 to +1.9), p ")
    assert "at 0.5 times its time a scan: found is kept." in found.text


def test_of_a_class_its_dice_alone_counts():
    """The winner is better in its mean, and worse in the class that is asked for."""
    worse = {case: {"core": own["core"] - 0.05, "shell": own["shell"] + 0.2} for case, own in dice(0.87).items()}
    found = contest("found", worse, "nnunet", [dice(0.87), dice(0.872)], alone(), objective="core")
    assert found.kept == "nnunet" and found.difference == pytest.approx(-0.051)
    assert found.text.startswith("found is 5.1 points of Dice of core below nnunet")
    assert contest("found", worse, "nnunet", [dice(0.87), dice(0.872)], alone()).kept == "found"


@pytest.mark.parametrize("objective", [None, "core"])
def test_a_false_structure_counts_against_who_invents_it(objective):
    """Ten scans have the core, ten are healthy; in these the winner invents one, and the default doesn't."""
    ill, healthy = CASES[:10], CASES[10:]
    winner = {case: {"core": 0.80 + 0.001 * i} for i, case in enumerate(ill)} | {case: {"core": 0.0} for case in healthy}
    default = {case: {"core": 0.75} for case in ill} | {case: {} for case in healthy}
    found = contest("found", winner, "nnunet", [default, default], alone(), objective=objective)
    assert found.units == 20 and found.difference == pytest.approx((10 * 0.0545 - 10) / 20) and found.kept == "nnunet"
    assert found.noise == 0.0
    other = default | {case: {"core": 0.0} for case in healthy[:5]}  # a seed that invents it in five
    assert contest("found", winner, "nnunet", [default, other], alone(), objective=objective).noise == pytest.approx(5 / 20)


def test_where_no_scan_has_a_class_nothing_is_told():
    empty = {case: {} for case in CASES}
    found = contest("found", empty, "nnunet", [empty, empty], alone())
    assert not found.differs and found.kept == "nnunet" and found.units == 0


def test_a_clear_loss_keeps_the_default_even_if_the_winner_is_cheaper():
    found = contest("found", dice(0.85), "nnunet", [dice(0.87), dice(0.871)], alone(), time=0.1)
    assert found.differs and found.kept == "nnunet"
    assert "points of Dice below nnunet" in found.text and "nnunet is kept" in found.text


def test_chance_over_scans_is_not_a_difference_and_the_cheaper_is_kept():
    rivals = [dice(0.87, seed=1), dice(0.87, seed=2)]
    for time, kept in ((0.5, "found"), (2.0, "nnunet"), (None, "nnunet")):
        found = contest("found", dice(0.871, seed=3), "nnunet", rivals, alone(), time)
        assert not found.differs and found.kept == kept
        assert "not distinguishable" in found.text
        assert ("Kept the cheaper" in found.text) == (time is not None)


@pytest.mark.parametrize(
    ("mean", "time", "kept"), [(0.3, 0.5, "nnunet"), (0.699, 0.5, "found"), (0.75, 0.95, "nnunet"), (0.75, 0.85, "found")]
)
def test_what_cannot_be_told_is_no_reason_to_keep_a_network_that_is_behind_or_hardly_cheaper(mean, time, kept):
    few = CASES[:2]
    found = contest("found", dice(mean, cases=few), "nnunet", [dice(0.7, cases=few), dice(0.702, cases=few)], alone(few), time)
    assert not found.differs and found.kept == kept
    assert f"Kept {'the cheaper' if kept == 'found' else 'the default'}, {kept}." in found.text


def test_a_difference_below_that_of_the_defaults_seeds_is_none_whatever_p_says():
    found = contest("found", dice(0.89), "nnunet", [dice(0.86), dice(0.885)], alone(), time=3.0)
    assert found.probability < 1e-3 and found.noise == pytest.approx(0.025)
    assert abs(found.difference) < found.noise
    assert not found.differs and found.kept == "nnunet"
    assert "not distinguishable, since the default's two seeds differ by 2.5 points" in found.text


def test_few_cases_tell_nothing():
    few = CASES[:5]
    found = contest("found", dice(0.95, cases=few), "nnunet", [dice(0.7, cases=few)] * 2, alone(few))
    assert not found.differs and "5 scans are too few to tell" in found.text


def test_cases_of_a_patient_count_once():
    patients = {case: f"patient_{i // 4}" for i, case in enumerate(CASES)}
    found = contest("found", dice(0.95), "nnunet", [dice(0.7)] * 2, patients)
    assert found.units == 5 and found.unit == "patient" and not found.differs


def test_the_interval_is_students():
    from scipy import stats

    own, other = dice(0.88, seed=5), dice(0.87, seed=6)
    found = contest("found", own, "nnunet", [other, other], alone())
    differences = [np.mean(list(own[case].values())) - np.mean(list(other[case].values())) for case in CASES]
    low, high = stats.t.interval(0.95, 19, np.mean(differences), stats.sem(differences))
    assert found.interval == pytest.approx((low, high))
    assert found.probability == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_a_class_that_a_case_lacks_is_left_out_of_its_mean():
    winner = {case: {"core": 0.9} for case in CASES}
    found = contest("found", winner, "nnunet", [{case: {"core": 0.8} for case in CASES}] * 2, alone())
    assert found.difference == pytest.approx(0.1)


def test_the_noise_of_seeds_is_over_patients_too():
    """One patient with 17 of 20 scans, three with one: of two seeds only the many scans differ."""
    patients = {case: "many" if number < 17 else case for number, case in enumerate(CASES)}
    plain = {case: {"core": 0.8} for case in CASES}
    other = {case: {"core": 0.9 if patients[case] == "many" else 0.8} for case in CASES}
    assert contest("found", plain, "nnunet", [plain, other], patients).noise == pytest.approx(0.1 / 4)


@pytest.mark.parametrize(
    "scans, validation, told",
    [
        (20, 4, "4 validation scans .* 6 are needed. Give --num_folds=3, or add scans"),
        (8, 2, "6 are needed. Add scans, or try another --fold"),
        (30, 6, None),
    ],
)
def test_too_few_validation_scans_for_a_verdict_are_told_in_the_beginning(scans, validation, told):
    names = tuple(f"case_{number}" for number in range(scans))
    fold = types.SimpleNamespace(split=Split(names[validation:], (), names[:validation]))
    found = few_units(Survey(fold, {name: name for name in names}), SelectConfig())
    assert found is None if told is None else re.search(told, found)
    one = Survey(fold, dict.fromkeys(names, "one patient"))
    assert few_units(one, SelectConfig()).startswith("1 validation") and "--num_folds" not in few_units(one, SelectConfig())
    assert few_units(one, SelectConfig(splits="own.json")).endswith("Put more into the validation part of --splits.")
    assert few_units(one, SelectConfig(protocol="holdout:0.1x4")).endswith("Hold out a larger share with --protocol, or add scans.")
