"""``fovea report``: a page that stands by itself, whatever names are in a run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fovea.cli import main
from fovea.cli.fitting import Guess
from fovea.cli.gallery import worst_images
from fovea.cli.html import curves, heat
from fovea.cli.preprocess import Preprocess
from fovea.cli.report import write_report
from fovea.targets.cpu import isa

EVIL = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Tags that are open and shut, texts, and all that points elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]
        assert not [k for k, _ in attrs if k.startswith("on")]
        if tag not in ("meta", "img", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def results(**changed: Any) -> dict[str, Any]:
    classes = ["cat", EVIL]
    each = {c: {"precision": 0.5, "recall": 1.0, "images": 4} for c in classes}
    return {
        "data": EVIL, "model": "resnet18", "classes": classes, "seconds": 3.0, "parameters": 12_345,
        "history": {"loss": [1.0, 0.5, float("nan")], "val_loss": [2.0], "accuracy": [0.5, 0.75]},
        "best_epoch": 2, "ended": EVIL, "versions": {"fovea": EVIL}, "machine": {EVIL: EVIL},
        "test": {
            "accuracy": 0.75, "loss": 0.5, "right": 3, "images": 4, "per_class": each,
            "confusion_matrix": [[3, 1], [0, 0]],
        },
        **changed,
    }  # fmt: skip


def page_of(folder: Path, **changed: Any) -> tuple[Page, str]:
    (folder / "results.json").write_text(json.dumps(results(**changed)))
    text = write_report(folder).read_text(encoding="utf-8")
    return Page(text), text


def test_a_run_writes_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--epochs", "1", "--quiet", "--output", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    page, said = Page(text), " ".join(text.split())
    assert "simple_cnn on Digits" in said and "131,178" in said and "epochs, best 1" in said
    assert {"svg", "table", "img"} <= set(page.tags) and "script" not in page.tags
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "dataset" in page.texts and isa.active().name in page.texts
    assert main(["report", str(tmp_path / "run"), "--output", str(tmp_path / "a.html")]) == 0
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == text
    assert Image.open(tmp_path / "run" / "worst.png").width == 6 * 150


def test_names_are_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"# a line\ndata: {EVIL}\n")
    page, text = page_of(tmp_path)
    assert "<script" not in text.lower() and EVIL in page.texts
    assert "script" not in page.tags and page.links == []
    assert re.search(r"https?://", text) is None and "Content-Security-Policy" in text


@pytest.mark.parametrize(
    ("task", "numbers", "named"),
    [
        ("detection", {"AP": 0.5, "AP50": 0.75}, "AP"),
        ("segmentation", {"mean IoU": 0.5, "pixel accuracy": 0.75}, "IoU"),
    ],
)
def test_scenes(tmp_path: Path, task: str, numbers: dict[str, float], named: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "predictions.png")
    test = {**numbers, "per_class": {"cat": 0.25, EVIL: 0.5}, "images": 7}
    page, _ = page_of(tmp_path, task=task, test=test, history={"loss": [1.0]})
    assert "25.00%" in page.texts and named in page.texts and len(page.links) == 1
    assert "0.7500" in page.texts


def test_without_a_test(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, test=None, history={})
    assert "12,345" in page.texts and "svg" not in page.tags


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no finished run"), ("{", "damaged"), ("[]", "no result"), ("{}", "no result"),
        (json.dumps(results(classes=3)), "no result"),
        (json.dumps(results(history=[1])), "no result"),
        (json.dumps(results(test={"accuracy": "x", "right": 1, "images": 1})), "no result"),
        ("[" * 100_000, "damaged"),
    ],
)  # fmt: skip
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    assert main(["report", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_curves_and_matrices() -> None:
    assert curves("loss", {"a": []}) == "" and curves("loss", {"a": [float("nan")]}) == ""
    drawn = curves("loss", {"a": [0.25] * 60, "b": [1e-3, 2e4]})
    assert drawn.count("<circle") == 62 and "2e+04" in drawn
    assert "75.00%" in curves("accuracy", {"a": [0.5, 0.75]}, percent=True)
    assert 'title="x taken for y: 2"' in heat([[0, 2], [0, 1]], ["x", "y"])


def test_the_gallery_shows_images_as_they_were() -> None:
    import fovea

    preprocess = Preprocess(3, 10, 20, "squash", (0.5,) * 3, (0.25,) * 3)
    guesses = [Guess(1, 0, 2.0, 1, 0.9), Guess(0, 1, 0.1, 1, 0.5)]
    images = [(fovea.full((3, 10, 20), 2.0), 1), (fovea.full((3, 10, 20), -2.0), 0)]
    sheet = worst_images(
        images, guesses, ["a name that is much too long for this", "b"], preprocess
    )
    assert sheet.size == (300, 192)
    assert sheet.getpixel((75, 75)) == (0, 0, 0) and sheet.getpixel((225, 75)) == (255, 255, 255)
