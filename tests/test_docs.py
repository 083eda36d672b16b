"""What README and docs tell a person to type: each command line has flags that the command takes, and each link leads somewhere."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from processes import ROOT

from scnas_keras.commands import commands
from scnas_keras.declarations import config_of
from scnas_keras.options import parse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGFILES = sorted((ROOT / "flags").rglob("*.cfg"))
PREFIX = re.compile(r"(?:[A-Z_]+=\S+\s+)*scnas (\w+)")
META = {"help", "COMMAND"}


def lines_of(text: str) -> list[str]:
    """Command lines in indented blocks, fences and between backquotes, without comments, continued lines put together."""
    text = re.sub(r"\\\n\s*", " ", text)
    found = re.findall(r"^(?: {4}|#   )((?:[A-Z_]+=\S+ +)*scnas \w.*)$", text, re.M)
    found += [" ".join(own.split()) for own in re.findall(r"`(scnas \w+ [^`]*--[^`]*)`", text)]
    return [re.sub(r"\s+#.*", "", line) for line in found]


def documented() -> list[tuple[str, str]]:
    found = [(page.name, line) for page in (*PAGES, *FLAGFILES) for line in lines_of(page.read_text(encoding="utf-8"))]
    for name in commands():
        usage = ast.get_docstring(ast.parse((ROOT / "scnas_keras" / name / "__init__.py").read_text(encoding="utf-8"))) or ""
        found += [(f"{name} --help", line) for line in usage.splitlines() if line.startswith("scnas ")]
    return found


def test_there_are_such_lines_of_every_command():
    seen = {PREFIX.match(line)[1] for _, line in documented() if PREFIX.match(line)}
    assert set(commands()) <= seen | META and len(documented()) > 60


@pytest.mark.parametrize("place, line", documented())
def test_a_command_line_has_flags_that_its_command_takes(place, line):
    name = PREFIX.match(line)[1]
    if name in META:
        return
    assert name in commands(), line
    line = line.replace("[,RUN2,...]", "").replace("--task=TASK", "--task=custom")
    line = PREFIX.sub("", line, count=1).partition(" > ")[0]
    words = [word for word in shlex.split(line.replace("(the same)", "")) if word not in ("...", "SHORT", "DATA")]
    words = [word for word in words if not word.endswith("=...") and not word.startswith("--flagfile=")]
    parse(config_of(name), ["scnas", *words])


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        there = page if not file else (page.parent / file)
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            titles = [
                re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
                for title in re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.M)
            ]
            assert anchor in titles, f"{page.name}: {target}"


def test_nothing_is_left_to_be_filled_in():
    assert not [page.name for page in PAGES if re.search(r"@[A-Z]+@|TODO", page.read_text(encoding="utf-8"))]


def test_the_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "architecture.md"], ids=lambda page: page.name)
def test_modules_are_named_as_commands_are_typed(page):
    """`scnas search`, not the module's name, but where the two are said to be the same."""
    named = re.findall(r"python -m scnas_keras\.(\w+)", page.read_text(encoding="utf-8"))
    assert set(named) <= {"COMMAND"}, named


def test_tools_that_are_named_are_there():
    for page in PAGES:
        for tool in re.findall(r"\btools/(\w+)", Path(page).read_text(encoding="utf-8")):
            assert (ROOT / "tools" / tool).exists(), f"{page.name}: tools/{tool}"


@pytest.mark.parametrize(
    "name, row", [("glossary.md", "| **held-out cases** | a fifth"), ("data.md", "Of a fold's training cases a fifth")]
)
def test_the_architectures_fifth_is_told_with_its_flag(name, row):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert "`--architecture_share" in text[text.index(row) :][:120]
