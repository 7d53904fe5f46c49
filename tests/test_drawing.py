"""Figures drawn by helper processes: the same bytes, errors with a file name, and no helper that outlives its work."""

import gc
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from ensemble import plots
from ensemble.plots import drawing
from ensemble.studies import save
from ensemble.system.garbage import uncollected

pytestmark = pytest.mark.jit_heavy  # nothing here calls a kernel
FORMATS = ("png", "svg", "pdf")


def figures(count=4):
    for place in range(count):
        figure = Figure(layout="constrained")
        figure.subplots().plot([1, 2], [place, 3], label="a line")
        yield f"figure{place}", figure


class Unsendable(Figure):
    def __reduce__(self):
        raise TypeError("cannot be sent")


class Failing(Figure):
    def draw(self, renderer):
        raise ValueError("no such glyph")


def test_helpers_draw_the_bytes_that_this_process_draws():
    with plots.Drawing(lambda: figures(2), FORMATS, "abc") as alone:
        expected = alone.finish()
    assert list(expected) == [f"figure{place}.{suffix}" for place in range(2) for suffix in FORMATS]
    with plots.Drawing(lambda: figures(2), FORMATS, "abc", helpers=2) as helped:
        helped._join()  # nothing is left to this process
        assert len(helped._done) == 6
        assert helped.finish() == expected


@pytest.mark.parametrize("helpers", [0, 1])
def test_a_figure_that_fails_is_named_with_its_file(helpers):
    broken = [*figures(2), ("summary", Failing())]
    expected = pytest.raises(RuntimeError, match=r"summary\.png cannot be drawn: no such glyph")
    with expected, plots.Drawing(lambda: broken, FORMATS, helpers=helpers) as drawn:
        drawn.finish()
    assert all(process.returncode is not None for process in drawn._processes)


def test_a_figure_that_cannot_be_sent_is_drawn_here():
    with plots.Drawing(lambda: [("one", Unsendable()), *figures(2)], ("png",), helpers=1) as drawn:
        assert list(drawn.finish()) == ["one.png", "figure0.png", "figure1.png"]


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "print('no pickle', flush=True); input()"])
def test_a_helper_that_fails_costs_nothing_but_time(monkeypatch, code):
    monkeypatch.setattr(drawing, "_SERVE", code)
    with plots.Drawing(figures, ("png",), helpers=2) as drawn:
        assert len(drawn.finish()) == 4


def test_without_processes_all_is_drawn_here(monkeypatch):
    def refused(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with plots.Drawing(lambda: figures(2), ("png",), helpers=2) as drawn:
        assert len(drawn.finish()) == 2


def test_an_interrupt_ends_the_helpers():
    with pytest.raises(KeyboardInterrupt), plots.Drawing(figures, FORMATS, helpers=2) as drawn:
        raise KeyboardInterrupt
    assert all(process.returncode is not None for process in drawn._processes)
    assert not any(thread.is_alive() for thread in drawn._threads)


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from matplotlib.figure import Figure\n"
        "from ensemble import plots\n"
        "with plots.Drawing(lambda: [('a', Figure()), ('b', Figure())], ('png',), helpers=1) as drawn:\n"
        "    assert len(drawn.finish()) == 2\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "once\n" and done.stderr == ""


def test_what_fails_before_a_helper_is_needed_ends_it():
    drawn = plots.Drawing(lambda: 1 / 0, FORMATS, helpers=1)
    with pytest.raises(ZeroDivisionError), drawn:
        pass
    assert [process.returncode is not None for process in drawn._processes] == [True]


def test_a_helper_that_is_never_ready_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(drawing, "_SERVE", "input(); input()")
    with plots.Drawing(figures, ("png",), helpers=1) as drawn:
        assert len(drawn.finish()) == 4


def test_files_with_helpers_are_the_bytes_of_those_without(monkeypatch):
    made = {}
    monkeypatch.setattr(save, "HELPERS", 3)
    for cores in (1, 2):
        monkeypatch.setattr(save, "n_threads", lambda _, cores=cores: cores)
        made[cores] = save.contents(figures, lambda: {"table": [{"a": 1}], "none": []}, lambda: {"t.txt": "t"},
                                    ("png",), "abc", many=True)  # fmt: skip
    assert made[1] == made[2]
    assert list(made[1]) == [*(f"figure{place}.png" for place in range(4)), "table.csv", "t.txt"]


@pytest.mark.parametrize("was_on", [True, False])
def test_garbage_is_searched_for_again_after_drawing_as_before(was_on):
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with pytest.raises(ZeroDivisionError), uncollected():
            assert not gc.isenabled()
            1 / 0  # noqa: B018
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()
