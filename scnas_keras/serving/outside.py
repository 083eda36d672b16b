"""Runs an exported network as those do who haven't this package: a program of its own, which can't import it.

    python outside.py FORMAT FOLDER INPUTS.npz OUTPUTS.npz

INPUTS holds arrays `serve/N`, patches, and `segment/N/image` with `segment/N/spacing`, scans; OUTPUTS gets one of each first two words.
"""

import os
import sys

sys.modules["scnas_keras"] = None  # importing it from here on fails
sys.path.pop(0)  # this file's folder, whose modules are named like packages

import numpy as np  # noqa: E402


def saved_model(folder):
    """Functions by the names of the signatures."""
    import tensorflow as tf

    served = tf.saved_model.load(folder)
    functions = {"serve": lambda image: served.serve(image)["probabilities"].numpy()}
    if hasattr(served, "segment"):
        functions["segment"] = lambda image, spacing: served.segment({"image": image, "spacing": spacing})["segmentation"].numpy()
    return functions


def onnx(folder):
    """The same of an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])
    return {"serve": lambda image: session.run(["probabilities"], {"image": image})[0]}


def litert(folder):
    """The same of a LiteRT file."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(os.path.join(folder, "model.tflite"))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def serve(image):
        interpreter.resize_tensor_input(taken["index"], image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return {"serve": serve}


def main(kind, folder, inputs, outputs):
    """Runs all inputs and saves what comes out."""
    functions, found = {"saved_model": saved_model, "onnx": onnx, "litert": litert}[kind](folder), {}
    with np.load(inputs) as file:
        for name in sorted({"/".join(name.split("/")[:2]) for name in file.files}):
            arguments = [file[name]] if name in file.files else [file[f"{name}/image"], file[f"{name}/spacing"]]
            found[name] = functions[name.split("/")[0]](*arguments)
    np.savez(outputs, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
