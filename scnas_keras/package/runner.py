"""One file of a trained network."""

import pathlib
import zipfile
import zlib

from scnas_keras.errors import ConfigError, DataError, missing
from scnas_keras.files import check_writable, user_path
from scnas_keras.inference.companion import find_model
from scnas_keras.inference.names import CARD, COMPANION, MODEL, PACKAGE, TABLES
from scnas_keras.inference.packaged import is_package, write_package
from scnas_keras.package.card import about, card
from scnas_keras.package.config import PackageConfig
from scnas_keras.package.found import find
from scnas_keras.spaces.genotype import GENOTYPE_FILE


def run_packaging(config: PackageConfig) -> pathlib.Path:
    """Writes the package; returns its place. No framework is loaded.

    Raises:
        ConfigError: a flag is missing, or the file's name isn't one of packages.
        DataError: a file of the model is missing or damaged.
        OutputError: it can't be written.
    """
    if absent := [f"--{name}" for name in ("model", "output") if not getattr(config, name)]:
        raise missing(absent)
    output = user_path(config.output or "")
    if not is_package(output):
        raise ConfigError(f"--output={output}: let the name end in {PACKAGE}.")
    if is_package(config.model or ""):
        raise ConfigError(f"--model={config.model} is a package already: pass it on as it is, or name the run's folder.")
    if output.exists():
        raise ConfigError(f"--output={output} exists. Name another file, or delete it first. Nothing was changed.")
    check_writable(output)
    file, companion = find_model(config.model or "")
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        damaged = str(error)
    if damaged:
        raise DataError(f"{file}: damaged ({damaged}). Copy it again from where the model was trained.")
    found = find(file.parent)
    files = {MODEL: file.read_bytes(), COMPANION: file.with_name(COMPANION).read_bytes()}
    genotypes = [place / GENOTYPE_FILE for place in (file.parent, found.folder) if place]  # select copies the model alone
    if genotype := next((place for place in genotypes if place.is_file()), None):
        files[GENOTYPE_FILE] = genotype.read_bytes()
    if config.cases:
        tables = [name for name in TABLES if found.folder and (found.folder / name).is_file()]
        if not tables:
            raise ConfigError(
                f"--cases: {found.folder or file.parent} has no {TABLES[0]}. Leave it out, or name the folder of a training run."
            )
        files |= {name: (found.folder / name).read_bytes() for name in tables if found.folder}
    told = about(config, companion, found)
    files[CARD] = card(told, output.name).encode()
    write_package(output, files, told)
    return output
