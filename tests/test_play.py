"""The playground without its page: links, formulas, data, pictures, sentences, programs and the worker."""

import ast
import re
import threading
from pathlib import Path
from urllib.parse import parse_qs

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble
from ensemble import limits
from ensemble.data import SHAPES, TARGETS
from ensemble.engines import compiled
from ensemble.play.answer import answer, notes, short
from ensemble.play.code import python
from ensemble.play.formula import FUNCTIONS, parse
from ensemble.play.models import widths_of
from ensemble.play.picture import compute
from ensemble.play.settings import CHOSEN, DRAWN, FILE, FORMULA, KNOTS, SOURCES, Settings, from_query, to_query
from ensemble.play.source import columns_of, dataset_of, drawn_of, traced
from ensemble.play.worker import Job, Worker

CO2 = Path(__file__).parent / "data" / "mauna_loa_co2.csv"
SMALL = Settings(n=50, seeds=2, epochs=20, width=4, rate=0.03)


def complete(settings, content=None):
    *_, picture = compute(settings, content, ensemble.train)
    return picture


# Formulas

X = np.linspace(-2, 2, 9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x^2 - 1", X**2 - 1),
        ("2x", 2 * X),
        ("3(x+1)(x-1)", 3 * (X + 1) * (X - 1)),
        ("2pi*x^2", 2 * np.pi * X**2),
        ("sin(3x) + x/2", np.sin(3 * X) + X / 2),
        ("-x", -X),
        ("2e", np.full(9, 2 * np.e)),
        ("1e1", np.full(9, 10.0)),
        ("max(x, 0) + min(x, 1)", np.maximum(X, 0) + np.minimum(X, 1)),
        ("relu(x) - step(x)", np.maximum(0, X) - np.heaviside(X, 0.5)),
        ("abs(x) % 2", np.abs(X) % 2),
        ("(x)exp(1)", X * np.e),
        (".5x", X / 2),
        ("2π*x", 2 * np.pi * X),
        ("-x^2", -(X**2)),
    ],
)
def test_a_formula_is_computed(text, value):
    np.testing.assert_allclose(parse(text)(X), value, rtol=1e-14)


@pytest.mark.parametrize(
    "text",
    [
        "x^2 - 1",
        "2x",
        "3(x+1)(x-1)",
        *(f"{name}(x)" for name in FUNCTIONS if name not in ("max", "min")),
        "max(x, 2^0.5)",
        "e^-x",
        "1e400",
        "0 * 9^9^9^9",
        "-2 ^ 2 x",
    ],
)
def test_what_is_copied_computes_the_same(text):
    formula = parse(text)
    with np.errstate(all="ignore"):
        copied = eval(formula.code, {"np": np, "x": X})  # the tests' own formulas
    np.testing.assert_array_equal(np.broadcast_to(copied, X.shape), formula(X))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("sin(3x", "cannot be read"),
        ("x; y", "cannot be read"),
        ("x" * 201, "201 characters"),
        ("-" * 180 + "x", None),
        ("(" * 150, "cannot be read"),
        ("y + 1", "'y' is unknown"),
        ("sin", "'sin' is unknown"),
        ("foo(x)", "'foo' is unknown"),
        ("sin(x, 2)", "sin takes 1 argument, not 2"),
        ("max(x)", "max takes 2 arguments, not 1"),
        ("x.real", "'x.real' is not allowed"),
        ("x[0]", "not allowed"),
        ("x if x else 1", "not allowed"),
        ("[x]", "not allowed"),
        ("lambda: x", "not allowed"),
        ("(y := 2)", "not allowed"),
        ("'x'", "not allowed"),
        ("True", "not allowed"),
        ("x and x", "not allowed"),
        ("__import__('os').system('true')", "not allowed"),
        ("open('/etc/passwd')", "'open' is unknown"),
        ("f'{x}'", "not allowed"),
        ("x < 1", "not allowed"),
        ("sin(x=1)", "not allowed"),
        ("2,5x", "write a point"),
        ("sin(*x)", "not allowed"),
        ("x\0", "cannot be read"),
        ("x @ x", "not allowed"),
        ("(sin)(x)(x)", None),
    ],
)
def test_what_is_no_formula_is_one_sentence(text, words):
    if words is None:  # read in one way or another, quickly and without harm
        try:
            parse(text)
        except ValueError as error:
            assert "\n" not in str(error)
        return
    with pytest.raises(ValueError, match=r".") as caught:
        parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_formula_or_one_error(text):
    try:
        formula = parse(text)
    except ValueError:
        return
    assert formula(X).shape == X.shape
    names = {node.id for node in ast.walk(ast.parse(formula.code)) if isinstance(node, ast.Name)}
    assert names <= {"np", "x"}


