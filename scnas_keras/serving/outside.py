"""Runs an exported network as those do who haven't this package: a program of its own, which can't import it.

    python outside.py MODULE PLACE INPUTS.npz OUTPUTS.npz

MODULE and PLACE are those of `names.FORMATS`. INPUTS holds arrays `FUNCTION/N` of patches, and `FUNCTION/N/image` with
`FUNCTION/N/spacing` of scans; OUTPUTS gets one array `FUNCTION/N` of each.
"""

import os
import sys

sys.modules["scnas_keras"] = None  # importing it from here on fails
sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]  # modules there are named like packages

import numpy as np  # noqa: E402


def saved_model(folder):
    """Functions by their names."""
    import tensorflow as tf

    served = tf.saved_model.load(folder)

    def function(name, gives):
        own = getattr(served, name)
        return lambda image, spacing: own({"image": image, "spacing": spacing})[gives].numpy()

    functions = {"serve": lambda image: served.serve(image)["probabilities"].numpy()}
    if hasattr(served, "segment"):
        functions["segment"] = function("segment", "segmentation")
        functions["segment_probabilities"] = function("segment_probabilities", "probabilities")
    return functions


def onnx(file):
    """The same of an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return {"serve": lambda image: session.run(["probabilities"], {"image": image})[0]}


def litert(file):
    """The same of a LiteRT file."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(file)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def serve(image):
        interpreter.resize_tensor_input(taken["index"], image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return {"serve": serve}


def main(module, place, inputs, outputs):
    """Runs all inputs and saves what comes out."""
    functions, found = globals()[module](place), {}
    with np.load(inputs) as file:
        for name in sorted({"/".join(name.split("/")[:2]) for name in file.files}):
            arguments = [file[name]] if name in file.files else [file[f"{name}/image"], file[f"{name}/spacing"]]
            found[name] = functions[name.split("/")[0]](*arguments)
    np.savez(outputs, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
