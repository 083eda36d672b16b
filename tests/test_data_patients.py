import pytest
from small_task import REAL_DATA

from scnas_keras.errors import ConfigError, some_of
from scnas_keras.tasks.patients import group_by_patient, guess_pattern, patient_of, shared_patients

HOSPITALS = [f"TCGA-{index % 3:02}-{1000 + 7 * index}" for index in range(30)]
LIKELY = [
    (["LIDC-IDRI-0005_1_2", "LIDC-IDRI-0005_1_1", "LIDC-IDRI-0012_1_1"], r"^LIDC-IDRI-\d+", 2),
    (["patient001_frame01", "patient001_frame12", "patient002_frame01", "patient003_frame01"], r"^patient\d+", 3),
    (["sub-01_ses-01", "sub-01_ses-02", "sub-02_ses-01"], r"^sub-\d+", 2),
    (["knee_7_L", "knee_7_R", "knee_11_L", "knee_11_R"], r"^knee_\d+", 2),
    (["P1_20190304", "P1_20201224", "P2_20210701", "P2_2018-01-31"], r"^P\d+", 2),  # dates differ, but are all dates
    (["a-1_x", "a-1_y", "b-2_x", "c-3"], "^[^_-]+(?:[_-]+[^_-]+){0,1}", 3),  # no common beginning, one without a rest
]
UNLIKELY = [
    [f"BRATS_{index:03}" for index in range(484)],
    [f"hippocampus_{index:03}" for index in range(300)],
    [f"case_{index:04}" for index in range(100)],
    [f"liver_{index}" for index in range(131)],
    [f"BraTS2021_{index:05}" for index in range(20)],
    [f"{side}_{index}" for side in ("left", "right") for index in range(9)],  # a side is no patient
    ["BraTS19_2013_10_1", "BraTS19_2013_11_1", "BraTS19_TCIA01_131_1", "BraTS19_TCIA01_147_1", "BraTS19_CBICA_AAB_1"],
    HOSPITALS,
    ["0b2e702f90aee4fff2bc6e4326308d50cf04701082e718d4f831c8959fbcda93", "0bda515e370294ed94efd36bd53782288acacb04"],
    ["case_1"],
    [],
]


def real_names(folder: str) -> list[str]:
    files = [path for path in (REAL_DATA / folder).glob("*") if not path.name.startswith(".")]
    if not files:
        pytest.skip(f"real data isn't at {REAL_DATA / folder}")
    return [path.name.split(".")[0] for path in files]


@pytest.mark.parametrize(
    "pattern, patient", [(r"(patient\d+)_", "patient001"), (r"\d+", "001"), ("frame(..)", "01"), (r"(?:patient|sub)(\d)(\d)", "0")]
)
def test_the_patient_is_the_first_group_or_the_whole_match(pattern, patient):
    assert patient_of("patient001_frame01", pattern) == patient


def test_cases_are_gathered_by_patient_whatever_their_order():
    names = ["b_2", "a_1", "b_1", "c_9"]
    expected = {"a": ("a_1",), "b": ("b_1", "b_2"), "c": ("c_9",)}
    assert group_by_patient(names, "^(.)_") == group_by_patient(names[::-1], "^(.)_") == expected
    assert group_by_patient(names) == {name: (name,) for name in sorted(names)}


def test_patients_in_both_lists_are_found():
    groups = {"a": ("a_1",), "b": ("b_1", "b_2"), "c": ("c_1", "c_2")}
    assert shared_patients(groups, ["a_1", "b_1"], ["b_2", "c_1", "c_2"]) == ["b"]


@pytest.mark.parametrize(
    "pattern",
    [r"patient(\d+)", r"patient(\d*)", r"case_\d+|patient(\d+)"],
    ids=["no match", "empty key", "group without part in the match"],
)
def test_cases_without_a_patient_are_named(pattern):
    names = [f"case_{index}" for index in range(7)] + ["patient1_a", "patient"]
    expected = r"in 8 of 9 case names: case_0, case_1, case_2, case_3, case_4 and 3 more"
    with pytest.raises(ConfigError, match=rf"--group_pattern=.*{expected}"):
        group_by_patient(names, pattern)
    with pytest.raises(ConfigError, match="case_3"):
        patient_of("case_3", pattern)


@pytest.mark.parametrize("pattern, place", [("(ab", "character 1"), ("ab[", "character 3"), ("a**", "character 3")])
def test_an_invalid_expression_is_refused_with_its_place(pattern, place):
    with pytest.raises(ConfigError, match=f"not a regular expression.*{place}"):
        group_by_patient(["ab"], pattern)


@pytest.mark.parametrize("names, pattern, num_patients", LIKELY, ids=[row[0][0] for row in LIKELY])
def test_several_cases_of_a_patient_are_recognised(names, pattern, num_patients):
    assert guess_pattern(names) == guess_pattern(names[::-1]) == pattern
    assert len(group_by_patient(names, pattern)) == num_patients


@pytest.mark.parametrize("names", UNLIKELY, ids=[row[0] if row else "none" for row in UNLIKELY])
def test_numbered_and_random_names_are_not_taken_for_patients(names):
    assert guess_pattern(names) is None


def test_real_lung_names_tell_the_patient():
    names = real_names("Task06_Lung/labelsTr")
    pattern = guess_pattern(names)
    groups = group_by_patient(names, pattern)
    assert pattern == r"^LIDC-IDRI-\d+"
    assert set(groups) == {name[:14] for name in names}
    assert 1 < max(map(len, groups.values())) and len(groups) < len(names)


@pytest.mark.parametrize("folder", ["Task01_BrainTumour/labelsTr", "Task04_Hippocampus/labelsTr", "Nuclei_DSB2018/images"])
def test_real_names_without_patients_are_left_alone(folder):
    assert guess_pattern(real_names(folder)) is None


def test_long_lists_of_names_are_cut():
    assert some_of(list("abcde")) == "a, b, c, d, e"
    assert some_of(list("abcdefg")) == "a, b, c, d, e and 2 more"
