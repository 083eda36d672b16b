"""What verification tells: text for people, JSON for programs."""

import dataclasses
import json
from pathlib import Path

from scnas_keras.checks.findings import ERROR, WARNING, Finding, by_kind, grouped_lines


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of verifying a task.

    Attributes:
        root: the task's folder.
        cases: number of labelled cases.
        findings: all that was found.
        checked: what was looked at (test images, files, voxels, target spacing in mm), for the JSON.
    """

    root: Path
    cases: int
    findings: tuple[Finding, ...]
    checked: dict[str, object]

    @property
    def has_errors(self) -> bool:
        """Whether something must be fixed before training."""
        return bool(by_kind(self.findings, ERROR))

    @property
    def summary(self) -> str:
        """One line: 208 cases: no errors, 2 kinds of warnings."""
        parts = [_count(len(by_kind(self.findings, severity)), severity) for severity in (ERROR, WARNING)]
        return f"{self.cases} {'case' if self.cases == 1 else 'cases'}: {', '.join(parts)}."

    def text(self) -> str:
        """All findings by kind, errors first, up to 5 examples each, with remedies; the summary last."""
        lines = []
        for severity, title in ((ERROR, "Errors"), (WARNING, "Warnings")):
            groups = by_kind(self.findings, severity)
            if groups:
                lines += [f"{title} in {self.root}:", *grouped_lines(groups, self.root)]
        return "\n".join([*lines, self.summary])

    def json(self) -> str:
        """The same, complete."""
        content = {"dataset": str(self.root), "cases": self.cases, "checked": self.checked}
        for severity in (ERROR, WARNING):
            content[f"{severity}s"] = [
                {"kind": kind.key, "heading": kind.heading, "remedy": kind.remedy, "cases": [_entry(finding) for finding in group]}
                for kind, group in by_kind(self.findings, severity).items()
            ]
        return json.dumps(content, indent=2) + "\n"


def _entry(finding: Finding) -> dict[str, str | None]:
    return {"case": finding.case, "file": None if finding.file is None else str(finding.file), "detail": finding.detail}


def _count(number: int, what: str) -> str:
    return f"no {what}s" if number == 0 else f"{number} {'kind' if number == 1 else 'kinds'} of {what}{'s' * (number != 1)}"
