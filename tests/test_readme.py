"""What README.md shows runs; its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["README.md", "docs/compile.md", "docs/training.md", "docs/weights.md"]
)
def test_python_blocks_run(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), {})


def test_the_table_of_training_is_true() -> None:
    """What it names in `fovea.training` and on the command line is there."""
    import argparse

    from fovea import training
    from fovea.cli import evaluate, train

    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    names = set(re.findall(r"(?<!vision\.)\btraining\.(\w+)", page)) - {"md"}
    assert len(names) >= 9 and not [n for n in names if not hasattr(training, n)]
    commands = argparse.ArgumentParser().add_subparsers()
    for command in (train, evaluate):
        command.add_parser(commands)
    known = {o for p in commands.choices.values() for a in p._actions for o in a.option_strings}
    options = set(re.findall(r"--[a-z][a-z-]+", page.split("## What there is")[1]))
    assert len(options) > 15 and options <= known


def prose(page: str) -> str:
    """A page without its code, which may hold brackets that are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S))


def test_prose_has_no_code() -> None:
    page = "[a](a.md) `b[0](c)` [`d`](d.md)\n\n```python\ne[0](f)\n```\n[g](g.md)"
    assert re.findall(r"\]\(([^)]+)", prose(page)) == ["a.md", "d.md", "g.md"]


def test_links() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(
            r"\]\((?!https?://|#)([^)#]+)", prose(page.read_text(encoding="utf-8"))
        ):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_two_commands_are_one_line_each() -> None:
    for mark in ("main", "tests"):
        block = README.split(f"<!-- {mark} -->\n```sh\n")[1].split("```")[0]
        assert len(block.strip().splitlines()) == 1 and "python3 -m venv" in block


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip()
