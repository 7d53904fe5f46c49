"""The interactive page: self-contained, true to the study, and alive in a browser without network."""

import re
import shutil
import sys
import time

import numpy as np
import pytest

from ensemble.studies import bias_ablation, claims_study, fit_target, width_study

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


def test_the_page_is_one_file_that_loads_nothing(page):
    text = page.read_text(encoding="utf-8")
    assert len(text) < 6e6
    assert not re.search(r"<(script|link|img)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "relu-ensemble: width study" in text
    assert "Configuration and machine" in text


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
])  # fmt: skip
def test_every_study_has_a_page(setup, tmp_path):
    study = setup().run(progress=False)
    assert "report.html" in {path.name for path in study.save(tmp_path)}
    assert (tmp_path / "report.html").stat().st_size < 6e6


def test_studies_without_curves_have_their_table():
    assert claims_study(seeds=2).study.__new__(claims_study(seeds=2).study).panels() == {}


def test_a_missing_extra_is_named(study, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setitem(sys.modules, "bokeh.embed", None)
    with pytest.raises(ImportError, match=r"pip install 'relu-ensemble\[report\]'"):
        study.page()
    assert not pages.available()
    assert "report.html" not in {path.name for path in study.save(tmp_path)}


# In a browser


@pytest.fixture(scope="module")
def browser(page):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium, which drives the browser, is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1200,1400", "--host-resolver-rules=MAP * ~NOTFOUND"):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    window.get(page.as_uri())
    wait_for(
        lambda: window.execute_script("return window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    )
    yield window
    window.quit()


def wait_for(condition):
    """Return the first true answer; a page may take its time."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("the page did not answer")


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


def test_a_click_on_a_head_sorts_the_table(browser):
    find = """
        const heads = [], walk = (root) => { root.querySelectorAll('*').forEach((one) => {
            if (one.shadowRoot) walk(one.shadowRoot);
            if (one.classList.contains('slick-header-column')) heads.push(one); }); };
        walk(document);
        return heads.find((head) => head.textContent.includes('median'));
    """
    cells = """
        const found = [], walk = (root) => { root.querySelectorAll('*').forEach((one) => {
            if (one.shadowRoot) walk(one.shadowRoot);
            if (one.classList.contains('slick-row')) found.push([one.offsetTop, one.textContent]); }); };
        walk(document);
        return found.sort((a, b) => a[0] - b[0]).map((row) => row[1]);
    """
    before = browser.execute_script(cells)
    browser.execute_script(f"(() => {{{find}}})().click()")
    after = wait_for(lambda: (rows := browser.execute_script(cells)) != before and rows)
    assert after != before
