"""What was found about a machine."""

import dataclasses

OK, NOTE, FAILS = "ok", "note", "FAILS"
"""As it should be; works, and something is missing or slow that a person may want; work isn't possible."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at: its state, what it is, and what was found, with what to do where it isn't as it should be."""

    state: str
    name: str
    text: str

    def __str__(self):
        return f"{self.state:5}  {self.name:22} {self.text}"
