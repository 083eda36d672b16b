"""What a network costs, or the networks of a space."""

import dataclasses
import json
import pathlib

import numpy as np

from scnas_keras.architectures.registry import GENOTYPE, HANDMADE, footprint
from scnas_keras.console import load_tensorflow
from scnas_keras.cost.config import PAPERS_WIDTH, CostConfig
from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text
from scnas_keras.planning.checks import check_patch
from scnas_keras.reporting.text_table import table
from scnas_keras.runs.data_config import cache_folder
from scnas_keras.spaces.cost import Cost, cost_tables, operation_costs
from scnas_keras.spaces.genotype import Genotype, genotype_file
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.spaces.published import PUBLISHED_NAMES
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.space import SearchSpace


def run_cost(config: CostConfig) -> str:
    """The costs as a table, which are also written to `--json`.

    Raises:
        ConfigError, DataError, GenotypeError: before a framework is loaded, but for a .keras file that doesn't fit the patch, and
            times that can't be measured.
    """
    config.check()
    if config.operation_channels:
        text, figures = _operations(config)
    else:
        text, figures = _space(config) if config.space else _network(config)
    if config.json:
        write_text(config.json, json.dumps(figures, indent=1) + "\n")
    return text


def _operations(config: CostConfig) -> tuple[str, dict]:
    """Costs of a space's operations, one a line, and their means over those that have any (Auto-LW-MISN, equations 1 and 2)."""
    space = find_space(config.space, len(config.patch_size))
    costs = operation_costs(space, config.operation_channels, config.patch_size)
    lines = [("operation", "parameters", "multiply-adds")]
    lines += [(name, f"{cost.parameters:,}", f"{cost.multiply_adds:,}") for name, cost in costs.items()]
    counted = [cost for cost in costs.values() if cost.parameters]
    mean = Cost(*(float(np.mean([getattr(cost, field.name) for cost in counted])) for field in dataclasses.fields(Cost)))
    lines.append(("mean of those with any", f"{mean.parameters:,.1f}", f"{mean.multiply_adds:,.1f}"))
    rows = [{"name": name, **dataclasses.asdict(cost)} for name, cost in costs.items()]
    figures = {"space": space.name, "channels": config.operation_channels, "patch_size": list(config.patch_size)}
    return "\n".join(table(lines)), figures | {"operations": rows, "mean": dataclasses.asdict(mean)}


def _space(config: CostConfig) -> tuple[str, dict]:
    """Costs of a space's networks, one a line."""
    space = find_space(config.space, len(config.patch_size))
    tables = cost_tables(space, config.width or papers_width(space), config.patch_size, config.channels, config.classes)
    even = {table.name: np.zeros((table.rows, len(table.candidates))) for table in space.tables}
    rows = {"least": tables.least(), "mean": tables.expected(even)}
    genotypes = {f"random {i}": random_genotype(space, 0, i) for i in range(10)}
    rows |= {name: tables.of_genotype(genotype) for name, genotype in genotypes.items()}
    times = {}
    if config.milliseconds:
        known = _time_tables(config, space)
        times = {"least": known.least(), "mean": known.expected(even)}
        times |= {name: known.of_genotype(genotype) for name, genotype in genotypes.items()}
    lines = []
    for name, cost in rows.items():
        time = f" {times[name]:10.1f} ms a step" if times else ""
        lines.append(f"{name:10} {cost.parameters / 1e6:10.3f} M parameters {cost.multiply_adds / 1e9:10.2f} G multiply-adds{time}")
    figures = {name: dataclasses.asdict(cost) | ({"milliseconds": times[name]} if times else {}) for name, cost in rows.items()}
    return "\n".join(lines), figures


def _network(config: CostConfig) -> tuple[str, dict]:
    """Costs of one network."""
    name, path = str(config.network), genotype_file(str(config.network))
    if name in HANDMADE:  # whatever lies here under that name
        path = pathlib.Path(name)
    if path.suffix not in (".json", ".keras") and name not in HANDMADE:
        raise ConfigError(
            f"--network={config.network}: name a genotype.json or the folder of a search, a .keras file, or one of "
            f"{', '.join((*HANDMADE, *PUBLISHED_NAMES))}."
        )
    if config.milliseconds and path.suffix != ".json":
        raise ConfigError(f"--milliseconds: only a genotype's can be told, and --network={config.network} is none. Leave it out.")
    network = genotype = None
    if path.suffix != ".keras":
        genotype = Genotype.load(path) if path.suffix else None
        width = papers_width(genotype.space) if genotype and config.width is None else config.width
        network = footprint(GENOTYPE if genotype else name, width, genotype)
        if len(config.patch_size) not in network.ranks or not network.stages_of_plan:
            check_patch(config.patch_size, network)
    load_tensorflow()
    from scnas_keras.networks.cost import network_cost

    if network is None:
        model, patch = _saved(path, config.patch_size)
    else:
        topology = network.topology(config.spacing or (1.0,) * len(config.patch_size), config.patch_size)
        model, patch = network.build(topology, network.features(topology), config.channels, config.classes), topology.patch_size
    cost = network_cost(model, patch)
    lines = [
        f"parameters     {cost.parameters / 1e6:10.3f} M",
        f"multiply-adds  {cost.multiply_adds / 1e9:10.2f} G for a patch of {'x'.join(map(str, patch))}",
        f"elements       {cost.elements / 1e6:10.2f} M in the feature maps of such a patch",
    ]
    time = {}
    if genotype and config.milliseconds:
        time = {"milliseconds": _time_tables(config, genotype.space).of_genotype(genotype)}
        lines.append(f"milliseconds   {time['milliseconds']:10.1f} a training step of {config.batch_size} such patches, on this machine")
    return "\n".join(lines), {"name": config.network, "patch_size": list(patch), **dataclasses.asdict(cost), **time}


def _saved(path: pathlib.Path, patch: tuple[int, ...]) -> tuple:
    """The model of a .keras file, and the patch if it takes that."""
    from scnas_keras.inference.keras_file import load_network
    from scnas_keras.networks.divisors import divisors

    model = load_network(path)
    wanted = divisors(model)
    if len(wanted) != len(patch) or any(size % divisor for size, divisor in zip(patch, wanted)):
        raise ConfigError(f"--patch_size={','.join(map(str, patch))}: {path} takes patches of {len(wanted)} sizes, multiples of {wanted}.")
    return model, patch


def _time_tables(config: CostConfig, space: SearchSpace) -> TimeTables:
    """Milliseconds of a space's networks on this machine."""
    load_tensorflow()
    from scnas_keras.timing.times import machine_tables

    setting = config.width or papers_width(space), config.patch_size, config.batch_size, config.channels, config.classes
    return machine_tables(space, *setting, cache_folder(config.cache_dir))


def papers_width(space: SearchSpace) -> int:
    """The paper's width, or the nearest whose channels can be divided among a cell's nodes."""
    return max(1, round(PAPERS_WIDTH / space.width_step)) * space.width_step
