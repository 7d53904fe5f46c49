"""The examples in docstrings are run, and print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ensemble"


def examples():
    """Return the docstrings with examples, of every module whose extra is installed."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            try:
                module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            except ImportError:  # an extra is missing
                continue
            found += [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    return found


EXAMPLES = examples()


@pytest.mark.jit_heavy
@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_an_example_in_a_docstring_is_true(test):
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_the_front_door_has_examples():
    for name in ("grid", "batches"):
        assert any(test.name.endswith(f".{name}") for test in EXAMPLES), name