# Links


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        SMALL,
        Settings(source="moons", noise=0.3, hidden_bias=False, output_bias=True),
        Settings(source=FORMULA, formula="sin(x) & é + ?", low=-1.5, high=0.25),
        Settings(source=FILE, file="a b.csv", x="x, 1", y="ÿ"),
        Settings(source=DRAWN, drawn=traced([-1, 0, 2], [0.5, -1.25, 3])),
        Settings(optimizer="gd", rate=0.001, parametrization="mup"),
    ],
)
def test_a_link_leads_back_to_its_settings(settings):
    assert from_query(parse_qs(to_query(settings))) == (settings, [])


def test_the_default_settings_need_no_query():
    assert to_query(Settings()) == ""


@pytest.mark.parametrize("name", CHOSEN)
def test_every_value_of_a_control_can_be_linked_to(name):
    for value in CHOSEN[name].values:
        assert from_query(parse_qs(to_query(Settings(**{name: value})))) == (Settings(**{name: value}), [])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("width=abc", "The link's width 'abc' is none of 1, 2"),
        ("width=10000000", "none of"),
        ("rate=nan", "none of"),
        ("source=nowhere", "source 'nowhere' is none of"),
        ("low=5&high=1", "interval from 5 to 1 is empty"),
        ("low=inf", "is no number"),
        ("high=1e99", "is no number"),
        ("drawn=1_2_3", "drawn curve is not"),
        ("evil=%3Cscript%3E", "no setting"),
        ("seeds=-1", "none of"),
        ("hidden_bias=maybe", "none of yes, no"),
        ("drawn=" + "_".join(["1"] * (KNOTS + 2)), "drawn curve is not"),
        ("formula=" + "x" * 300, "cannot be used"),
        ("file=a%00b", "cannot be used"),
        ("width=" + "9" * 5000, "none of"),
    ],
)
def test_what_a_link_has_wrong_is_said_and_left_at_its_default(query, words):
    settings, problems = from_query(parse_qs(query))
    assert settings == Settings()
    assert len(problems) == 1 and words in problems[0] and len(problems[0]) < 250


@given(st.dictionaries(st.sampled_from([*vars(Settings()), "other"]), st.lists(st.text(max_size=20), max_size=2)))
def test_any_link_opens(query):
    settings, _ = from_query(query)
    assert from_query(parse_qs(to_query(settings)))[0].source == settings.source


# Data


