"""Networks by name, for flags; `architectures.registry` knows what they are."""

GENOTYPE, SUPERNET = "genotype", "supernet"
HANDMADE = ("u_resnet", "nnunet", "resenc_m", "resenc_l", "resenc_xl", "unet")
TRAINABLE = (GENOTYPE, *HANDMADE)
"""What can be trained: the network of a genotype, and the hand-made ones."""
NETWORKS = (*TRAINABLE, SUPERNET)
DEFAULT_WIDTHS = {GENOTYPE: 64, SUPERNET: 48} | dict.fromkeys(HANDMADE, 32)
"""Channels at full resolution (of `unet`, of its first convolution)."""
MATCH, MATCHABLE = "match:", ("u_resnet", "unet")
"""In the place of a width: that at which a genotype costs as much as one of these, whose stages don't depend on a plan."""
