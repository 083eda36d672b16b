# %% [markdown]
# # Training through Keras' own `fit`
# `scnas retrain` does all of this by itself, resumes, and runs on several hosts. This script is for those who want the pieces in
# their own hands: data, network, loss, metric and schedule, with `compile` and `fit`. It runs as it is, on generated scans, in a minute:
# `python docs/fit.py`. For your own: `DataConfig(task="custom", data_dir=...)`, larger patches, and more steps.

# %%
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # TensorFlow leaves it off on CPUs without AVX-512, where it is several times faster

import keras

from scnas_keras.architectures.registry import footprint
from scnas_keras.formats.volumes import read_image, write_label
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.networks.heads import at_full_resolution
from scnas_keras.runs.callbacks import Pace
from scnas_keras.runs.data_config import DataConfig
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.horizon import Horizon
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import DiceCrossEntropyLoss, JaccardLoss
from scnas_keras.training.schedules import Poly

EPOCHS, STEPS = 2, 10
keras.utils.set_random_seed(0)

# %% [markdown]
# A fold's cases: verified, split, planned for the network, prepared, by one process (more need a script with
# `if __name__ == "__main__"`). `footprint("genotype", genotype=Genotype.load(FILE))` would be the network that a search found;
# `"u_resnet"` and `"unet"` are others.

# %%
network = footprint("nnunet", width=8)
fold = open_fold(DataConfig(task="phantom", num_phantoms=8, patch_size=(16, 16, 16), batch_size=2, processes=1), network, fold=0)
channels, classes = len(fold.task.channel_names), fold.task.num_classes
training = fold.dataset("train", "held_out", batches=EPOCHS * STEPS, augmented=True)  # tf.data: image [2, 16, 16, 16, channels], label
validation = fold.dataset("validation", batches=4)

# %% [markdown]
# ## A plain Keras model
# Logits out, integer labels in. Schedules follow a horizon, which `Pace` counts: put it first.

# %%
stages = fold.configuration.topology, fold.configuration.features_per_stage
model = network.build(*stages, channels, classes)
model.compile(keras.optimizers.Adam(1e-3), JaccardLoss(), metrics=[MeanDice(classes)])
horizon = Horizon(EPOCHS)
callbacks = [Pace(horizon, STEPS, shown=False), Poly(horizon, 1e-3)]
history = model.fit(training, validation_data=validation, epochs=EPOCHS, steps_per_epoch=STEPS, callbacks=callbacks, verbose=0)
print("plain:", {name: round(values[-1], 3) for name, values in history.history.items()})

# %% [markdown]
# ## nnU-Net's recipe
# `Learner` is a Keras model around a network: deep supervision, weight decay through the momentum, gradients clipped as one. Keras'
# optimizers keep a moving average of the weights, and put it in the weights' place when `fit` ends.

# %%
supervised = network.build(*stages, channels, classes, deep_supervision=True)
learner = Learner(supervised, classes)
optimizer = keras.optimizers.SGD(0.01, 0.99, nesterov=True, use_ema=True, ema_momentum=0.9)
learner.compile(optimizer, DiceCrossEntropyLoss(batch_dice=fold.configuration.batch_dice), weight_decay=3e-5, clip_norm=12.0)
horizon = Horizon(EPOCHS)
callbacks = [Pace(horizon, STEPS, shown=False), Poly(horizon, 0.01)]
history = learner.fit(training, validation_data=validation, epochs=EPOCHS, steps_per_epoch=STEPS, callbacks=callbacks, verbose=0)
print("nnU-Net's recipe:", {name: round(values[-1], 3) for name, values in history.history.items()})

# %% [markdown]
# ## Whole scans
# The model with all that is needed to use it, as `scnas predict --model=FOLDER` and `scnas export` take it.

# %%
trained = SegmentationModel(at_full_resolution(supervised), fold.plan, fold.patch_size)
folder = pathlib.Path(tempfile.mkdtemp())
trained.save(folder)
case = next(case for case in fold.task.cases if case.name in fold.split.validation)
volume = read_image(case.images)
write_label(folder / "segmentation.nii.gz", SegmentationModel.load(folder).segment(volume), volume.geometry)
print("written:", *sorted(path.name for path in folder.iterdir()))
