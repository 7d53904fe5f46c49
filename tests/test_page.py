"""The interactive page: self-contained, true to the study, and alive in a browser without network."""

import csv
import io
import re
import sys

import numpy as np
import pytest
from browser import wait_for

from ensemble import plots
from ensemble.studies import bias_ablation, claims_study, fit_target, transfer_study, width_study

pytest.importorskip("bokeh", reason="the extra 'report' is not installed")

from ensemble.studies import page as pages

pytestmark = pytest.mark.jit_heavy

SMALL = {"widths": [2, 8, 32], "seeds": 4, "lrs": [0.02, 0.1], "epochs": 40}


@pytest.fixture(scope="module")
def study():
    return width_study(["quadratic", "half_sine"], **SMALL).run(progress=False)


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(study.page(), encoding="utf-8")
    return path


def test_the_page_is_one_file_that_loads_nothing(page, study):
    text = page.read_text(encoding="utf-8")
    assert len(text) < 4e6
    assert not re.search(r"<(script|link|img)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "relu-ensemble: width study" in text
    assert "<details><summary>Settings, data and machine</summary>" in text
    assert text.index(study.answer().splitlines()[0]) < text.index('<div class="plots">') < text.index("Settings, data")


def test_what_users_name_is_escaped():
    study = fit_target(width=2, seeds=2, epochs=2).run(progress=False)
    study.settings["note"] = "<script>alert(1)</script>"
    assert "<script>alert" not in study.page()


@pytest.mark.parametrize("setup", [
    lambda: bias_ablation(["absolute", "quadratic"], **SMALL),
    lambda: bias_ablation("absolute", **SMALL | {"optimizers": ["gd", "adam"], "widths": [2]}),
    lambda: width_study("quadratic", **SMALL | {"epochs": 0}),
    lambda: width_study("reciprocal_sine", **SMALL | {"lrs": [50.0], "widths": [64], "optimizers": ["gd"]}),
    lambda: fit_target(width=4, seeds=2, epochs=5),
    lambda: transfer_study("quadratic", widths=[4, 8], hidden_layers=[1], seeds=2, lrs=[0.02, 0.1], epochs=5),
])  # fmt: skip
def test_every_study_has_a_page(setup, tmp_path, monkeypatch):
    empty = plots.render(plots.Figure(figsize=(1, 1)), "png")
    monkeypatch.setattr("ensemble.plots.drawing.render", lambda *_: empty)  # what is in the figures is no matter here
    study = setup().run(progress=False)
    assert "report.html" in {path.name for path in study.save(tmp_path)}
    text = (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.html").stat().st_size <= 4e6
    assert text.count("<figure><img") == len(list(tmp_path.glob("*.png")))
    assert study.result.epochs[-1] == 0 or '"name":"fitted"' in text or '"name":"rates"' in text


def test_figures_that_have_no_room_are_named(monkeypatch):
    figure = plots.Figure(figsize=(2, 1))
    png = plots.render(figure, "png")
    text = f"<p>answer</p>{pages.PICTURES}"
    both = pages.illustrated(text, {"a.png": png, "a.svg": b"<svg/>", "b.svg": b"<svg/>"})
    assert both.count("<figure><img") == 2 and "data:image/svg+xml" in both and pages.PICTURES not in both
    monkeypatch.setattr(pages, "MOST_BYTES", len(both) - 60)
    less = pages.illustrated(text, {"a.png": png, "b.svg": b"<svg/>"})
    assert less.count("<figure><img") == 1 and "In the folder: a.png" in less and 'alt="b"' in less
    assert "<h2>Figures" not in pages.illustrated(text, {"a.pdf": b"%PDF"})


def test_a_figure_in_few_colours_has_its_size_and_fewer_bytes(study):
    png = plots.render(study.figures()["width_curves"], "png")
    small = plots.small_png(png)
    assert len(small) < 0.6 * len(png)
    assert small[16:24] == png[16:24]  # width and height


def test_studies_without_curves_have_their_table():
    assert claims_study(seeds=2).study.__new__(claims_study(seeds=2).study).panels() == {}


def test_a_missing_extra_is_named(study, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setitem(sys.modules, "bokeh.embed", None)
    with pytest.raises(ImportError, match=r"pip install 'relu-ensemble\[report\]'"):
        study.page()
    assert not pages.available()
    monkeypatch.setattr(type(study), "drawn", lambda _: iter([("summary", plots.Figure())]))  # drawing takes seconds
    assert "report.html" not in {path.name for path in study.save(tmp_path)}


# In a browser


@pytest.fixture(scope="module")
def browser(page, chromium):
    first = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    chromium.get_log("browser")  # what other pages have said
    chromium.get(page.as_uri())
    wait_for(lambda: chromium.execute_script("return window.Bokeh?.documents.length && Bokeh.documents[0].is_idle"))
    yield chromium
    chromium.close()
    chromium.switch_to.window(first)


def data_of(browser, name, column):
    model = f"Bokeh.documents[0].get_model_by_name('{name}')"
    return browser.execute_script(f"return Array.from({model}.data['{column}'])")


def set_value(browser, name, value):
    browser.execute_script(f"Bokeh.documents[0].get_model_by_name('{name}').value = arguments[0]", value)


def test_the_page_shows_the_study_and_has_no_errors(browser, study):
    gd, adam = study.curves("quadratic")
    np.testing.assert_allclose(data_of(browser, "line gd", "median"), gd.quartiles[1], rtol=1e-5)
    np.testing.assert_allclose(data_of(browser, "seeds adam", "error"), adam.errors.ravel(), rtol=1e-5)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_another_target_and_another_error_are_shown(browser, study):
    gd = study.curves("half_sine")[0]
    set_value(browser, "group", "half_sine")
    wait_for(lambda: np.allclose(data_of(browser, "line gd", "median"), gd.quartiles[1], rtol=1e-5))
    np.testing.assert_allclose(
        data_of(browser, "samples", "y"), study.datasets["half_sine"].y_train, rtol=1e-5, atol=1e-6
    )  # fmt: skip
    set_value(browser, "measure", "training MSE")
    medians = np.median(gd.of("train_loss"), axis=1)
    wait_for(lambda: np.allclose(data_of(browser, "line gd", "median"), medians, rtol=1e-5))
    floor = study.bounds["half_sine"].floor
    found = np.array(data_of(browser, "floor", "floor"), dtype=np.float64)
    np.testing.assert_allclose(found[floor > 0], floor[floor > 0], rtol=1e-5)
    set_value(browser, "measure", "test MSE")
    set_value(browser, "group", "quadratic")


def test_the_slider_moves_the_fits_through_the_epochs(browser, study):
    curve = study.curves("quadratic")[0]
    model = int(curve.typical_models[1])
    set_value(browser, "epoch", browser.execute_script("return Bokeh.documents[0].get_model_by_name('epoch').end"))
    x = np.array(data_of(browser, "fit 8", "x"))
    np.testing.assert_allclose(
        data_of(browser, "fit 8", "y"), study.result.networks[model].predict(x), rtol=1e-4, atol=1e-5
    )  # fmt: skip
    last = data_of(browser, "fit 8", "y")
    set_value(browser, "epoch", 0)
    first = wait_for(lambda: (y := data_of(browser, "fit 8", "y")) != last and y)
    from ensemble import initialize

    start = initialize(study.specs[[model]])[0]
    np.testing.assert_allclose(first, start.predict(x), rtol=1e-4, atol=1e-5)
    assert browser.execute_script("return Bokeh.documents[0].get_model_by_name('epoch').title") == "epoch 0"


def test_play_runs_through_the_epochs_and_stops(browser):
    find = """
        const found = [], walk = (root) => { root.querySelectorAll('*').forEach((one) => {
            if (one.shadowRoot) walk(one.shadowRoot);
            if (one.tagName === 'BUTTON' && /play|stop/.test(one.textContent)) found.push(one); }); };
        walk(document);
        return found[0];
    """
    value = "return Bokeh.documents[0].get_model_by_name('epoch').value"
    end = browser.execute_script("return Bokeh.documents[0].get_model_by_name('epoch').end")
    set_value(browser, "epoch", end)
    browser.execute_script(f"(() => {{{find}}})().click()")  # from the end it starts again
    wait_for(lambda: 0 < browser.execute_script(value) < end)
    browser.execute_script(f"(() => {{{find}}})().click()")
    assert wait_for(lambda: not browser.execute_script("return window.playing"))
    set_value(browser, "epoch", end - 1)
    browser.execute_script(f"(() => {{{find}}})().click()")
    wait_for(lambda: browser.execute_script(value) == end and not browser.execute_script("return window.playing"))


def test_histories_and_maps_are_switched(browser, study):
    curve = study.curves("half_sine")[1]
    (_, learning, _) = study.learning_curves(curve)
    set_value(browser, "history of", "half_sine, adam")
    expected = learning.quartiles[1][1:]
    wait_for(lambda: np.allclose(data_of(browser, "history width 8", "y"), expected, rtol=1e-4))
    set_value(browser, "rates of", "half_sine, adam")
    wait_for(lambda: np.allclose(data_of(browser, "rates width 8", "y"), curve.validation_median[1], rtol=1e-4))


def cells_of(browser, place):
    cells = "return [...document.querySelectorAll('#table tbody tr')].map((row) => row.cells[arguments[0]].textContent)"
    return browser.execute_script(cells, place)


def heads_of(browser):
    return browser.execute_script("return [...document.querySelectorAll('#table th')].map((head) => head.textContent)")


def choose_table(browser, name):
    browser.execute_script(
        """
        const which = document.getElementById("which");
        which.value = arguments[0];
        which.dispatchEvent(new Event("change"));
        """,
        name,
    )


def test_a_click_on_a_head_sorts_the_table(browser, study):
    choose_table(browser, "width curves")
    place = heads_of(browser).index("median")
    rows = [row for row in study.summary if row["figure"] == "width_curves"]
    assert len(cells_of(browser, place)) == len(rows)
    click = "document.querySelectorAll('#table th button')[arguments[0]].click()"
    for down in (False, True):
        browser.execute_script(click, place)
        found = [float(cell) for cell in cells_of(browser, place)]
        assert found == sorted(found, reverse=down)
        order = browser.execute_script(
            "return document.querySelectorAll('#table th')[arguments[0]].getAttribute('aria-sort')", place
        )
        assert order == ("descending" if down else "ascending")
    np.testing.assert_allclose(sorted(found), sorted(row["median"] for row in rows), rtol=1e-4)


def test_the_download_holds_the_whole_table_as_it_is_sorted(browser, study):
    choose_table(browser, "learning rate map")
    browser.execute_script("""
        window.kept = null;
        URL.createObjectURL = (blob) => { blob.text().then((text) => { window.kept = text; }); return "#"; };
        document.getElementById("download").click();
    """)
    text = wait_for(lambda: browser.execute_script("return window.kept"))
    rows = [row for row in study.summary if row["figure"] == "learning_rate_map"]
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == len(rows)
    np.testing.assert_allclose(
        [float(row["median"]) for row in found], [row["median"] for row in rows], rtol=1e-4
    )  # fmt: skip


@pytest.mark.parametrize("width", [1366, 390])
def test_the_page_is_as_wide_as_the_screen(browser, study, page, width):
    mobile = width < 600
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile},
        )
        browser.get(page.as_uri())
        wait_for(lambda: browser.execute_script("return window.Bokeh?.documents[0]?.is_idle"))
        widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
        whole, inner = browser.execute_script(widths)
        assert whole <= inner == width
        plot = "return document.querySelector('.plots section').getBoundingClientRect()"
        box = browser.execute_script(plot)
        assert box["width"] > 0.9 * width if mobile else 0.35 * width < box["width"] < 0.55 * width
        answer = browser.execute_script("return document.querySelector('.answer').textContent")
        assert answer == "".join(study.answer().splitlines())
        top = browser.execute_script("return document.querySelector('.answer').getBoundingClientRect().top")
        assert 0 < top < 200
        assert not browser.execute_script("return document.querySelector('details').open")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
