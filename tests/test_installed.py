"""What a built wheel holds: all rooms, the flagfiles, the type marker."""

import sys
import zipfile
from pathlib import Path

import pytest
from processes import PYTHON, ROOT, run

from scnas_keras.commands import commands

ASK = "import scnas_keras.options as o, scnas_keras; print(scnas_keras.__file__); print(' '.join(o.tasks()))"


@pytest.mark.nightly
def test_an_installed_wheel_lists_the_tasks(tmp_path):
    """Built, installed without its dependencies in a new environment that sees this one's, and asked from another folder."""
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("scnas_keras-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "scnas_keras").rglob("*.py")}
    assert modules <= names and "scnas_keras/py.typed" in names and "scnas_keras/flags/presets/paper_literal.cfg" in names
    assert "scnas_keras/spaces/published/nas_unet.json" in names
    assert not any(name.startswith(("tests/", "tools/", "flags/")) for name in names)
    run(PYTHON, "-m", "venv", "--system-site-packages", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "--quiet", "install", "--no-deps", "--force-reinstall", wheel)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    (packages / "outer.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    asked = run(python, "-P", "-c", ASK, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    where, tasks = asked.stdout.splitlines()
    assert where.startswith(str(tmp_path)) and {"brain", "custom", "hippocampus", "phantom"} <= set(tasks.split())
    scnas = tmp_path / "venv" / "bin" / "scnas"
    listed = run(scnas, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}).stdout
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ")} == set(commands())
    for name in commands():
        assert run(scnas, name, "--help", cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}).stdout.startswith(f"scnas {name}")
    run(scnas, "plan", "--data_dir=gone", "--output=x", cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, code=2)
