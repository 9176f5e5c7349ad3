"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import fovea

SKIP = ("fovea.__main__",)
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(fovea.__path__, "fovea.") if m.name not in SKIP
)


@pytest.mark.parametrize("name", ["fovea", *MODULES])
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    for inner in MODULES:  # now, not when the search meets a name that comes when it is asked for
        if inner.rpartition(".")[0] == name:
            importlib.import_module(inner)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in finder.find(module, name):
        if test.examples:
            fovea.manual_seed(0)
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