def test_a_drawn_curve_is_what_the_mouse_passed():
    drawn = traced([0, 1, 2, 1, 0], [0, 1, 0, 3, 2])  # there and back: the mean of both
    low, high, knots = drawn_of(Settings(drawn=drawn))
    assert (low, high, len(knots)) == (0, 2, KNOTS)
    np.testing.assert_allclose([knots[0], knots[KNOTS // 2], knots[-1]], [1, 2, 0])
    data = dataset_of(Settings(source=DRAWN, drawn=drawn, noise=0.0), None)
    np.testing.assert_allclose(data.y_train, np.interp(data.x_train[:, 0], [0, 1, 2], [1, 2, 0]), atol=2e-3)


def test_a_curve_without_width_is_one_sentence():
    with pytest.raises(ValueError, match="from left to right"):
        traced([1, 1, 1], [0, 1, 2])


@pytest.mark.parametrize("source", [name for name in SOURCES if name != FILE])
def test_every_source_has_data_with_all_parts(source):
    data = dataset_of(Settings(source=source, n=50, noise=0.1), None)
    assert set(data.parts()) == {"train", "val", "test"}
    assert data.n_inputs == (2 if source in SHAPES else 1)
    assert data.n_train == 35


def test_a_file_is_read_by_the_rules_of_csv_files():
    settings = Settings(source=FILE, file="co2.csv", x="decimal_year", y="co2_ppm")
    data = dataset_of(settings, CO2.read_bytes())
    assert data.digest == ensemble.load_csv(CO2, x="decimal_year", y="co2_ppm").digest
    assert data.name == "co2"
    assert columns_of("co2.csv", CO2.read_bytes())[:1] == ["decimal_year"] or "decimal_year" in columns_of(
        "co2.csv", CO2.read_bytes()
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"x\n1\n2\n", "one column"),
        (b"x;y\n1;2,5\n", "semicolons"),
        (b"x\ty\n1\t2\n", "tabs"),
        (b"x,x\n1,2\n", "more than once"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b'x,"y\n1,2', "malformed"),
    ],
)
def test_a_file_without_columns_is_one_sentence(content, words):
    with pytest.raises(ValueError, match="a.csv") as caught:
        columns_of("a.csv", content)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,y\n1,a\n", "line 2, column 'y': 'a' is not a finite number"),
        (b"x,y\n1,2,3\n", "line 2 has 3 cells"),
        (b"x,y\n1,2\n", "too few rows"),
        (b"x,y\n,\n", "no row has values"),
        (b"a,b\n1,2\n", "no column 'x'"),
    ],
)
def test_a_file_that_cannot_be_learned_is_one_sentence(content, words):
    with pytest.raises(ValueError, match="a.csv") as caught:
        dataset_of(Settings(source=FILE, file="a.csv", x="x", y="y"), content)
    assert words in str(caught.value)


# Pictures, sentences and programs

pictures = pytest.mark.jit_heavy


@pictures
def test_the_first_picture_has_the_chosen_width_and_the_last_has_all():
    first, last = compute(SMALL, None, ensemble.train)
    assert first.curve.width.tolist() == [4] and not first.complete
    assert last.curve.width.tolist() == widths_of(SMALL) == [1, 2, 4, 8, 16, 32, 64] and last.complete
    np.testing.assert_array_equal(first.curve.errors[0], last.curve.errors[2])
    np.testing.assert_array_equal(last.result.test_loss[:, -1], last.curve.errors[2])


@pictures
def test_fits_are_those_of_the_networks_at_every_epoch():
    picture = complete(SMALL)
    assert picture.frames[0] == 0 and picture.frames[-1] == 20
    for at in (0, -1):
        networks = picture.result.snapshots[int(picture.frames[at])]
        np.testing.assert_array_equal(picture.view.predictions[at], networks.predict(picture.view.x))
    low, middle, high = picture.view.quartiles[-1]
    assert (low <= middle).all() and (middle <= high).all()


@pictures
@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_between_its_kinks_a_network_is_straight(hidden_layers):
    picture = complete(SMALL.changed(hidden_layers=hidden_layers, width=8))
    x, y = picture.view.kinks[-1]
    network = picture.result.networks[picture.typical]
    knots = np.concatenate([picture.view.x[[0]], x, picture.view.x[[-1]]])
    at = np.linspace(picture.view.x[0], picture.view.x[-1], 1001)
    np.testing.assert_allclose(np.interp(at, knots, network.predict(knots)), network.predict(at), atol=2e-4)
    np.testing.assert_array_equal(y, network.predict(x))
    if hidden_layers == 1:
        exact = -network.biases[0] / network.weights[0][0]
        np.testing.assert_allclose(x, np.sort(exact[(exact > at[0]) & (exact < at[-1])]), atol=1e-9)


@pictures
@pytest.mark.parametrize(("changes", "pieces"), [({}, [1, 4, 64]), ({"hidden_layers": 2}, [3, 24, 4224])])
def test_the_floor_is_that_of_as_many_lines_as_the_layers_can_make(changes, pieces):
    picture = complete(SMALL.changed(**changes))
    data = picture.data
    found = picture.floor[[0, 2, 6]]
    np.testing.assert_array_equal(
        found, limits.width_floor(data.x_train, data.y_train, np.minimum(pieces, data.n_train))
    )
    assert (picture.result.train_loss[:, -1] >= picture.floor[2]).all()


