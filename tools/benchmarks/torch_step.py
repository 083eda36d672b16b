"""A training step of a torch network, timed; `tools/benchmark train` runs this file with the Python of another environment.

Its argument is JSON: row, threads, steps, patch_size, batch, channels, classes, deep_supervision, and the stages of nnU-Net's network
(strides, kernel_sizes, features).
"""

import json
import resource
import statistics
import sys
import time

START = time.perf_counter()

import torch  # noqa: E402  the first step counts from before the import

FEATURES = [32, 64, 128, 256]


def dynunet(settings):
    """MONAI's DynUNet with the layers of nnunet_4_stages: scale and offset, and the bias of transposed convolutions, as nnU-Net has."""
    from monai.networks.nets import DynUNet

    return DynUNet(
        3,
        settings["channels"],
        settings["classes"],
        kernel_size=[3] * 4,
        strides=[1, 2, 2, 2],
        upsample_kernel_size=[2, 2, 2],
        filters=FEATURES,
        norm_name=("instance", {"affine": True}),
        trans_bias=True,
        res_block=False,
        deep_supervision=False,
    )


def monai_unet(settings):
    from monai.networks.nets import UNet

    return UNet(3, settings["channels"], settings["classes"], channels=FEATURES, strides=(2, 2, 2), num_res_units=2)


def nnunet_v2(settings):
    """nnU-Net v2's network with the stages that its rules give for the patch."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    stages = len(settings["features"])
    return PlainConvUNet(
        settings["channels"],
        stages,
        settings["features"],
        torch.nn.Conv3d,
        settings["kernel_sizes"],
        settings["strides"],
        2,
        settings["classes"],
        2,
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=settings["deep_supervision"],
    )


def monai_loss(settings):
    from monai.losses import DiceCELoss

    return DiceCELoss(to_onehot_y=True, softmax=True)


def nnunet_loss(settings):
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    loss = DC_and_CE_loss({"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, dice_class=MemoryEfficientSoftDiceLoss)
    if not settings["deep_supervision"]:
        return loss
    outputs = len(settings["features"]) - 1
    weights = [0.5**level for level in range(outputs - 1)] + [0]
    return DeepSupervisionWrapper(loss, [weight / sum(weights) for weight in weights])


ROWS = {
    "dynunet": (dynunet, monai_loss),
    "dynunet_malloc": (dynunet, monai_loss),
    "monai_unet": (monai_unet, monai_loss),
    "nnunet_v2": (nnunet_v2, nnunet_loss),
}


def main(settings):
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    make_network, make_loss = ROWS[settings["row"]]
    network, loss_function, batch = make_network(settings), make_loss(settings), settings["batch"]
    images = torch.randn(batch, settings["channels"], *settings["patch_size"])
    labels = torch.randint(0, settings["classes"], (batch, 1, *settings["patch_size"]))
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
    multiply_adds = []

    def count(layer, inputs, output):
        positions = inputs[0] if isinstance(layer, torch.nn.ConvTranspose3d) else output
        multiply_adds.append(positions[0, 0].numel() * batch * layer.weight.numel())

    convolutions = [layer for layer in network.modules() if isinstance(layer, (torch.nn.Conv3d, torch.nn.ConvTranspose3d))]
    hooks = [layer.register_forward_hook(count) for layer in convolutions]

    def step():
        before = time.perf_counter()
        optimizer.zero_grad()
        output = network(images)
        targets = labels
        if isinstance(output, (list, tuple)):
            targets = [torch.nn.functional.interpolate(labels.float(), level.shape[2:]).long() for level in output]
        loss = loss_function(output, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        loss.item()
        return time.perf_counter() - before

    step()
    first = time.perf_counter() - START
    for hook in hooks:
        hook.remove()
    seconds = statistics.median(step() for _ in range(settings["steps"]))
    parameters, peak = sum(weight.numel() for weight in network.parameters()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "seconds": seconds,
                "first_step_seconds": first,
                "parameters": parameters,
                "multiply_adds": sum(multiply_adds),
                "peak_bytes": peak,
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
