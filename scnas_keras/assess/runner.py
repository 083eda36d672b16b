"""A whole assessment: searches read back, networks scored, and what is left in the runs' folders."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import keras
from absl import logging

from scnas_keras.assess.config import AssessConfig
from scnas_keras.assess.evaluation import SharedWeights, genotype_draw, sampled_draw
from scnas_keras.assess.finished import FinishedSearch
from scnas_keras.assess.genotypes import Agreement, agreement
from scnas_keras.assess.report import FOUND, RANDOM, SAMPLED, NetworkRow, Report, networks_csv, report_text, runs_text
from scnas_keras.assess.verdict import verdict_of_runs
from scnas_keras.files import readable_json, write_text
from scnas_keras.inference.keras_file import save_network
from scnas_keras.inference.names import INHERITED
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.progress import each
from scnas_keras.runs.checkpoint import restore_model
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.runs.folds import Fold
from scnas_keras.search import guards
from scnas_keras.search.runner import build
from scnas_keras.spaces.cost import CostTables, cost_tables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.random_genotypes import matched_genotypes
from scnas_keras.supernet.inherit import inherit

FOLDER = "assessment"


@dataclasses.dataclass(frozen=True)
class AssessmentResult:
    """The assessed searches, the agreement of each pair of them, and all of it as text."""

    searches: tuple[FinishedSearch, ...]
    reports: tuple[Report, ...]
    agreements: tuple[tuple[str, str, Agreement], ...]
    text: str


def run_assessment(config: AssessConfig, searches: Sequence[FinishedSearch]) -> AssessmentResult:
    """Assesses searches and writes RUN/assessment of each."""
    agreements = tuple(
        (str(first.path), str(second.path), agreement(first.genotype, second.genotype))
        for first, second in itertools.combinations(searches, 2)
    )
    reports = tuple(assess_search(config, search) for search in searches)
    text = "\n\n".join(map(report_text, reports))
    if agreements:
        several = runs_text(reports, agreements)
        text += f"\n\n{several}"
        document = {
            "runs": [report.to_json() | {"networks": None} for report in reports],
            "agreements": [
                {"runs": [first, second], **dataclasses.asdict(pair), "probability": pair.probability} for first, second, pair in agreements
            ],
            "verdict": verdict_of_runs([pair for *_, pair in agreements]),
        }
        for search in searches:
            write_text(search.path / FOLDER / "runs.txt", several + "\n")
            write_text(search.path / FOLDER / "runs.json", readable_json(document))
    return AssessmentResult(tuple(searches), reports, agreements, text)


def assess_search(config: AssessConfig, search: FinishedSearch) -> Report:
    """Scores the found and random networks of one search; writes its assessment/."""
    logging.info("assessing %s", search.path)
    folder = search.path / FOLDER
    fold = search.open_fold(config.data_dir, config.cache_dir, config.processes)
    if search.config.judge_on == HELD_OUT:
        logging.warning("judged on held-out cases, as the search was, which learned alpha from them: this favours what it found")
    tables = cost_tables(search.genotype.space, search.config.width, fold.patch_size, len(fold.task.channel_names), fold.task.num_classes)
    drawn = matched_genotypes(tables, search.genotype, config.random, config.seed, search.config.max_identity_edges)
    genotypes = {FOUND: search.genotype} | {f"{RANDOM}_{config.seed}_{i}": genotype for i, genotype in enumerate(drawn)}
    rows, seconds = score_networks(config, search, fold, tables, genotypes, folder)
    last = search.history[-1]
    report = Report(
        str(search.path),
        search.config.relaxation,
        search.config.seed,
        len(search.history),
        seconds,
        search.config.judge_on,
        last["val_dice"],
        search.result["mean_edge_entropy"],
        config.patches,
        tuple(rows),
    )
    write_text(folder / "assessment.txt", report_text(report) + "\n")
    write_text(folder / "assessment.json", readable_json(report.to_json()))
    write_text(folder / "networks.csv", networks_csv(report))
    return report


def score_networks(
    config: AssessConfig, search: FinishedSearch, fold: Fold, tables: CostTables, genotypes: dict[str, Genotype], folder: pathlib.Path
) -> tuple[list[NetworkRow], float]:
    """Scores all genotypes and as many drawn networks as there are random ones, with the search's weights.

    The found network with these weights is left as inherited.keras. Also returns how many seconds the search's epochs took, in all the
    processes that worked on it.
    """
    penalty = guards.cost_penalty(search.config, tables)  # the checkpoint has its multipliers
    supernet = build(search.config, fold, penalty, space=search.genotype.space)
    clock = restore_model(search.path, supernet)["horizon"]
    judged = fold.sampler(search.config.judge_on, seed=config.seed, augmented=False)
    shared = SharedWeights(supernet, patch_dataset(judged, 1, 0, config.patches))
    draws = [(name, FOUND if name == FOUND else RANDOM, genotype_draw(supernet, genotype)) for name, genotype in genotypes.items()]
    draws += [(f"{SAMPLED}_{i}", SAMPLED, sampled_draw(supernet, config.seed, i)) for i in range(config.random)]
    rows = []
    for name, kind, draw in each(draws, "Networks", len(draws), "network"):
        score = shared.score(draw)
        cost = tables.of_genotype(genotypes[name]) if name in genotypes else None
        counts = (cost.parameters, cost.multiply_adds) if cost else (None, None)
        rows.append(NetworkRow(name, kind, score.dice, score.loss, *counts))
    save_network(inherit(supernet, search.genotype), folder / INHERITED)
    del supernet, shared
    keras.backend.clear_session()  # a second search shall not carry this one's graphs along
    return rows, clock["seconds_since"]