@pictures
def test_without_hidden_bias_the_floor_is_that_of_two_lines_through_one_point():
    picture = complete(SMALL.changed(hidden_bias=False))
    data = picture.data
    assert picture.floor[-1] == limits.no_bias_floor(data.x_train, data.y_train)


@pictures
def test_for_two_inputs_the_images_are_of_the_median_network_and_of_the_minority():
    picture = complete(SMALL.changed(source="xor", noise=0.1, seeds=4))
    view, networks = picture.view, picture.result.networks
    assert picture.floor is None
    side = view.typical.shape[-1]
    x1 = view.low[0] + (7 + 0.5) / side * (view.high[0] - view.low[0])
    x2 = view.low[1] + (30 + 0.5) / side * (view.high[1] - view.low[1])
    p = networks.predict([[x1, x2]])[:, 0]
    assert view.typical[-1, 30, 7] == pytest.approx(p[picture.typical], rel=1e-12)
    assert view.minority[-1, 30, 7] == min((p > 0).mean(), (p <= 0).mean())
    right = (networks.predict(picture.data.x_test) > 0) == picture.data.y_test
    np.testing.assert_array_equal(view.accuracy, right.mean(axis=1))


@pictures
def test_the_answer_is_a_sentence_with_its_numbers():
    picture = complete(SMALL)
    text = answer(picture)
    assert text.startswith("Width 4, adam, rate 0.03: median test MSE ")
    assert short(np.median(picture.curve.errors[2])) in text
    assert f"no network of this shape can have a training MSE below {short(picture.floor[2])}." in text
    assert notes(picture) == ["Few seeds: the interval is wide."]


@pictures
def test_the_answer_for_labels_says_how_many_are_right():
    picture = complete(SMALL.changed(source="moons"))
    assert f"puts {np.median(picture.view.accuracy):.1%} of the test points on the right side" in answer(picture)
    assert "median test cross-entropy" in answer(picture)
    assert "impossible" not in answer(picture) and "no network" not in answer(picture)


@pictures
def test_networks_that_diverge_are_a_picture_and_a_sentence():
    picture = complete(SMALL.changed(rate=1.0, optimizer="gd", width=512, init="normal", epochs=50))
    assert not np.isfinite(picture.curve.errors[-1]).any()
    assert "2 of 2 networks diverged. Take a smaller learning rate." in answer(picture)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (9.34e-6, "9.3e-6"),
        (0.0123, "0.012"),
        (0.5, "0.5"),
        (12.3, "12"),
        (415.6, "416"),
        (2e9, "2.0e9"),
        (np.inf, "diverged"),
    ],
)
def test_numbers_are_short(value, text):
    assert short(value) == text


@pictures
@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        SMALL.changed(rate=0.0, optimizer="gd"),
        SMALL.changed(source=DRAWN, drawn=traced([-1, 1], [0, 2]), hidden_bias=False),
        SMALL.changed(source=FORMULA, formula="relu(x)^2 - 2^-1", low=-1.0, high=2.0, hidden_layers=2),
        SMALL.changed(source="spiral", noise=0.1),
        SMALL.changed(source=FILE, file="mauna_loa_co2.csv", x="decimal_year", y="co2_ppm", parametrization="mup"),
    ],
)
def test_the_copied_program_reproduces_the_picture(settings, monkeypatch, capsys):
    monkeypatch.chdir(CO2.parent)
    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: None)
    picture = complete(settings, CO2.read_bytes())
    program = python(settings)
    assert len(program.splitlines()) <= 18
    names = {}
    exec(program, names)  # written by `python`, not by a user
    pyplot.close("all")
    np.testing.assert_array_equal(names["result"].test_loss, picture.result.test_loss)
    assert f"width 4: median test error {np.median(picture.result.test_loss[:, -1])}" in capsys.readouterr().out


