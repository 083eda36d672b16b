"""A network that may race, as flags of `retrain`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network that may race, with its recipe.

    Attributes:
        name: its own; also that of its folder.
        family: one of FAMILIES, or TUNED.
        network, width, genotype: flags of `retrain`; of a place for a sample that isn't drawn yet, the first two are empty.
        base: of a sample, the candidate whose network it has.
        origin: of a sample, what it was drawn around.
        genes: what differs from the default recipe and the base's network.
        flags: other flags of `retrain` that follow from the genes.
    """

    name: str
    family: str
    network: str
    width: str
    genotype: str | None = None
    base: str | None = None
    origin: str | None = None
    genes: dict[str, str | int | float] = dataclasses.field(default_factory=dict)
    flags: dict[str, str | int | float | tuple[int, ...] | None] = dataclasses.field(default_factory=dict)

    @property
    def is_drawn(self) -> bool:
        """Whether it is known what to train."""
        return bool(self.network)

    @property
    def text(self) -> str:
        """Of a sample, its network and what differs, in words; else the name."""
        genes = self.genes | ({"width": self.width} if "width" in self.genes else {})
        return ", ".join([self.base or self.name, *(f"{name} {value}" for name, value in genes.items())])
