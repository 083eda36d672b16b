"""Every network that can be trained or searched: what the planner knows of it, and how it is built. One file a network.

To add a hand-made network, write a file here, for example a copy of `unet.py`. It needs
- a frozen dataclass that is a `registry.Network`: name, numbers of axes, width, stages for a patch, elements, whether it has several
  outputs, and `build`. `planning.footprints.FixedStages` is the part of it that networks with stages of their own share;
- `DECLARED`, the networks of the file at their default widths: one, or several presets.

The file imports frameworks only inside of functions, since `--help` reads it. `registry` finds the file, and commands, planner,
cross-validation and benchmark read the registry. tests/test_architectures.py builds every network and compares what it declares.
"""
