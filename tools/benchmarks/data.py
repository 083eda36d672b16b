"""tools/benchmark data: the stream of training patches against a training step, and reading and preparing scans

Patches come from a made-up scan of a brain's size. Scans are those of --data_dir and one made-up CT. Times depend on the machine and on
what else it does: read the ratios.
"""

import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np
from benchmarks.rows import check_rows, print_result, run_rows

from scnas_keras import console
from scnas_keras.options import option
from scnas_keras.runs.data_config import TaskConfig

STREAMS = ("none", "2018", "v2")
ROWS = (*(f"stream_{name}" for name in STREAMS), "training_step", "measure_scans", "prepare_scans", "measure_ct", "prepare_ct")
SCAN = (150, 180, 150)
PAGE = 4096
FOREVER = 2**31
CT_TARGET = (0.78, 0.78, 1.25)  # mm; the made-up CT has 0.7, 0.7, 1


@dataclasses.dataclass(frozen=True)
class Config(TaskConfig):
    """What is measured."""

    patch_size: tuple[int, ...] = option((64, 64, 64), "Voxels of a patch.", "Patches", least=1)
    channels: int = option(2, "Image channels of a patch.", "Patches", least=1)
    patches: int = option(150, "Patches to time.", "Patches", least=1)
    threads: int | None = option(None, "Threads that make patches. Default: one a core.", "Patches", least=1)
    stem_channels: int = option(16, "Width of the supernet whose step is timed.", "Patches", least=1)
    ct_size: tuple[int, ...] = option((512, 512, 400), "Voxels of the made-up CT.", "Scans", least=1)
    rows: str | None = option(
        None, f"Rows to run, of {', '.join(ROWS)}. Default: all, those of scans where --data_dir is given.", "Benchmark"
    )
    row: str | None = option(None, "For the program's own use: run this row here and print its result.", "Benchmark")


def stream(config: Config, preset_name: str) -> dict[str, float]:
    """Patches a second, CPU seconds a patch, and what is read of a case for each voxel of a patch."""
    from scnas_keras.patches.presets import preset
    from scnas_keras.patches.sampler import PatchSampler
    from scnas_keras.patches.stream import patch_dataset

    with tempfile.TemporaryDirectory() as folder:
        augmentation = preset(preset_name, config.patch_size, (0, 1, 2))
        case = _made_up_case(pathlib.Path(folder), config.channels)
        sampler = PatchSampler([case], config.patch_size, 0.5, 0, augmentation=augmentation)
        # Without an end, so that as many patches lie ready when the clock stops as when it starts.
        items = iter(patch_dataset(sampler, 1, 0, FOREVER, config.threads))
        for _ in range(10):
            next(items)
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(config.patches):
            next(items)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        del items
        boxes = [sampler.draw(index).box for index in range(1000)]
    voxels = np.prod(config.patch_size)
    read = [np.prod([stop - start for start, stop in box]) / voxels for box in boxes]
    pages = [_pages(box, config.channels) * PAGE / (voxels * 2 * config.channels) for box in boxes]
    return {
        "per_second": config.patches / seconds,
        "cpu_seconds": cpu / config.patches,
        "read_per_used": float(np.mean(read)),
        "pages_per_used": float(np.mean(pages)),
    }


def training_step(config: Config) -> dict[str, float]:
    """Seconds of one step of a search for a cubic patch."""
    from benchmarks.supernet import Config as SupernetConfig
    from benchmarks.supernet import supernet_step

    made = SupernetConfig(channels=config.channels)
    step, seconds, cpu = supernet_step("sampled_pair", config.stem_channels, config.patch_size[0], made), [], []
    for _ in range(4):
        before, cpu_before = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - before)
        cpu.append(time.process_time() - cpu_before)
    return {"seconds": statistics.median(seconds[1:]), "cpu_seconds": statistics.median(cpu[1:])}


def measure_scans(task, folder: pathlib.Path) -> float:
    """Seconds of measuring the cases of a task, in this process."""
    from scnas_keras.preprocessing.measure import measure_task

    start = time.perf_counter()
    measure_task(task, folder, processes=1, progress=False)
    return time.perf_counter() - start


def prepare_scans(task, folder: pathlib.Path, spacing: tuple[float, ...] | None) -> float:
    """Seconds of preparing the cases of a task, by default at their median spacing, in this process."""
    from scnas_keras.formats.volumes import read_header
    from scnas_keras.preprocessing.cache import prepare
    from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan

    spacing = spacing or tuple(
        np.median([read_header(case.images, own_series=case.own_series).spacing for case in task.cases], axis=0).tolist()
    )
    channels = tuple(
        Normalization(name, "ct", False, -1000, 400, -100, 300) if is_ct else Normalization(name, "zscore", use_mask=True)
        for name, is_ct in zip(task.channel_names, task.is_ct)
    )
    start = time.perf_counter()
    prepare(task, PreprocessingPlan(spacing, channels, task.labels), folder, processes=1, progress=False)
    return time.perf_counter() - start


def scans(config: Config, row: str) -> dict[str, float]:
    """Seconds a case of measuring or preparing scans, in one process, from nothing."""
    from scnas_keras.runs.folds import open_task
    from scnas_keras.tasks.loading import load_task

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if row.endswith("_ct"):
            task = load_task(_write_ct(folder / "ct", config.ct_size))
        else:
            task = open_task(dataclasses.replace(config, task=config.task or "custom"))
        if row.startswith("measure"):
            seconds = measure_scans(task, folder / "cache")
        else:
            seconds = prepare_scans(task, folder / "cache", CT_TARGET if row.endswith("_ct") else None)
        return {"seconds": seconds / len(task.cases), "cases": len(task.cases)}


