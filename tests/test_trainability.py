"""The trainability study: box counts of known sets, speeds, maps tile by tile, going on, and the command."""

import csv
import json
import math

import numpy as np
import pytest

import ensemble
from ensemble import cli
from ensemble.statistics import box_counts, box_dimension, edge_of
from ensemble.studies import trainability
from ensemble.studies.trainability import maps
from ensemble.studies.trainability.figures import picture
from ensemble.studies.trainability.maps import Map, Tiles, Window, pixel_specs, recorded, speed_of

TINY = {"pixels": 16, "epochs": 20}


def maps_of(setup, folder=None, window=None):
    """Return the map of a setup's window, and how many pixels were trained for it."""
    (data,) = setup.datasets.values()
    with Tiles(setup.specs, data, setup.epochs, folder, setup.digest[:12], lambda _: None, threads=1) as tiles:
        found = tiles.map("whole", window or setup.window, setup.pixels, 1.0)
    return found, tiles.trained


# Box counting


def koch(depth):
    points = np.array([0, 1 + 0j])
    for _ in range(depth):
        a, step = points[:-1], np.diff(points) / 3
        bent = a + step + step * np.exp(1j * np.pi / 3)
        points = np.append(np.stack([a, a + step, bent, a + 2 * step], axis=1).ravel(), points[-1])
    return points


