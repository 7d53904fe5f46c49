"""The playground in a browser: draw, slide, play, share, two windows, malformed input, and the end of the server."""

import asyncio
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from browser import wait_for

import ensemble
from ensemble import cli

pytest.importorskip("bokeh", reason="the extra 'play' is not installed")

from ensemble.play import offline
from ensemble.play.picture import compute
from ensemble.play.server import LOOPBACK, _worth_a_word, make_server, warm_up
from ensemble.play.settings import CHOSEN, Settings, from_query, to_query

pytestmark = pytest.mark.jit_heavy

CO2 = Path(__file__).parent / "data" / "mauna_loa_co2.csv"
SMALL = Settings(n=50, seeds=2, epochs=20, width=4, rate=0.03)
LONG = Settings(n=200, epochs=5000, seeds=64, width=512)  # minutes


@contextmanager
def started():
    """A playground in another process, as the command starts it, and its address."""
    command = [sys.executable, "-m", "ensemble", "play", "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split(" is at ")[1].split(" ")[0]
            yield process, address.replace("localhost", LOOPBACK)  # the browser may resolve no names
        finally:
            process.kill()


class Served:
    """A playground in a thread of this process."""

    def __init__(self):
        self.warm, self.ready = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(120)
        self.address = f"http://{LOOPBACK}:{self.server.port}/"

    @property
    def windows(self):
        return self.server._tornado.applications["/"].application.handlers[0]

    def _run(self):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self.server = make_server(LOOPBACK, 0, self.warm)
        self.server.io_loop.add_callback(self.ready.set)
        self.server.io_loop.start()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def stop(self):
        def end():
            self.server.unlisten()
            self.server.stop()
            self.server.io_loop.call_later(0.2, self.server.io_loop.stop)

        self.server.io_loop.add_callback(end)
        self.thread.join(120)


@pytest.fixture(scope="module")
def served():
    served = Served()
    warm_up(served.warm)
    yield served
    served.stop()


class Window:
    """One window of the playground, as a student uses it."""

    def __init__(self, browser, address, settings=SMALL):
        self.browser = browser
        browser.switch_to.new_window("tab")
        self.handle = browser.current_window_handle
        browser.get_log("browser")  # what other windows have said
        self.open(f"{address}?{to_query(settings)}")

    def open(self, address):
        self.browser.get(address)
        wait_for(lambda: self.js("return Boolean(window.Bokeh?.documents?.[0]?.get_model_by_name('shared'))"))

    def js(self, code, *values):
        self.browser.switch_to.window(self.handle)
        return self.browser.execute_script(code, *values)

    def get(self, name, what):
        return self.js(f"return Bokeh.documents[0].get_model_by_name('{name}').{what}")

    def set(self, name, value, what="value"):
        self.js(f"Bokeh.documents[0].get_model_by_name('{name}').{what} = arguments[0]", value)

    def column(self, name, column):
        code = f"return Array.from(Bokeh.documents[0].get_model_by_name('{name}').data['{column}'], (one) =>"
        return self.js(f"{code} typeof one === 'object' ? Array.from(one) : one)")

    @property
    def settings(self):
        query = urlsplit(self.js("return location.href")).query
        return from_query(parse_qs(query))[0]

    def shows(self, **settings):
        """Wait until the picture is that of the address, with these settings."""

        def there():
            query, drawn, complete = self.js(
                "const d = Bokeh.documents[0].get_model_by_name('shared').data;"
                "return [d.query[0], d.drawn[0], d.complete[0]];"
            )
            found = from_query(parse_qs(query))[0]
            return complete and query == drawn and all(getattr(found, name) == settings[name] for name in settings)

        wait_for(there)
        return self

    def find(self, name, selector):
        """Return an element inside a widget."""
        return self.js(f"""
            const find = (views) => {{ for (const view of views) {{
                if (view.model.name === '{name}') return view;
                const found = find(view.child_views ?? []);
                if (found) return found; }} }};
            return find(Object.values(Bokeh.index)).shadow_el.querySelector('{selector}');
        """)


@pytest.fixture
def window(chromium, served):
    first = chromium.current_window_handle
    windows = []

    def opened(settings=SMALL):
        windows.append(Window(chromium, served.address, settings))
        return windows[-1]

    yield opened
    for one in windows:
        if one.handle in chromium.window_handles:
            chromium.switch_to.window(one.handle)
            chromium.close()
    chromium.switch_to.window(first)


@pytest.fixture(scope="module")
def opened_once(chromium, served):
    first = chromium.current_window_handle
    page = Window(chromium, served.address)
    yield page
    chromium.switch_to.window(page.handle)
    chromium.close()
    chromium.switch_to.window(first)


@pytest.fixture
def page(opened_once):
    """One window for the tests that leave it as they found it, but for what is set back here."""
    for name in ("width", "epochs"):
        opened_once.set(name, str(getattr(SMALL, name)))
    return opened_once.shows(width=SMALL.width, epochs=SMALL.epochs)


def expected(settings, content=None):
    *_, picture = compute(settings, content, ensemble.train)
    return picture


@pytest.fixture(scope="module")
def small():
    return expected(SMALL)


def test_a_window_shows_what_is_computed_and_loads_nothing_from_elsewhere(page, served, small):
    picture = small
    page.browser.get_log("browser")  # what other windows have said
    page.open(page.js("return location.href"))
    page.shows(width=4)
    np.testing.assert_allclose(page.column("tested", "test"), np.median(picture.curve.errors, axis=1), rtol=1e-6)
    np.testing.assert_allclose(page.column("band", "middle"), picture.view.predictions[-1, picture.typical], rtol=1e-5)
    np.testing.assert_allclose(page.column("floor", "floor"), picture.floor[picture.floor > 0], rtol=1e-12)
    assert page.get("answer", "text").startswith("Width 4, adam, rate 0.03: median test MSE")
    loaded = page.js("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert loaded and all(one.startswith(served.address) for one in loaded)
    assert [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_slider_moves_by_keyboard_and_the_address_follows(page):
    from selenium.webdriver.common.keys import Keys

    handle = page.find("width", ".noUi-handle")
    page.js("arguments[0].focus()", handle)
    handle.send_keys(Keys.ARROW_RIGHT)
    page.shows(width=6)
    assert page.settings == SMALL.changed(width=6)
    assert 6 in page.column("tested", "width")
    help_line = page.js("return document.getElementById('help').textContent")
    assert help_line == "Width: Hidden units in each hidden layer."


def test_every_control_is_reached_by_tab_and_says_what_it_does(page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    wanted = {choice.title.capitalize() for choice in CHOSEN.values()}
    wanted |= {"Target", "Play", "Epoch", "Copy link", "Copy as Python", "Save page"}
    found = set()
    for _ in range(3 * len(wanted)):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        found.add(page.js("return document.getElementById('help').textContent").split(":")[0])
    assert wanted <= found


def test_everything_fits_a_screen_of_1366_pixels(page):
    assert page.js("return document.documentElement.scrollWidth") <= 1366


def test_a_target_is_drawn_with_the_mouse_and_opened_again_from_the_link(window):
    from selenium.webdriver.common.action_chains import ActionChains

    page = window().shows(width=4)
    page.set("source", "drawn")
    page.shows(source="drawn")
    left, top, width, height = page.js("""
        const find = (views) => { for (const view of views) { if (view.model.name === 'fits') return view;
            const found = find(view.child_views ?? []); if (found) return found; } };
        const view = find(Object.values(Bokeh.index)), box = view.el.getBoundingClientRect(), inner = view.frame.bbox;
        return [box.left + inner.left, box.top + inner.top, inner.width, inner.height];
    """)
    mouse = ActionChains(page.browser, duration=10)
    pointer = mouse.w3c_actions.pointer_action
    pointer.move_to_location(int(left + 0.1 * width), int(top + 0.2 * height)).pointer_down()
    for step in range(1, 9):
        pointer.move_to_location(int(left + (0.1 + 0.1 * step) * width), int(top + (0.2 + 0.07 * step) * height))
    pointer.pointer_up()
    mouse.perform()
    wait_for(lambda: page.settings.drawn)
    drawn = page.shows(source="drawn").settings.drawn
    assert drawn[0] < -2 < 2 < drawn[1]
    assert all(np.diff(drawn[2:]) <= 1e-9)  # downwards, as the mouse went
    np.testing.assert_allclose(np.diff(drawn[2:]), np.mean(np.diff(drawn[2:])), rtol=0.5)
    before = page.column("band", "middle")
    page.open(page.js("return location.href"))
    page.shows(source="drawn")
    assert page.settings.drawn == drawn
    assert page.column("band", "middle") == before


def test_play_runs_through_the_epochs(page, small):
    picture = small
    page.set("frame", 0)
    np.testing.assert_allclose(page.column("band", "middle"), picture.view.predictions[0, picture.typical], rtol=1e-5)
    assert page.get("frame", "end") == len(picture.frames) - 1
    page.set("frame", len(picture.frames) - 3)
    page.find("play", "button").click()
    wait_for(lambda: page.get("frame", "value") == len(picture.frames) - 1 and not page.get("play", "active"))
    np.testing.assert_allclose(page.column("band", "middle"), picture.view.predictions[-1, picture.typical], rtol=1e-5)


def test_a_new_picture_is_shown_at_its_last_epoch(page):
    page.set("frame", 1)
    page.set("width", "8")
    page.shows(width=8)
    picture = expected(SMALL.changed(width=8))
    wait_for(lambda: page.get("frame", "value") == page.get("frame", "end") == len(picture.frames) - 1)
    np.testing.assert_allclose(page.column("band", "middle"), picture.view.predictions[-1, picture.typical], rtol=1e-5)
    page.set("epochs", "50")
    page.shows(epochs=50)
    wait_for(lambda: page.find("frame", ".bk-slider-value").text == "50")


def test_labels_have_two_images_that_play_too(window):
    page = window(SMALL.changed(source="moons", noise=0.1)).shows(source="moons")
    assert page.get("plane_plots", "visible") and not page.get("fits", "visible")
    last = page.column("plane", "minority")
    page.set("frame", 0)
    assert page.column("plane", "minority") != last
    assert "of the test points on the right side" in page.get("answer", "text")


def test_a_click_on_a_width_shows_it(page):
    page.js("Bokeh.documents[0].get_model_by_name('tested').selected.indices = [4]")
    page.shows(width=16)
    assert page.get("width", "value") == "16"


def test_a_formula_that_is_none_is_one_sentence_and_the_next_one_works(window):
    page = window(SMALL.changed(source="formula")).shows(source="formula")
    before = page.column("band", "middle")
    page.set("formula", "__import__('os').system('true')")
    wait_for(lambda: "is not allowed in a formula" in page.get("problem", "text"))
    assert page.get("problem", "visible") and page.column("band", "middle") == before
    page.set("formula", "<img src=x onerror=alert(1)>")
    wait_for(lambda: "&lt;img" in page.get("problem", "text"))
    page.set("formula", "2x^2 - 1")
    page.shows(formula="2x^2 - 1")
    assert not page.get("problem", "visible")


def test_a_file_is_loaded_and_a_wrong_one_is_one_sentence(window, tmp_path):
    page = window().shows(width=4)
    page.set("source", "file")
    wait_for(lambda: page.get("file", "visible"))
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("x,y\n1,2\n3,what\n")
    field = page.find("file", "input")
    field.send_keys(str(wrong))
    wait_for(
        lambda: (
            "line 3, column 'y': 'what' is not a finite number" in page.get("problem", "text").replace("&#x27;", "'")
        )
    )
    field.send_keys(str(CO2))
    page.shows(file=CO2.name)
    assert not page.get("problem", "visible")
    page.set("y", "co2_ppm")
    page.set("x", "decimal_year")
    page.shows(x="decimal_year", y="co2_ppm")
    settings = SMALL.changed(source="file", file=CO2.name, x="decimal_year", y="co2_ppm")
    picture = expected(settings, CO2.read_bytes())
    np.testing.assert_allclose(page.column("band", "middle"), picture.view.predictions[-1, picture.typical], rtol=1e-5)
    axes = "Bokeh.documents[0].get_model_by_name('fits')"
    assert page.js(f"return [{axes}.below[0].axis_label, {axes}.left[0].axis_label]") == ["decimal_year", "co2_ppm"]
    page.open(page.js("return location.href"))  # the file is not in the link, and not on the server for others
    wait_for(lambda: "choose it again" in page.get("hint", "text"))


def test_a_malformed_link_opens_and_says_what_is_wrong(window, served):
    page = window()
    page.open(f"{served.address}?width=<b>1&seeds=2&epochs=20&n=50&source=nowhere")
    page.shows(width=16, seeds=2)
    said = "The link&#x27;s width &#x27;&lt;b&gt;1&#x27; is none of"
    wait_for(lambda: page.get("status", "text").startswith(said))
    assert page.js("return document.body.querySelector('b b')") is None
    assert page.settings == Settings(seeds=2, epochs=20, n=50)


def test_two_windows_do_not_disturb_each_other(window):
    first, second = window().shows(width=4), window(SMALL.changed(source="chirp")).shows(source="chirp")
    before = first.column("band", "middle")
    second.set("width", "8")
    second.set("hidden_bias", False, "active")
    second.shows(width=8, hidden_bias=False, source="chirp")
    assert first.settings == SMALL and first.get("width", "value") == "4"
    assert first.column("band", "middle") == before
    first.set("width", "2")
    first.shows(width=2)
    assert second.settings == SMALL.changed(source="chirp", width=8, hidden_bias=False)


def test_long_work_says_how_far_it_is_and_can_be_stopped(window):
    page = window().shows(width=4)
    page.open(page.js("return location.href").split("?")[0] + "?" + to_query(LONG))
    wait_for(lambda: page.get("stop", "visible") and page.get("status", "text").startswith("Training"))
    page.find("stop", "button").click()
    wait_for(lambda: page.get("status", "text").startswith("Stopped"))
    assert not page.get("stop", "visible")


def test_the_work_of_a_closed_window_ends(window, chromium, served):
    mine = LONG.changed(width=256)  # the window of another test may not be forgotten yet
    page = window(mine)
    (session,) = (one for one in list(served.windows.sessions) if one.settings == mine)
    wait_for(lambda: page.get("status", "text").startswith("Training"))
    assert session.worker.thread.is_alive()
    chromium.switch_to.window(page.handle)
    chromium.close()
    wait_for(lambda: not session.worker.thread.is_alive())
    assert session not in served.windows.sessions


def test_the_program_and_the_saved_page_are_those_of_the_picture(window, tmp_path):
    page = window().shows(width=4)
    assert "ensemble.grid(width=4, seed=range(2), lr=0.03" in page.get("shared", "data.code[0]")
    page.find("save", "button").click()
    wait_for(lambda: page.get("saved", "data.page[0].length") > 1000)
    saved = tmp_path / "saved.html"
    saved.write_text(page.get("saved", "data.page[0]"), encoding="utf-8")
    before = page.column("band", "middle")
    page.browser.get(saved.as_uri())
    wait_for(lambda: page.js("return Boolean(window.Bokeh?.documents?.[0]?.is_idle)"))
    assert page.column("band", "middle") == before
    page.set("frame", 0)
    assert page.column("band", "middle") != before
    assert page.js("return performance.getEntriesByType('resource').length") == 0


def test_the_command_ends_in_one_line_on_ctrl_c_with_its_work_and_its_windows_say_so(chromium):
    with started() as (process, address):
        with urllib.request.urlopen(address, timeout=120) as answer:
            assert b"relu-ensemble playground" in answer.read()
        page = Window(chromium, address, LONG)
        wait_for(lambda: page.get("status", "text").startswith("Training"))
        assert page.js("return document.getElementById('lost').hidden")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)  # training alone would take many minutes
        wait_for(lambda: not page.js("return document.getElementById('lost').hidden"))
    assert "python -m ensemble play" in page.js("return document.getElementById('lost').textContent")
    assert process.returncode == 130
    assert [line for line in errors.splitlines() if "compiling" not in line] == [
        "python -m ensemble: the playground has ended"
    ]
    chromium.close()
    chromium.switch_to.window(chromium.window_handles[0])


# Without a browser


def test_a_saved_page_asks_for_nothing(tmp_path):
    text = offline.page(expected(SMALL))
    assert "median test MSE" in text and "ensemble.grid(width=4" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", text)


def test_a_window_that_closes_while_it_opens_is_not_worth_a_word():
    def record(kind, text):
        return logging.LogRecord("tornado.application", logging.ERROR, "", 0, text, (), (kind, kind(), None))

    assert not _worth_a_word(record(AssertionError, "Uncaught exception GET /ws?width=4"))
    assert _worth_a_word(record(AssertionError, "Exception in callback"))
    assert _worth_a_word(record(ValueError, "Uncaught exception GET /ws?width=4"))


def test_the_server_listens_on_this_machine_alone(served):
    places = {found.getsockname()[0] for found in served.server._http._sockets.values()}
    assert places == {LOOPBACK}


@pytest.mark.parametrize(("origin", "status"), [("http://elsewhere.example", 403), (None, 101)])
def test_pages_of_other_sites_may_not_talk_to_it(served, origin, status):
    with urllib.request.urlopen(served.address, timeout=60) as page:
        token = re.search(r'"token":"([^"]+)"', page.read().decode())[1]
    host = urlsplit(served.address).netloc
    lines = [
        "GET /ws HTTP/1.1",
        f"Host: {host}",
        f"Origin: {origin or served.address.rstrip('/')}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Sec-WebSocket-Protocol: bokeh, {token}",
    ]
    with socket.create_connection((LOOPBACK, served.server.port), timeout=60) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = line.recv(200).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")


def test_a_server_that_stops_ends_the_work_of_its_windows():
    other = Served()
    with urllib.request.urlopen(f"{other.address}?{to_query(LONG)}", timeout=120):
        (session,) = other.windows.sessions
        other.stop()
    wait_for(lambda: not session.worker.thread.is_alive())
    assert not other.windows.sessions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], "--port 70000 is no port"),
        (["--port", "x"], "--port"),
        (["--host", "no.such.host.invalid"], ""),
    ],
)
def test_wrong_usage_is_one_line(arguments, words, capsys):
    assert cli.module(["play", *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_a_missing_extra_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bokeh.server.server", None)
    assert cli.module(["play", "--no-open"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'relu-ensemble[play]'" in said and said.count("\n") == 1
