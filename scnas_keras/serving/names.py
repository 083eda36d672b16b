"""The formats that a network is exported to, by the names of their flag; no framework is loaded for them."""

import dataclasses

DESCRIPTION = "export.json"
"""What was exported: its functions, what they take and give."""


class CantHold(Exception):
    """A format has no place for something in a network."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that networks are written in.

    Attributes:
        module: in `serving`, that writes it; and the function in `serving/outside.py` that runs it.
        title: what people call it.
        file: that is written; "" for a whole folder.
        needs: packages that writing or checking it takes.
        extra: of setup.cfg, that installs them.
        output: name of what a patch gives.
        whole_scans: whether it takes scans, and patches of any size; else patches that the network can halve.
    """

    module: str
    title: str
    file: str = ""
    needs: tuple[str, ...] = ()
    extra: str = ""
    whole_scans: bool = False
    output: str = "probabilities"


FORMATS = {
    "saved_model": Format("saved_model", "SavedModel", whole_scans=True),
    "onnx": Format("onnx", "ONNX", "model.onnx", ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    "litert": Format("litert", "LiteRT", "model.tflite", output="output_0"),
}