def drawn(points, pixels):
    cells = np.zeros((pixels, pixels), dtype=bool)
    cells[(points.imag * (pixels - 1)).astype(int) + pixels // 5, (points.real * (pixels - 1)).astype(int)] = True
    return cells


def carpet(depth):
    found = np.ones((1, 1), dtype=bool)
    for _ in range(depth):
        found = np.block([[found] * 3, [found, ~found & False, found], [found] * 3])
    return found


def disc(pixels):
    y, x = np.mgrid[:pixels, :pixels] / pixels
    return (x - 0.49) ** 2 + (y - 0.52) ** 2 < 0.37**2


@pytest.mark.parametrize(
    ("cells", "dimension"),
    [
        (np.eye(512, dtype=bool), 1.0),
        (edge_of(np.tri(512, dtype=bool)), 1.0),
        (edge_of(disc(512)), 1.0),
        (drawn(koch(7), 512), math.log(4) / math.log(3)),
        (carpet(6), math.log(8) / math.log(3)),
        (np.ones((300, 300), dtype=bool), 2.0),
    ],
    ids=["diagonal", "triangle", "circle", "Koch", "carpet", "square"],
)
def test_box_counting_finds_the_dimension_of_known_sets(cells, dimension):
    found = box_dimension(cells)
    assert found.dimension == pytest.approx(dimension, abs=0.06)
    assert found.low <= found.dimension <= found.high


def test_boxes_are_counted_one_by_one():
    cells = np.random.default_rng(0).random((37, 29)) < 0.05
    for size in (1, 3, 8):
        rows, columns = -(-37 // size), -(-29 // size)
        naive = [[cells[r * size : (r + 1) * size, c * size : (c + 1) * size].sum() for c in range(columns)]
                 for r in range(rows)]  # fmt: skip
        np.testing.assert_array_equal(box_counts(cells, size), naive)
    assert math.isnan(box_dimension(np.zeros((64, 64), dtype=bool)).dimension)
    assert math.isnan(box_dimension(np.ones((16, 16), dtype=bool)).dimension)


def test_the_edge_is_inside_and_touches_the_outside():
    inside = np.random.default_rng(1).random((12, 17)) < 0.7
    edge = edge_of(inside)
    for r, c in np.ndindex(inside.shape):
        around = [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
        outside = any(0 <= i < 12 and 0 <= j < 17 and not inside[i, j] for i, j in around)
        assert edge[r, c] == (inside[r, c] and outside)


# Speeds


def test_speeds_are_those_of_the_paper():
    rng = np.random.default_rng(2)
    losses = rng.lognormal(0, 2, (50, 61)) * np.geomspace(1, 1e-2, 61)
    losses[10:20, 30:] = np.inf
    losses[20:25] *= np.geomspace(1, 1e9, 61)
    found = speed_of(losses, np.arange(61))
    for speed, history in zip(found, losses, strict=True):
        v = [min(max(loss / history[0], 1e-6), 1e6) for loss in history]
        converged = sum(v[-20:]) / 20 < 1
        assert speed == pytest.approx(-sum(v) / len(v) if converged else sum(1 / one for one in v), rel=1e-12)
    assert (found[10:20] > 0).all() and 0 < (found <= 0).sum() < 50


def test_losses_between_records_count_as_those_that_follow():
    losses = np.array([[4.0, 2.0, 1.0, 1.0], [1.0, 2.0, 8.0, 8.0]])
    every = losses[:, [0, 1, 2, 2, 2, *[3] * 20]]
    np.testing.assert_allclose(speed_of(losses, np.array([0, 1, 4, 24])), speed_of(every, np.arange(25)), rtol=1e-12)


@pytest.mark.parametrize("epochs", [20, 33, 300])
def test_the_first_and_the_last_epochs_are_recorded_and_every_tenth_between(epochs):
    found = recorded(epochs)
    assert {*range(min(epochs, 32)), *range(epochs - 20, epochs + 1)} <= set(found)
    assert max(np.diff(found)) <= 10


# Windows and maps


def test_windows_of_windows_stay_inside():
    window = Window(0.3, -2.0, 0.5)
    hidden, output = window.rates(64)
    assert (len(hidden), hidden[0] < 10**0.3 < hidden[-1]) == (64, True)
    np.testing.assert_allclose(np.diff(np.log10(output)), 0.5 / 64, rtol=1e-9)
    part = window.part(20, 40, 64, 8)
    assert part.side == pytest.approx(0.5 / 8)
    assert 10**part.hidden == pytest.approx(hidden[40]) and 10**part.output == pytest.approx(output[20])
    corner = window.part(0, 63, 64, 8)
    low, high = corner.rates(64)[1][0], corner.rates(64)[0][-1]
    assert low >= output[0] * 0.98 and high <= hidden[-1] * 1.02
    assert window.fits(1024) and not Window(0.3, -2.0, 1e-12).fits(1024)


def test_the_richest_part_has_the_most_of_the_boundary():
    converged = np.ones((64, 64), dtype=bool)
    converged[40:48:2, 8:16] = False
    converged[5, 50] = False
    found = Map("whole", Window(0, 0, 1), 1.0, np.where(converged, -1.0, 1.0), np.zeros((64, 64), dtype=np.int64))
    assert found.richest(8) == pytest.approx((44, 12), abs=2)
    row, column = found.typical(0.5)
    assert found.edge[row, column]
    assert found.edge[:row].sum() + found.edge[row, :column].sum() == found.edge.sum() // 2


@pytest.mark.jit_heavy
def test_a_pixel_is_the_network_of_its_rates_whatever_the_tiles(monkeypatch):
    setup = trainability(**TINY)
    found, trained = maps_of(setup)
    assert trained == 256 and 0 < found.converged.sum() < 256
    hidden, output = setup.window.rates(16)
    for row, column in ((0, 0), (15, 0), (7, 9)):
        specs = ensemble.Specs(
            width=16, lr=[1.0], hidden_lr_factor=hidden[column], output_lr_factor=output[row], seed=3, init="fan_in"
        )
        alone = ensemble.train(specs, setup.datasets["chirp"], epochs=20, record=range(21), progress=False)
        assert speed_of(alone.train_loss, alone.epochs)[0] == found.speed[row, column]
        assert alone.diverged_at[0] == found.diverged_at[row, column]
    monkeypatch.setattr(maps, "TILE", 5)
    again, _ = maps_of(setup)
    np.testing.assert_array_equal(again.speed, found.speed)


@pytest.mark.jit_heavy
def test_a_map_that_was_ended_goes_on_and_a_damaged_tile_is_trained_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(maps, "TILE", 8)
    setup, train = trainability(**TINY), ensemble.train
    calls = []

    def interrupted(*given, **how):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*given, **how)

    monkeypatch.setattr(maps.training, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        maps_of(setup, tmp_path)
    found, trained = maps_of(setup, tmp_path)
    assert trained == 2 * 64  # of four tiles, two were there
    np.testing.assert_array_equal(found.speed, maps_of(setup)[0].speed)
    assert maps_of(setup, tmp_path)[1] == 0
    assert maps_of(trainability(**TINY | {"epochs": 21}), tmp_path)[1] == 256  # another setting, the same folder
    one, *_, other = sorted(tmp_path.glob("tile-*.npz"))
    content = one.read_bytes()
    one.write_bytes(content[:-100])
    other.write_bytes(b"")
    again = [maps_of(trainability(**TINY | {"epochs": epochs}), tmp_path) for epochs in (20, 21)]
    assert sum(trained for _, trained in again) == 2 * 64
    assert one.read_bytes() == content
    np.testing.assert_array_equal(again[0][0].speed, found.speed)
    assert capsys.readouterr().err.count("its pixels are trained again") == 2
    (tmp_path / "precious").write_text("mine")
    setup.forget(tmp_path)
    assert maps_of(trainability(**TINY | {"epochs": 21}), tmp_path)[1] == 0
    assert len(list(tmp_path.glob("tile-*.npz"))) == 4
    assert maps_of(setup, tmp_path)[1] == 256
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_tile_with_other_arrays_than_its_own_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(maps, "TILE", 16)
    setup = trainability(**TINY)

    def nothing(specs, *_, **__):
        epochs = np.array(recorded(20))
        return type("R", (), {
            "train_loss": np.ones((len(specs), len(epochs))), "epochs": epochs,
            "diverged_at": np.full(len(specs), -1), "__len__": lambda _: len(specs),
        })()  # fmt: skip

    monkeypatch.setattr(maps.training, "train", nothing)
    maps_of(setup, tmp_path)
    (tile,) = tmp_path.glob("tile-*.npz")
    tile.write_bytes(maps.archive.dump({"speed": np.ones((3, 3)), "diverged_at": np.ones((3, 3), dtype=np.int64)}))
    assert maps_of(setup, tmp_path)[1] == 256
    assert "is no tile of its map" in capsys.readouterr().err


# The study


@pytest.fixture(scope="module")
def study():
    return trainability(pixels=64, epochs=40).run(progress=False, threads=1)


@pytest.mark.jit_heavy
def test_the_boundary_is_looked_at_closer_and_closer(study):
    assert [found.name for found in study.rich] == ["rich 1", "rich 2", "rich 3"][: len(study.rich)]
    assert len(study.rich) >= 1
    for outer, inner in zip([study.whole, *study.rich], study.rich, strict=False):
        assert inner.window.side == pytest.approx(outer.window.side / 8)
        assert inner.zoom == 8 * outer.zoom
        for i in range(2):
            assert abs(inner.window[i] - outer.window[i]) <= (outer.window.side - inner.window.side) / 2 + 1e-12
    assert study.models == sum(found.speed.size for found in study.views)
    assert study.trained == study.models
    assert {zoom: len(maps) for zoom, maps in study.places.items()} == {8.0: 16}
    assert all(found.edge.any() for found in study.places[8.0])
    middle = study.dimension[0]
    assert middle == np.median([boxes.dimension for boxes in study.scales.values()])
    for zoom, found in study.places.items():
        together = np.concatenate([one.edge for one in found])  # side by side in one picture: the same boxes
        assert study.scales[zoom].counts.tolist() == [
            int((box_counts(together, size) > 0).sum()) for size in study.scales[zoom].sizes.tolist()
        ]
        least, largest = study.intervals[zoom]
        assert least < study.scales[zoom].dimension < largest
    assert f"dimension of {middle:.2f}" in study.answer() and "1.17 to 1.98" in study.answer()
    assert sum(study.shares()) == pytest.approx(1)


@pytest.mark.jit_heavy
def test_the_way_closer_leads_to_the_boundary(study):
    *_, line = study.outcome().splitlines()
    zoom = [float(word) for word in line.removeprefix("closer: --zoom ").split()]
    assert zoom[2] == pytest.approx(8 ** (1 + len(study.rich)), rel=1e-5)
    closer = trainability(pixels=64, epochs=40, zoom=zoom)
    assert closer.window.side == pytest.approx(study.rich[-1].window.side / 8, rel=1e-5)
    assert maps_of(closer)[0].edge.any()


@pytest.mark.jit_heavy
def test_light_is_convergence_in_grey_too(study):
    lightness = picture(study.whole) @ np.array([0.2126, 0.7152, 0.0722])
    assert lightness[study.whole.converged].min() > lightness[~study.whole.converged].max()


@pytest.mark.jit_heavy
def test_everything_is_written(study, tmp_path):
    names = {path.name for path in study.save(tmp_path)}
    assert {"trainability.png", "dimension.png", "losses.png", "map_whole.csv", "map_rich_1.csv", "study.json"} <= names
    with open(tmp_path / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    mine = [row for row in rows if row["map"] == "whole"]
    assert [int(row["boxes"]) for row in mine] == study.whole.boxes.counts.tolist()
    with open(tmp_path / "map_whole.csv", newline="") as file:
        table = np.array([list(map(float, row.values())) for row in csv.DictReader(file)])
    np.testing.assert_allclose(table[:, 0], study.whole.window.rates(64)[1], rtol=1e-12)
    np.testing.assert_allclose(table[:, 1:], study.whole.speed, rtol=1e-4)
    about = json.loads((tmp_path / "study.json").read_text())
    assert about["dimension"]["median"] == study.dimension[0]
    assert about["settings"]["zoom"] is None and about["models"] == study.models


@pytest.mark.jit_heavy
@pytest.mark.parametrize(("zoom", "share"), [((1e-3, 1e-3, 100), 1.0), ((100, 100, 10), 0.0)])
def test_a_window_without_a_boundary_says_so(zoom, share, tmp_path):
    study = trainability(**TINY, zoom=zoom).run(progress=False, threads=1)
    assert study.whole.converged.mean() == share
    assert len(study.views) == 1 and study.answer().startswith("No boundary lies in this window")
    assert {"trainability.png", "losses.png"} <= {path.name for path in study.save(tmp_path)}


@pytest.mark.jit_heavy
def test_batches_and_zoom_change_the_map():
    full, _ = maps_of(trainability(**TINY))
    batches, _ = maps_of(trainability(**TINY, batch_size=8))
    assert (full.speed != batches.speed).any()
    assert trainability(batch_size=8).pixels == 256
    closer = trainability(**TINY, zoom=(1.3, 0.009, 4))
    assert closer.window == pytest.approx((np.log10(1.3), np.log10(0.009), trainability().window.side / 4))


def test_own_data_are_thinned_to_what_a_map_can_bear():
    rng = np.random.default_rng(0)
    data = ensemble.Dataset(np.arange(300.0), rng.normal(size=300), standardize=True, name="own")
    setup = trainability(data, samples=40, **TINY)
    thinned = setup.datasets["own"]
    assert (thinned.n_train, thinned.standardize, setup.settings["samples"]) == (40, True, 40)
    assert setup.notes == ("own: 40 of 300 training samples are used, drawn at random",)
    assert set(thinned.y_train) <= set(data.y_train)
    small = ensemble.Dataset(np.arange(5.0), np.arange(5.0))
    assert trainability(small).datasets["data"] is small


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixels": 8}, "pixels must be a whole number, from 16 to 8192, not 8"),
        ({"epochs": 5}, "epochs must be a whole number, 20 or more, not 5"),
        ({"samples": 65}, "samples must be a whole number, from 1 to 64, not 65"),
        ({"batch_size": -1}, "batch_size must be a whole number"),
        ({"zoom": (0, 1, 2)}, "zoom's hidden rate must be a finite number"),
        ({"zoom": (1, float("nan"), 2)}, "zoom's output rate must be a finite number"),
        ({"zoom": (1, 1, 0.5)}, "zoom's factor must be a finite number"),
        ({"zoom": (1, 1, 1e12)}, "zoom's factor must be a finite number"),
        ({"zoom": (1, 1)}, "a hidden rate, an output rate and a factor are needed"),
        ({"width": 0}, "width 0 is not allowed"),
        ({"data": ["chirp", "quadratic"]}, "trainability maps one"),
        ({"data": "sine"}, "unknown target 'sine'"),
        ({"init": "zero"}, "init 'zero' is unknown"),
    ],
)
def test_bad_settings_are_named_before_anything_is_trained(settings, message):
    with pytest.raises(ValueError, match=message):
        trainability(**settings)


# The command


@pytest.mark.jit_heavy
def test_the_command_goes_on_and_draws_once(tmp_path, capsys, undrawn):
    arguments = ["--pixels", "16", "--epochs", "20", "--out", str(tmp_path / "out"), "--threads", "1"]
    assert cli.main("trainability", arguments) == 0
    stdout, stderr = capsys.readouterr()
    assert "256 models trained" in stdout and "too few pixels" in stdout and stderr == ""
    assert cli.module(["trainability", *arguments]) == 0
    assert "none trained" in (out := capsys.readouterr().out) and "nothing has changed" in out
    assert cli.main("trainability", [*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shares"]["converged"] > 0
    assert cli.main("trainability", [*arguments, "--fresh", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(list((tmp_path / "out" / "run").glob("tile-*.npz"))) == 1


def test_the_plan_is_of_all_networks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ensemble.training, "train", lambda *_, **__: pytest.fail("trained"))
    assert cli.main("trainability", ["--dry-run", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("2,031,616 models x 300 epochs on 1 dataset (spline engine)")
    assert cli.main("trainability", ["--dry-run", "--json", "--batch-size", "8"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["models"] == 256**2 + 3 * 64**2 + 2 * 16 * 32**2
    assert 0 < plan["memory_bytes"] < 1e9
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--zoom", "1", "2"], "argument --zoom: expected 3 arguments"),
        (["--zoom", "1", "2", "0"], "zoom's factor must be a finite number in [1, 1e+09], not 0.0"),
        (["--pixels", "x"], "argument --pixels: invalid int value: 'x'"),
        (["--seeds", "3"], "--seeds does not go with trainability"),
        (["--lrs", "0.1"], "--lrs does not go with trainability"),
        (["--target", "chirp", "quadratic"], "trainability maps one"),
        (["--shard", "1/4"], "--shard does not go with trainability"),
        (["--keep-state"], "--keep-state does not go with trainability"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main("trainability", arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert message in stderr
    assert list(tmp_path.iterdir()) == []


def test_pixels_differ_in_rates_alone():
    model = trainability().specs
    found = pixel_specs(model, np.array([0.5, 2.0]), np.array([0.1, 0.01]))
    assert found.varying() == ["hidden_lr_factor", "output_lr_factor"]
    assert found.lr.tolist() == [1.0, 1.0] and found.seed.tolist() == [3, 3]
