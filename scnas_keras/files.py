"""Files that are either whole or absent."""

import json
import os
import pathlib
import re
import tempfile
from typing import Any


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file that is seen under its name either whole or not at all, also after a power cut.

    Temporary name in the same folder (made if absent), fsync, rename.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)  # mkstemp hides the file from other users; give it what open() would have given
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def readable_json(document: Any) -> str:
    """JSON with an entry a line, but lists of numbers or words, and lists of these, on one line."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    item = r'(?:"[^"\n]*"|[-+\w.]+)'
    row = rf"\[\s*{item}(?:,\s*{item})*\s*\]"
    return re.sub(rf"\[\s*{row}(?:,\s*{row})*\s*\]|{row}", lambda match: _on_one_line(match.group()), text) + "\n"


def _on_one_line(items: str) -> str:
    return re.sub(r"\s*\n\s*", "", re.sub(r",\s*\n\s*", ", ", items))
