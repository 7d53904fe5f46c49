import contextlib
import io
import json
from functools import partial

import numpy as np
import pytest

import ensemble
from ensemble import cli, store
from ensemble.store import chunks, manifest
from ensemble.studies import files, width_study
from ensemble.training import shards

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels

TINY = ["--widths", "2", "4", "9", "--seeds", "2", "--lrs", "0.05", "0.1", "--epochs", "10", "--optimizers", "gd"]


def study(*arguments):
    """Run the width study in this process; its status and what it printed."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = cli.main("width_study", [*TINY, *map(str, arguments)])
    return status, out.getvalue(), errors.getvalue()


def merge(*arguments):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = cli.module(["merge", *map(str, arguments)])
    return status, errors.getvalue()


def small_data(name="data", shift=0.0):
    x = np.linspace(-1, 1, 24)
    return ensemble.Dataset(x, np.sin(3 * x) + shift, x, np.sin(3 * x), standardize=shift > 0, name=name)


def rows_of(result, specs):
    """Return all that a result says of each model, by spec."""
    return {
        json.dumps(specs[i]._asdict()): (result.train_loss[i].tobytes(), result.networks[i].weights[0].tobytes())
        for i in range(len(specs))
    }


# ---- shards ----


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_shards_hold_every_model_once_and_cost_about_the_same(count):
    specs = ensemble.grid(width=[1, 8, 64, 500], seed=range(10), optimizer=["gd", "adam"])
    data = {"data": small_data()}
    parts = [shards.shard(specs, data, k, count) for k in range(1, count + 1)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(specs)))
    for k, part in enumerate(parts, 1):
        assert np.array_equal(part, shards.shard(specs, data, k, count))
    units = [specs[part].width.sum() for part in parts]
    assert max(units) - min(units) <= 500


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/", "a/b", "1/2/3", "-1/4", "1/0", "1.0/2", "¹/2"])
def test_a_shard_that_is_none(text):
    with pytest.raises(ValueError, match="K/N"):
        shards.parse_shard(text)
    status, out, errors = study("--shard", text)
    assert (status, out, errors.count("\n")) == (2, "", 1)


def test_more_shards_than_models(tmp_path):
    status, _, errors = study("--shard", "1/99", "--out", tmp_path)
    assert status == 2
    assert "there are only 48 models" in errors


def test_shards_are_trained_merged_and_drawn(tmp_path, undrawn):
    out = tmp_path / "out"
    for k in (1, 2, 3):
        status, said, _ = study("--out", out, "--shard", f"{k}/3")
        assert status == 0
        assert "python -m ensemble merge" in said
        assert {path.name for path in out.iterdir()} == {f"run-{i}-of-3" for i in range(1, k + 1)}
    folders = sorted(out.glob("run-*"))
    assert merge(*folders, "--into", out / "run") == (0, "")
    chunks = {path.name for path in (out / "run" / "chunks").iterdir()}
    assert study("--out", out, "--quiet") == (0, "", "")
    assert {path.name for path in (out / "run" / "chunks").iterdir()} == chunks  # nothing was trained
    whole = width_study(widths=[2, 4, 9], seeds=2, lrs=[0.05, 0.1], epochs=10, optimizers=["gd"]).run()
    assert (out / "models.csv").read_text() == files.csv_text(whole.model_rows())


def test_a_shard_as_json_and_as_a_plan(tmp_path):
    status, said, _ = study("--out", tmp_path, "--shard", "2/3", "--json")
    assert status == 0
    assert json.loads(said) == {
        "study": "width_study", "shard": [2, 3], "models": 16, "store": str(tmp_path / "run-2-of-3")
    }  # fmt: skip
    assert json.loads(study("--shard", "1/5", "--dry-run", "--json")[1])["plan"]["models"] == 10
    assert study("--shard", "1/5", "--show", "--out", tmp_path)[0] == 2


# ---- merging ----


@pytest.fixture
def two_runs(tmp_path):
    """Two runs on one dataset each, as shards of one grid can be; and the run of both."""
    data = {"a": small_data("a"), "b": small_data("b", 0.5)}
    specs = ensemble.grid(width=[2, 5], seed=range(3), lr=0.1, data=["a", "b"])
    whole = ensemble.train(specs, data, epochs=6, snapshots=[2])
    for name in data:
        ensemble.train(specs[specs.data == name], data, epochs=6, snapshots=[2], store=tmp_path / name)
    return tmp_path, specs, data, whole


def test_runs_on_different_datasets_become_one(two_runs):
    folder, specs, data, whole = two_runs
    assert len(store.merge([folder / "a", folder / "b"], folder / "both")) == len(specs)
    merged = store.load_result(folder / "both")
    assert rows_of(merged, merged.specs) == rows_of(whole, specs)
    again = ensemble.train(specs, data, epochs=6, snapshots=[2], store=folder / "both")
    assert np.array_equal(again.train_loss, whole.train_loss)
    assert np.array_equal(again.snapshots[2].parameters, whole.snapshots[2].parameters)
    assert store.verify(folder / "both").problems == ()


def test_a_merge_again_and_one_gone_on_with(two_runs):
    folder, _, _, _ = two_runs
    store.merge([folder / "a", folder / "b"], folder / "both")
    before = {path.name for path in (folder / "both" / "chunks").iterdir()}
    store.merge([folder / "a", folder / "b"], folder / "both")
    sorted((folder / "both" / "chunks").iterdir())[0].unlink()
    store.merge([folder / "a", folder / "b", folder / "a"], folder / "both")
    assert {path.name for path in (folder / "both" / "chunks").iterdir()} == before


def test_models_that_two_runs_share_count_once(tmp_path):
    specs = ensemble.grid(width=[3], seed=range(6), lr=0.1)
    for name, index in (("one", slice(0, 4)), ("two", slice(2, 6))):
        ensemble.train(specs[index], small_data(), epochs=4, store=tmp_path / name)
    assert len(store.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")) == 6
    result = store.load_result(tmp_path / "both")
    assert rows_of(result, result.specs) == rows_of(ensemble.train(specs, small_data(), epochs=4), specs)
    kept = sum(len(np.load(path)["diverged_at"]) for path in (tmp_path / "both" / "chunks").iterdir())
    assert kept == 6


def test_runs_that_differ_are_refused(tmp_path):
    specs = ensemble.grid(width=[3], seed=range(4), lr=0.1)
    ensemble.train(specs[:2], small_data(), epochs=4, store=tmp_path / "one")
    others: dict = {"epochs": {"epochs": 5}, "snapshots": {"epochs": 4, "snapshots": [1]}}
    others["keep_networks"] = {"epochs": 4, "keep_networks": False}
    for name, arguments in others.items():
        ensemble.train(specs[2:], small_data(), store=tmp_path / name, **arguments)
        status, errors = merge(tmp_path / "one", tmp_path / name, "--into", tmp_path / "both")
        assert (status, errors.count("\n")) == (2, 1)
        assert name in errors
        assert "not parts of one run" in errors
    ensemble.train(specs[2:], small_data(shift=1.0), epochs=4, store=tmp_path / "shifted")
    status, errors = merge(tmp_path / "one", tmp_path / "shifted", "--into", tmp_path / "both")
    assert status == 2
    assert "other data (data)" in errors
    assert not (tmp_path / "both").exists()


def test_runs_of_two_engines_become_one(tmp_path):
    specs = ensemble.grid(width=[3], seed=range(4), lr=0.1)
    parts = {"spline": specs[:2], "dense": specs[2:]}
    whole = {engine: ensemble.train(part, small_data(), epochs=4, engine=engine) for engine, part in parts.items()}
    for engine, part in parts.items():
        ensemble.train(part, small_data(), epochs=4, engine=engine, store=tmp_path / engine)
    store.merge([tmp_path / engine for engine in parts], tmp_path / "both")
    merged = store.load_result(tmp_path / "both")
    assert np.array_equal(merged.train_loss, np.concatenate([one.train_loss for one in whole.values()]))


def test_all_that_folders_hold_comes_along(tmp_path, capsys):
    x = np.linspace(-1, 1, 24)
    data = {"a": ensemble.Dataset(x, (x > 0) * 1.0, name="a"), "b": ensemble.Dataset(x, (x < 0) * 1.0, name="b")}
    specs = ensemble.grid(width=3, seed=range(4), lr=0.1, data=["a", "b"])
    train = partial(ensemble.train, engine="numpy")
    others = [("mse", 4, data), ("cross_entropy", 2, data), ("mse", 4, data | {"a": ensemble.Dataset(x, x)})]
    for part, index in enumerate((slice(3), slice(3, 8))):
        for loss, epochs, named in (*others, ("cross_entropy", 4, data)):
            train(specs[index], named, epochs=epochs, loss=loss, store=tmp_path / str(part))
    folders = [tmp_path / "0", tmp_path / "1"]
    assert merge(*folders, "--into", tmp_path / "all") == (0, "")
    kept = {path.name for path in (tmp_path / "all" / "chunks").iterdir()}
    store.merge([*folders, folders[0]], tmp_path / "all")
    assert {path.name for path in (tmp_path / "all" / "chunks").iterdir()} == kept
    assert cli.module(["verify", str(tmp_path / "all")]) == cli.module(["runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "8 of 8 models (finished)" in said and said.count("cross_entropy") == 3
    assert [one.kept for one in store.listed(tmp_path / "all")] == [3 * 8 + 4]  # one dataset is that of before
    for loss, epochs, named in others:
        again = train(specs, named, epochs=epochs, loss=loss, store=tmp_path / "all")
        assert again.trained == 0
        assert np.array_equal(again.train_loss, train(specs, named, epochs=epochs, loss=loss).train_loss)


CHANGES = {"versions": {"numba": "0.1"}, "target": {"cpu": "abacus"}}


@pytest.mark.parametrize("kind", CHANGES)
def test_runs_of_other_versions_or_cpus_are_refused(kind, tmp_path, monkeypatch):
    specs = ensemble.grid(width=[3], seed=range(4), lr=0.1)
    ensemble.train(specs[:2], small_data(), epochs=4, store=tmp_path / "one")
    made = chunks.made_here()
    monkeypatch.setattr(chunks, "made_here", lambda: made | {kind: made[kind] | CHANGES[kind]})
    ensemble.train(specs[2:], small_data(), epochs=4, store=tmp_path / "two")
    with pytest.raises(store.OtherRunError, match="numba [\\d.]+, not 0.1|for the CPU .*, not abacus"):
        store.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_damaged_unfinished_and_missing_runs_are_refused_in_one_line(two_runs):
    folder, _, _, _ = two_runs
    chunk = sorted((folder / "b" / "chunks").iterdir())[0]
    content = chunk.read_bytes()
    cases = []
    chunk.write_bytes(content[:-9])
    cases.append(merge(folder / "a", folder / "b", "--into", folder / "both"))
    assert "is damaged" in cases[-1][1]
    chunk.unlink()
    cases.append(merge(folder / "a", folder / "b", "--into", folder / "both"))
    assert "is not finished" in cases[-1][1]
    cases.append(merge(folder / "a", folder / "none", "--into", folder / "both"))
    assert "holds no run" in cases[-1][1]
    cases.append(merge(folder / "a", "--into", folder / "a"))
    assert "into itself" in cases[-1][1]
    assert [(status, errors.count("\n")) for status, errors in cases] == [(2, 1)] * 4
    assert not (folder / "both").exists()


def test_the_target_of_a_merge_keeps_what_it_holds(two_runs):
    folder, specs, data, whole = two_runs
    before = ensemble.train(specs, data, epochs=9, store=folder / "both")
    assert merge(folder / "a", folder / "b", "--into", folder / "both") == (0, "")
    merged = store.load_result(folder / "both")
    assert rows_of(merged, merged.specs) == rows_of(whole, specs)
    again = ensemble.train(specs, data, epochs=9, store=folder / "both")
    assert again.trained == 0 and np.array_equal(again.train_loss, before.train_loss)


def test_a_run_whose_one_dataset_is_done_goes_on(two_runs):
    folder, specs, data, whole = two_runs
    store.merge([folder / "a", folder / "b"], folder / "both")
    for path in (folder / "both" / "chunks").iterdir():
        if (np.load(path)["spec_data"] == "b").all():
            path.unlink()
    again = ensemble.train(specs, data, epochs=6, snapshots=[2], store=folder / "both")
    assert np.array_equal(again.train_loss, whole.train_loss)


def test_a_merged_run_says_what_its_parts_were_made_with(tmp_path, monkeypatch):
    data = ensemble.sample("quadratic", n=40)
    for seed in (0, 1):
        ensemble.train(ensemble.grid(width=2, seed=seed), data, epochs=2, store=tmp_path / str(seed), progress=False)
    made = chunks.made_here()
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "made_here", lambda: made | {"versions": made["versions"] | {"numba": "99"}})
        store.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "all")
    found = [chunk.made for _, chunk in chunks.scan(tmp_path / "all", manifest.load(tmp_path / "all"))]
    assert found == [made] * len(found) and found
    assert len(ensemble.load_result(tmp_path / "all")) == 2
