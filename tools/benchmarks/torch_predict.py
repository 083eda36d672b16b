"""MONAI's sliding window over a scan, timed; `tools/benchmark predict` runs this file with the Python of another environment.

Its argument is JSON: threads, size, channels, classes, patch_size, and the stages of nnU-Net's network (strides, kernel_sizes, features).
"""

import json
import re
import sys
import threading
import time

import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import DynUNet


def anonymous():
    """This process' anonymous memory, bytes."""
    with open("/proc/self/status") as stream:
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", stream.read())[1])


def main(settings):
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    network = DynUNet(
        3,
        settings["channels"],
        settings["classes"],
        kernel_size=settings["kernel_sizes"],
        strides=settings["strides"],
        upsample_kernel_size=settings["strides"][1:],
        filters=settings["features"],
        norm_name=("instance", {"affine": True}),
        trans_bias=True,
        res_block=False,
        deep_supervision=False,
    ).eval()
    inferer = SlidingWindowInferer(settings["patch_size"], sw_batch_size=1, overlap=0.5, mode="gaussian")
    with torch.inference_mode():
        network(torch.zeros(1, settings["channels"], *settings["patch_size"]))
        image = torch.randn(1, settings["channels"], *settings["size"])
        before = most = anonymous()

        def watch():
            nonlocal most
            while True:
                most = max(most, anonymous())
                time.sleep(0.02)

        threading.Thread(target=watch, daemon=True).start()
        began = time.perf_counter()
        inferer(image, network).argmax(dim=1)
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "bytes": most - before}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
