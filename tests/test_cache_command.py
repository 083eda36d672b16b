"""`scnas cache`: what is listed, and that nothing else is removed."""

import pytest
from small_task import write_task

from scnas_keras.cache import cache, runner
from scnas_keras.cache.config import CacheConfig
from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.preprocessing.cache import prepare
from scnas_keras.preprocessing.measure import measure_task
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.runs.data_config import TaskConfig
from scnas_keras.runs.folds import open_task

PLAN = PreprocessingPlan(
    (1.2, 0.8, 1.0), (Normalization("T1", "zscore"), Normalization("T2", "zscore")), {0: "background", 1: "a", 2: "b"}, (2, 0, 1)
)
PREPARED = "Small-0123456789abcdef"


@pytest.fixture
def kept(tmp_path):
    """A cache with something of each kind, and files and folders of a person beside it."""
    folder = tmp_path / "cache"
    for name, files in {
        PREPARED: ("plan.json", "case_0-0123456789abcdef/meta.json", "case_1-0123456789abcdef/meta.json", ".partial-x/image.npy"),
        "Phantom-3": ("dataset.json", "imagesTr/phantom_000.nii.gz"),
        "contents": ("0123.json",),
        "fingerprints": ("a.json",),
        "milliseconds": ("cpu.json",),
        "Mine-0123456789abcdef": ("notes.txt",),
        "Phantom-pictures": ("a.png",),
        "scans": ("dataset.json",),
    }.items():
        for file in files:
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes(b"x" * 500_000)
    (folder / "letter.txt").touch()
    (folder / "linked-0123456789abcdef").symlink_to(folder / PREPARED)
    return folder


MINE = {"Mine-0123456789abcdef", "Phantom-pictures", "scans", "letter.txt", "linked-0123456789abcdef"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def listed(text):
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if "  " in line}


def test_what_is_kept_is_listed_with_its_size(kept):
    text = cache(CacheConfig(str(kept)))
    rows = listed(text)
    assert set(rows) == {"name", PREPARED, "Phantom-3", "contents", "fingerprints", "milliseconds"}
    assert rows[PREPARED][:2] == ["2.0", "2"] and rows[PREPARED][3:] == ["prepared", "scans"]
    assert rows["Phantom-3"][0] == "1.0" and "4.5 MB in all" in text


def test_one_entry_is_cleared_by_its_name_and_no_other(kept):
    before = names(kept)
    text = cache(CacheConfig(str(kept), f"{PREPARED},contents"))
    assert names(kept) == before - {PREPARED, "contents"} and text.startswith(f"cleared {PREPARED}, contents: 2.5 MB")


def test_an_entry_named_twice_is_cleared_once(kept):
    assert cache(CacheConfig(str(kept), "contents,contents,fingerprints")).startswith("cleared contents, fingerprints: 1.0 MB")


def test_all_is_what_this_package_made(kept):
    text = cache(CacheConfig(str(kept), "all"))
    assert names(kept) == MINE and text.endswith("nothing is kept.")
    assert cache(CacheConfig(str(kept), "all")).startswith("cleared nothing")


@pytest.mark.parametrize("name", ["scans", "Mine-0123456789abcdef", "..", "letter.txt", f"{PREPARED}/plan.json", "linked-0123456789abcdef"])
def test_what_is_no_entry_is_refused_and_nothing_cleared(name, kept):
    before = names(kept)
    with pytest.raises(ConfigError, match="has no such entry. It has .*Nothing was cleared"):
        cache(CacheConfig(str(kept), f"contents,{name}"))
    assert names(kept) == before


def test_a_cache_that_isnt_there_is_empty(tmp_path):
    assert cache(CacheConfig(str(tmp_path / "none"))).endswith("none: nothing is kept.") and not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="It is empty"):
        cache(CacheConfig(str(tmp_path / "none"), "contents"))


def test_what_runs_leave_is_known(tmp_path):
    """Names and files are those that are made today."""
    task = open_task(TaskConfig(task="custom", data_dir=str(write_task(tmp_path / "task"))))
    measure_task(task, tmp_path / "cache", 1, False)
    prepare(task, PLAN, tmp_path / "cache", 1, False)
    rows = listed(cache(CacheConfig(str(tmp_path / "cache"))))
    assert len(rows) == 4 and {"contents", "fingerprints"} < set(rows)
    cache(CacheConfig(str(tmp_path / "cache"), "all"))
    assert not names(tmp_path / "cache")


def test_what_cant_be_removed_is_named(kept, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(path / "0123.json"))

    monkeypatch.setattr(runner.shutil, "rmtree", closed)
    with pytest.raises(OutputError, match=r"contents/0123.json: can't be removed \(Permission denied\)"):
        cache(CacheConfig(str(kept), "contents"))


def test_sizes_are_of_the_files_themselves_and_of_those_that_stay(kept, monkeypatch):
    (kept / "contents" / "link").symlink_to(kept / PREPARED / "plan.json")
    (kept / "contents" / "replaced.json").write_bytes(b"x" * 900_000)
    size_of = runner.os.lstat

    def lstat(path):
        if str(path).endswith("replaced.json"):
            raise FileNotFoundError(path)
        return size_of(path)

    monkeypatch.setattr(runner.os, "lstat", lstat)
    assert listed(cache(CacheConfig(str(kept))))["contents"][0] == "0.5"
