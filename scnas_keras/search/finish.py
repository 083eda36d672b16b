"""What a finished search leaves: the derived architecture, its drawings, the network without training, the summary."""

import dataclasses
import pathlib

import keras
import numpy as np

from scnas_keras.files import write_text
from scnas_keras.inference.keras_file import save_network
from scnas_keras.inference.names import INHERITED, MODEL
from scnas_keras.machine.names import NONE
from scnas_keras.machine.precision import set_precision
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.reporting.genotype_figure import draw_genotype
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.pace import measured
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.search.config import SearchConfig
from scnas_keras.search.monitor import Monitor
from scnas_keras.spaces.decision import time_note, undecided_note, updates_to_decide, weightless_note
from scnas_keras.spaces.derive import derive, softmax
from scnas_keras.spaces.genotype import GENOTYPE_FILE, Genotype
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.supernet.diagnostics import edge_entropy
from scnas_keras.supernet.inherit import inherit
from scnas_keras.supernet.names import GUMBEL_PAIR, UNIFORM
from scnas_keras.supernet.supernet import Supernet


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found: the architecture, a readable table of it, and the run's folder."""

    genotype: Genotype
    table: str
    folder: pathlib.Path


def finish(
    config: SearchConfig, fold: Fold, supernet: Supernet, monitor: Monitor, history: list[dict], times: TimeTables | None, run: RunFolder
) -> SearchResult:
    """Derives the architecture and writes everything that a run leaves."""
    alpha = supernet.alpha_tables()
    entropy = float(np.mean(np.concatenate([edge_entropy(own) for own in softmax(alpha).values()])))
    updates = int(keras.ops.convert_to_numpy(supernet.alpha_optimizer.iterations))
    genotype = derive(supernet.space, alpha, config.max_identity_edges)
    candidates = max(len(table.candidates) for table in supernet.space.tables)
    needed = updates_to_decide(config.alpha_lr, 2 / candidates if config.relaxation == GUMBEL_PAIR else 1)
    undecided = None if config.relaxation == UNIFORM else undecided_note(entropy, updates, needed, config.alpha_lr)
    operations = [edge.operation for kind in genotype.cells for edge in genotype.present(kind)]
    weightless = weightless_note(operations, bool(config.penalty_parameters or config.penalty_multiply_adds))
    genotype = dataclasses.replace(genotype, notes=(*genotype.notes, *filter(None, (weightless, undecided))))
    genotype.save(run[GENOTYPE_FILE])
    table = genotype_table(genotype)
    write_text(run["genotype.txt"], table + "\n")
    for suffix in ("svg", "png"):
        draw_genotype(genotype, run[f"genotype.{suffix}"])
    draw_history(history, run["history.png"])
    set_precision(NONE)
    model = from_genotype(genotype, len(fold.task.channel_names), fold.task.num_classes, config.width)
    save_network(model, run[MODEL])
    save_network(inherit(supernet, genotype), run[INHERITED])
    cost = network_cost(model, fold.patch_size)
    step = {"milliseconds": round(times.of_genotype(genotype), 3)} if times else {}
    run.write_summary(
        config,
        {
            "task": fold.task.name,
            "cases": {part: list(getattr(fold.split, part)) for part in ("train", "held_out", "validation")},
            "patch_size": list(fold.patch_size),
            "epochs": len(history),
            "judged_on": config.judge_on,
            "validation_dice": history[-1]["val_dice"],
            "mean_edge_entropy": entropy,
            "notes": [*([monitor.stopped] if monitor.stopped else []), *genotype.notes],
            "derived": {"stem_channels": config.width, **dataclasses.asdict(cost), **step},
            "alpha": {table: own.round(6).tolist() for table, own in alpha.items()},
        },
    )
    if undecided and (pace := measured(run)["seconds_per_step"]):
        table += time_note(updates, needed, pace) + "\n"
    return SearchResult(genotype, table, run.path)
