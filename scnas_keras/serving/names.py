"""The formats that a network is exported to, by the names of their flag; no framework is loaded for them."""

import dataclasses

ONNX_FILE, LITERT_FILE = "model.onnx", "model.tflite"
DESCRIPTION = "export.json"
"""What was exported: its functions, what they take and give."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that networks are written in.

    Attributes:
        module: in `serving`, that writes it.
        title: what people call it.
        needs: packages that writing or checking it takes.
        extra: of setup.cfg, that installs them.
        any_size: whether sizes that the network can't halve are padded in it.
    """

    module: str
    title: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    any_size: bool = False


FORMATS = {
    "saved_model": Format("saved_model", "SavedModel", any_size=True),
    "onnx": Format("onnx", "ONNX", ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    "litert": Format("litert", "LiteRT"),
}