def measure(config: Config, row: str) -> dict[str, Any]:
    """A row's figures."""
    if row.startswith("stream_"):
        console.load_tensorflow()
        return stream(config, row.removeprefix("stream_"))
    if row == "training_step":
        console.load_tensorflow()
        return training_step(config)
    return scans(config, row)


def main(config: Config) -> None:
    if config.row:
        print_result(config.row, measure(config, config.row))
        return
    rows = check_rows(config.rows, [row for row in ROWS if config.data_dir or not row.endswith("_scans")])
    results = {result["name"]: result for result in run_rows("data", rows)}
    print(f"patches of {'x'.join(map(str, config.patch_size))} x {config.channels}, float16, from a scan of {'x'.join(map(str, SCAN))}")
    print(f"{'':16}{'patches/s':>10}{'CPU s/patch':>13}{'share of step':>15}{'read/used':>11}{'pages/used':>12}{'peak GiB':>10}")
    step = results.get("training_step")
    for name in (row for row in rows if row.startswith("stream_")):
        row = results[name]
        share = f"{2 * row['cpu_seconds'] / (2 * row['cpu_seconds'] + step['cpu_seconds']):.1%}" if step else ""
        print(
            f"{name:16}{row['per_second']:10.1f}{row['cpu_seconds']:13.3f}{share:>15}{row['read_per_used']:11.2f}{row['pages_per_used']:12.2f}"
            f"{row['peak_bytes'] / 2**30:10.2f}"
        )
    if step:
        print(
            f"share of step: CPU time of its two patches, of that and of a step of a supernet of stem {config.stem_channels} "
            f"({step['seconds']:.2f} s, {step['cpu_seconds']:.2f} s of CPU)"
        )
    print("read/used: voxels read a voxel of the patch; pages/used: the same in bytes of whole 4 KiB pages")
    for name in (row for row in rows if row.endswith(("_scans", "_ct"))):
        row = results[name]
        print(f"{name:16}{row['seconds']:8.1f} s a case, {row['cases']} cases, one process, peak {row['peak_bytes'] / 2**30:.2f} GiB")


def _made_up_case(folder: pathlib.Path, channels: int):
    """A prepared case of noise with a box of class 1."""
    from scnas_keras.preprocessing.cropping import Crop
    from scnas_keras.preprocessing.prepared_case import PreparedCase, write_case
    from scnas_keras.preprocessing.scans import Preprocessed
    from scnas_keras.tasks.cases import Case

    image = np.random.default_rng(0).normal(size=(*SCAN, channels)).astype(np.float32)
    label = np.zeros(SCAN, np.uint8)
    label[50:90, 60:100, 40:80] = 1
    crop = Crop(SCAN, (1.0, 1.0, 1.0), (0, 0, 0), SCAN)
    ranges = ((0.0, 1.0),) * channels
    write_case(folder, Case("made_up", (folder,), folder), Preprocessed(image, crop, None), label, [1], "float16", ranges)
    return PreparedCase("made_up", folder)


def _pages(box: tuple[tuple[int, int], ...], channels: int) -> int:
    """Number of pages of the image's file that hold a box of it."""
    firsts, lasts = np.array(box).T
    rows = np.add.outer(np.arange(firsts[0], lasts[0]) * SCAN[1], np.arange(firsts[1], lasts[1])).ravel() * SCAN[2] * 2 * channels
    first, last = (rows + firsts[2] * 2 * channels) // PAGE, (rows + lasts[2] * 2 * channels - 1) // PAGE
    return np.unique(np.concatenate([np.minimum(first + step, last) for step in range(int((last - first).max()) + 1)])).size


def _write_ct(folder: pathlib.Path, size: tuple[int, ...]) -> pathlib.Path:
    """A task of one made-up CT, written slice by slice so that little memory is taken."""
    import nibabel as nib

    for kind, dtype in (("images", np.int16), ("labels", np.uint8)):
        header = nib.Nifti1Header()
        header.set_data_shape(size)
        header.set_data_dtype(dtype)
        header.set_sform(np.diag([0.7, 0.7, 1.0, 1]), code=1)
        header.set_zooms((0.7, 0.7, 1.0))
        header["vox_offset"] = 352
        header["magic"] = b"n+1"
        (folder / f"{kind}Tr").mkdir(parents=True)
        random = np.random.default_rng(0)
        with (folder / f"{kind}Tr" / "ct.nii").open("wb") as file:
            file.write(header.binaryblock + bytes(4))
            for index in range(size[2]):
                x, y = np.ogrid[: size[0], : size[1]]
                body = np.hypot(x - size[0] / 2, y - size[1] / 2) < size[0] * 0.4
                if kind == "images":
                    values = np.where(body, 40, -1000) + random.normal(0, 20, size[:2])
                else:
                    values = body & (np.hypot(x - size[0] / 2, y - size[1] / 2) < size[0] * 0.1) & (size[2] / 4 < index < size[2] / 2)
                file.write(values.astype(dtype).tobytes(order="F"))
    names = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "tumour"}, "name": "MadeUp"}
    training = [{"image": "./imagesTr/ct.nii", "label": "./labelsTr/ct.nii"}]
    (folder / "dataset.json").write_text(json.dumps(names | {"training": training}))
    return folder
