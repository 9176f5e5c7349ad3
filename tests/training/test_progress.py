"""The progress bar: laid out as Keras's on a terminal, plain elsewhere."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest

from fovea.training import Progbar
from fovea.training.progress import print_message

METRICS = [("accuracy", 0.5), ("loss", 1.25), ("tiny", 0.0001)]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    encoding = "utf-8"


class Ascii(Pipe):
    encoding = "ascii"


def lines_of(make: Any, clock: Any, monkeypatch: Any, out: Any, verbose: int, target: Any) -> str:
    monkeypatch.setattr(sys, "stdout", out)
    now = [100.0]
    monkeypatch.setattr(clock, "time", lambda: now[0])
    bar = make(target, verbose=verbose, stateless_metrics=set())
    for step in range(1, 4):
        now[0] += 2.5
        bar.update(step, METRICS, finalize=False)
    now[0] += 0.5
    bar.update(3, METRICS, finalize=True)
    return str(out.getvalue())


def visible(text: str) -> list[str]:
    """What is left on the screen: the last drawing of each line, without colors."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\b", "")
    return [part.rstrip() for part in re.split(r"[\r\n]+", plain) if part.strip()]


@pytest.mark.parametrize("target", [3, 100, None])
def test_equals_keras_on_a_terminal(monkeypatch: Any, target: Any) -> None:
    pytest.importorskip("keras")
    from keras.src.utils import progbar as theirs

    import fovea.training.progress as own

    monkeypatch.delenv("NO_COLOR", raising=False)
    expected = lines_of(theirs.Progbar, theirs.time, monkeypatch, Terminal(), 1, target)
    found = lines_of(Progbar, own.time, monkeypatch, Terminal(), 1, target)
    assert visible(found) == visible(expected)
    assert re.findall(r"\x1b\[[0-9;]*m", found) == re.findall(r"\x1b\[[0-9;]*m", expected)


def test_one_line_an_epoch_equals_keras(monkeypatch: Any) -> None:
    pytest.importorskip("keras")
    from keras.src.utils import progbar as theirs

    import fovea.training.progress as own

    expected = lines_of(theirs.Progbar, theirs.time, monkeypatch, Pipe(), 2, 3)
    assert lines_of(Progbar, own.time, monkeypatch, Pipe(), 2, 3).split() == expected.split()


def test_without_a_terminal_only_the_end_is_written(monkeypatch: Any) -> None:
    import fovea.training.progress as own

    text = lines_of(Progbar, own.time, monkeypatch, Pipe(), 1, 3)
    assert text.count("\n") == 1 and "\x1b" not in text and "\r" not in text and "\b" not in text
    assert "3/3 ━━━━━━━━━━━━━━━━━━━━ 8s" in text and "loss: 1.2500" in text


def test_encodings_without_the_bar_s_character(monkeypatch: Any) -> None:
    import fovea.training.progress as own

    text = lines_of(Progbar, own.time, monkeypatch, Ascii(), 1, 3)
    assert "====" in text and text.isascii()


def test_no_color(monkeypatch: Any) -> None:
    import fovea.training.progress as own

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in lines_of(Progbar, own.time, monkeypatch, Terminal(), 1, 3)


def test_silent(capsys: Any) -> None:
    bar = Progbar(2, verbose=0)
    bar.update(1)
    bar.update(2)
    assert capsys.readouterr().out == ""


def test_averages(capsys: Any) -> None:
    bar = Progbar(3, verbose=1, stateful_metrics=["now"])
    bar.update(1, [("mean", 1.0), ("now", 1.0)])
    bar.update(3, [("mean", 4.0), ("now", 4.0)], finalize=False)
    assert bar._shown() == {"mean": 3.0, "now": 4.0}
    with pytest.raises(ValueError, match="not both"):
        Progbar(3, stateful_metrics=[], stateless_metrics=[])


def test_add() -> None:
    bar = Progbar(3, verbose=0)
    bar.add(1)
    bar.add(2)
    assert bar._seen == 3


def test_interrupt_ends_the_line(monkeypatch: Any) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    bar = Progbar(10, interval=0)
    bar.update(1, [("loss", 1.0)])
    bar.interrupt()
    bar.interrupt()
    assert out.getvalue().endswith("\n") and not out.getvalue().endswith("\n\n")


def test_messages_in_a_small_encoding(monkeypatch: Any) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    print_message("━ done")
    assert out.buffer.getvalue() == b"? done\n"  # type: ignore[attr-defined]
