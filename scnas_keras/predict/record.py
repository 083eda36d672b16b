"""What the segmentations in a folder were made from, so that the same command leaves out those that it would make again as they are."""

import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from absl import logging

from scnas_keras import __version__
from scnas_keras.errors import UserError
from scnas_keras.files import write_text
from scnas_keras.inference.names import COMPANION
from scnas_keras.predict.inputs import Scan
from scnas_keras.preprocessing.contents import digest_of

FILE = "predictions.json"


class Record:
    """The file `predictions.json` of a folder: each segmentation's model, options and scan, by digests.

    Args:
        folder: of segmentations.
        models: files of the networks.
        mirror: whether flips are averaged.
    """

    def __init__(self, folder: pathlib.Path, models: Iterable[pathlib.Path], mirror: bool):
        self._file = folder / FILE
        files = [path for model in models for path in (model, model.with_name(COMPANION))]
        self._by = {"model": hashlib.sha256("".join(map(digest_of, files)).encode()).hexdigest()[:16], "mirror": mirror}
        self._known = _read(self._file)

    def has(self, scan: Scan, overlay: bool, probabilities: bool = False) -> bool:
        """Whether the scan's segmentation, and what else is wanted of it, are there and made from the same; says so if from others."""
        if not all(path.is_file() for path in scan.outputs(overlay, probabilities)):
            return False
        known = self._known.get(scan.output.name)
        try:
            wanted = self._of(scan)
        except (OSError, UserError):  # which is told where it is read
            return False
        if known is None:
            logging.info("%s is there, and not known to be by this model: it is made again", scan.output)
        elif stale := [path for path in scan.outputs(overlay, probabilities) if path.name not in known.get("files", ())]:
            logging.info("%s isn't of the last run that made %s: it is made again", stale[0], scan.output.name)
        elif others := [name for name, value in wanted.items() if known.get(name) != value]:
            logging.info("%s was made with another %s: it is made again", scan.output, " and ".join(others))
        else:
            return True
        return False

    def forget(self, scan: Scan) -> None:
        """Its segmentation is about to be made."""
        if self._known.pop(scan.output.name, None):
            self._save()

    def note(self, scan: Scan, overlay: bool, probabilities: bool) -> None:
        """Its segmentation has been made, with these files beside it."""
        self._known[scan.output.name] = self._of(scan) | {"files": [path.name for path in scan.outputs(overlay, probabilities)]}
        self._save()

    def _of(self, scan: Scan) -> dict[str, Any]:
        return self._by | {"scan": hashlib.sha256("".join(map(digest_of, scan.files)).encode()).hexdigest()[:16]}

    def _save(self) -> None:
        content = {"scnas_keras": __version__, "segmentations": dict(sorted(self._known.items()))}
        write_text(self._file, json.dumps(content, indent=1) + "\n")


def _read(file: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The segmentations of a record; none if there is none or it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["segmentations"]
        return {str(name): dict(own) for name, own in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logging.warning("%s: can't be read (%s); all scans are segmented", file, type(error).__name__)
        return {}