def test_the_copied_program_of_every_target_is_python():
    for source in SOURCES:
        ast.parse(python(Settings(source=source, file='a"b\n.csv')))


def test_every_target_can_be_played_with():
    assert set(SOURCES) == {*TARGETS, *SHAPES, DRAWN, FORMULA, FILE}


# The worker


class Window:
    """What a worker tells a window."""

    def __init__(self):
        self.pictures, self.ends = [], []
        self.began, self.ended = threading.Event(), threading.Event()
        self.worker = Worker(self.show, lambda job, done, known: self.began.set(), self.end)

    def show(self, job, picture):
        self.pictures.append((job, picture))

    def end(self, job, problem):
        self.ends.append((job, problem))
        self.ended.set()


@pytest.fixture
def window(monkeypatch):
    monkeypatch.setattr(compiled, "CALL_SECONDS", 0.01)  # until a job that is stopped ends
    window = Window()
    yield window
    window.worker.close()
    window.worker.thread.join(10)
    assert not window.worker.thread.is_alive()


LONG = Settings(n=2000, epochs=5000, seeds=64, width=512, hidden_layers=3)  # minutes, in chunks of a second at most


@pictures
def test_a_job_yields_its_pictures_and_ends(window):
    job = Job(SMALL, None)
    window.worker.submit(job)
    assert window.ended.wait(60)
    assert [(one, picture.complete) for one, picture in window.pictures] == [(job, False), (job, True)]
    assert window.ends == [(job, "")]


@pictures
def test_a_newer_job_takes_the_place_of_the_older(window):
    old, new = Job(LONG.changed(hidden_layers=1, n=200), None), Job(SMALL, None)
    window.worker.submit(old)
    assert window.began.wait(60)
    window.ended.clear()
    window.worker.submit(new)
    while (new, "") not in window.ends:
        assert window.ended.wait(60)
        window.ended.clear()
    assert window.ends[0] == (old, "stopped")
    assert {job for job, _ in window.pictures} == {new}


@pictures
def test_work_can_be_stopped(window):
    window.worker.submit(Job(LONG.changed(hidden_layers=1, n=200), None))
    assert window.began.wait(60)
    window.worker.stop()
    assert window.ended.wait(60)
    assert window.ends[0][1] == "stopped" and window.pictures == []


@pictures
def test_work_that_waits_is_stopped_with_what_is_under_way(window):
    old, waits = Job(LONG.changed(hidden_layers=1), None), Job(SMALL, None)
    window.worker.submit(old)
    assert window.began.wait(60)
    with window.worker._wake:  # the old one has no time to end between these two
        window.worker._next = waits
        window.worker.stop()
    while len(window.ends) < 2:
        window.ended.wait(60)
        window.ended.clear()
    assert set(window.ends) == {(old, "stopped"), (waits, "stopped")} and window.pictures == []


@pictures
def test_a_closed_window_works_no_more(window):
    window.worker.submit(Job(LONG.changed(hidden_layers=1, n=200), None))
    assert window.began.wait(60)
    window.worker.close()
    window.worker.thread.join(60)
    assert not window.worker.thread.is_alive()
    window.worker.submit(Job(SMALL, None))  # a click that was under way
    assert window.pictures == []


@pytest.mark.parametrize(
    ("formula", "high", "words"), [("x", 1e300, "between -1,000,000 and 1,000,000"), ("x*1e200", 1.0, "up to 1e+100")]
)
def test_a_formula_too_large_to_be_learned_is_one_sentence(formula, high, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        dataset_of(Settings(source=FORMULA, formula=formula, high=high), None)


def test_what_cannot_be_learned_is_one_sentence(window):
    window.worker.submit(Job(Settings(source=FORMULA, formula="1/x", low=-1.0, high=1.0, n=20, noise=0.0), None))
    window.worker.submit(Job(Settings(source=FORMULA, formula="sin("), None))
    window.worker.thread.join(0)
    while not any(job.settings.formula == "sin(" for job, _ in window.ends):
        assert window.ended.wait(60)
        window.ended.clear()
    assert "cannot be read as a formula" in window.ends[-1][1]
