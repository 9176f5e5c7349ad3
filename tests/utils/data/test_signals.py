"""Whole programs: interrupted, ended early, killed. Nothing hangs and nobody stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")

SCRIPT = """
import os, sys, time
from fovea.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self): return 100000
    def __getitem__(self, index):
        time.sleep(0.002)
        return os.getpid()

if __name__ == "__main__":
    kind, ending = sys.argv[1:]
    keep = ending == "keep"
    loader = DataLoader(Slow(), 4, num_workers=2, worker_type=kind, persistent_workers=keep)
    for i, batch in enumerate(loader):
        print("worker", int(batch[0]), flush=True)
        if i == 10:
            print("running", flush=True)
        if ending != "run" and i == 10:
            break
    print("left", flush=True)
"""


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(SCRIPT))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        [sys.executable, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], word: str) -> set[int]:
    """The workers' process ids, from the lines up to the one that is ``word``."""
    assert process.stdout is not None
    workers = set()
    for line in process.stdout:
        if line.strip() == word:
            return workers
        workers.add(int(line.split()[1]))
    assert process.stderr is not None
    raise AssertionError(f"the program ended early: {process.stderr.read()}")


def finish(process: subprocess.Popen[str], seconds: float = 20.0) -> tuple[str, str]:
    """What is left of the program's output and errors (``communicate`` would miss lines read
    ahead).
    """
    process.wait(timeout=seconds)
    assert process.stdout is not None and process.stderr is not None
    return process.stdout.read(), process.stderr.read()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def wait_gone(pids: set[int], seconds: float = 8.0) -> set[int]:
    deadline = time.monotonic() + seconds
    left = {p for p in pids if alive(p)}
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = {p for p in left if alive(p)}
    return left


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_ctrl_c(kind: str, tmp_path: Path) -> None:
    process = start(tmp_path, kind, "run")
    workers = read_until(process, "running")
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: the whole group gets it
    _, errors = finish(process)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert not wait_gone(workers)


@pytest.mark.parametrize("ending", ["break", "keep"])
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_program_that_leaves_early_ends(kind: str, ending: str, tmp_path: Path) -> None:
    process = start(tmp_path, kind, ending)
    workers = read_until(process, "running")
    output, errors = finish(process)
    assert process.returncode == 0 and output == "left\n" and errors == ""
    assert not wait_gone(workers)


def test_workers_follow_a_killed_parent(tmp_path: Path) -> None:
    process = start(tmp_path, "process", "run")
    workers = read_until(process, "running")
    assert len(workers) == 2 and process.pid not in workers
    process.kill()
    process.wait(timeout=10)
    assert not wait_gone(workers)


def test_a_script_without_a_guard_says_so(tmp_path: Path) -> None:
    path = tmp_path / "unguarded.py"
    path.write_text(
        "from fovea.utils.data import DataLoader\n"
        "print(list(DataLoader([1, 2], num_workers=1, worker_type='process',"
        " multiprocessing_context='spawn')))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=environment, timeout=60
    )
    assert run.returncode != 0 and '__name__ == "__main__"' in run.stderr
