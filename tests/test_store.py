"""Run folders: what is kept is found again, gone on with to the same bits, and refused where it does not fit."""

import errno
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stored import (
    EPOCHS,
    GOLDEN,
    DeadError,
    assert_sound,
    chunk_files,
    content,
    die_after_chunks,
    die_after_states,
    make_data,
    make_specs,
    python,
    train,
)

import ensemble
from ensemble import store
from ensemble.engines import Checkpoint, checkpoint, chunk, run_chunk
from ensemble.store import chunks, manifest
from ensemble.store import run as open_run
from ensemble.system import archive
from ensemble.training import planning
from ensemble.training import running as training
from ensemble.training.request import make_settings

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels

ENGINES = [("spline", 1), ("dense", 2), ("numpy", 2)]
every_engine = pytest.mark.parametrize(("engine", "d"), ENGINES)


@pytest.fixture
def trained(monkeypatch):
    """Count the models that are trained: the length of each chunk."""
    lengths = []

    def counted(specs, *rest):
        lengths.append(len(specs))
        return run_chunk(specs, *rest)

    monkeypatch.setattr(training, "run_chunk", counted)
    return lengths


# ---- what a folder is for ----


@every_engine
@pytest.mark.parametrize("options", [{}, {"snapshots": None}, {"keep_networks": False}, {"record": [3], "threads": 1}])
def test_a_stored_run_is_the_run(engine, d, options, tmp_path, trained):
    specs, data = make_specs(), make_data(d, standardize=True)
    expected = content(train(specs, data, engine=engine, **options))
    trained.clear()
    stored = train(specs, data, engine=engine, store=tmp_path / "run", **options)
    assert content(stored) == expected
    assert sum(trained) == len(specs)
    assert_sound(tmp_path / "run", len(specs))
    again = train(specs, data, engine=engine, store=tmp_path / "run", **options)
    loaded = store.load_result(tmp_path / "run")
    assert content(again) == content(loaded) == expected
    assert loaded.specs == specs
    assert sum(trained) == len(specs)
    np.testing.assert_array_equal(loaded.status, stored.status)
    if hasattr(stored, "networks"):
        x = data.x_test
        np.testing.assert_array_equal(loaded.networks.predict(x), stored.networks.predict(x))


def test_several_datasets_with_and_without_parts(tmp_path):
    whole, bare = make_data(standardize=True), make_data(seed=1)
    data = {"a": whole, "b": ensemble.Dataset(bare.x_train, bare.y_train)}
    specs = ensemble.grid(width=[4, 6], seed=range(4), data=["b", "a"])
    expected = content(train(specs, data))
    assert content(train(specs, data, store=tmp_path)) == expected
    assert content(store.load_result(tmp_path)) == expected
    swapped = specs[::-1]
    assert content(train(swapped, data, store=tmp_path)) == content(train(swapped, data))


def test_a_model_that_is_there_twice_is_kept_and_found(tmp_path, trained):
    specs = make_specs() + make_specs()[3:9]
    expected = content(train(specs))
    assert content(train(specs, store=tmp_path)) == expected
    trained.clear()
    assert content(train(specs[::-1], store=tmp_path)) == content(train(specs[::-1]))
    assert sum(trained) == len(specs)  # all without the store
    assert content(store.load_result(tmp_path)) == content(train(specs[::-1]))


def test_networks_to_start_from_are_told_apart(tmp_path, trained):
    specs = make_specs()
    start, other = ensemble.initialize(specs), ensemble.initialize(specs)
    other[3].weights[0][:] *= 2
    expected = content(train(specs, initial=start))
    for _ in range(2):
        assert content(train(specs, initial=start, store=tmp_path)) == expected
    trained.clear()
    assert content(train(specs, initial=other, store=tmp_path)) != expected
    assert sum(trained) == 1  # the one that starts elsewhere
    assert content(train(specs, store=tmp_path)) == content(train(specs))
    assert content(train(specs, initial=start, store=tmp_path)) == expected


def test_threads_run_only_a_few_chunks_ahead_of_what_is_written(tmp_path, monkeypatch):
    """What is trained and not yet written is lost by a kill."""
    begun, ahead, written = [], [], chunks.write

    def counted(specs, *rest):
        begun.append(len(specs))
        return run_chunk(specs, *rest)

    def slow(*arguments):
        if not ahead:
            time.sleep(0.3)  # in which all 24 chunks could be trained
        ahead.append(len(begun) - len(ahead))
        written(*arguments)

    monkeypatch.setattr(training, "run_chunk", counted)
    monkeypatch.setattr(chunks, "write", slow)
    monkeypatch.setattr(planning, "CHUNK_SECONDS", 1e-9)  # a chunk for each model
    train(make_specs(), store=tmp_path, threads=2)
    assert len(begun) == len(ahead) == 24
    assert max(ahead) <= 2 + 4


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds 'thesis.tex' and no run"):
        train(make_specs(), store=tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        train(make_specs(), store=tmp_path / "thesis.tex")
    store.clear(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_clear_removes_the_run_and_nothing_else(tmp_path, trained):
    train(make_specs(), store=tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    store.clear(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["lock", "notes.txt"]
    (tmp_path / "notes.txt").unlink()
    store.clear(tmp_path / "nowhere")
    train(make_specs(), store=tmp_path)
    assert sum(trained) == 2 * len(make_specs())


def test_no_run_and_an_unfinished_one_cannot_be_loaded(tmp_path):
    for ask in (store.load_result, store.verify):
        with pytest.raises(ValueError, match="holds no run"):
            ask(tmp_path)
    train(make_specs(), store=tmp_path)
    gone = chunk_files(tmp_path)[0]
    n = len(archive.read(gone, chunks.KINDS)["diverged_at"])
    gone.unlink()
    with pytest.raises(ValueError, match=f"is not finished: {24 - n} of 24 models"):
        store.load_result(tmp_path)
    assert store.verify(tmp_path).done == 24 - n


def test_too_little_disk_is_refused_before_anything_is_trained(tmp_path, trained, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(open_run.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match=r"has 1 kB of room, the run takes about \d+ kB"):
        train(make_specs(), store=tmp_path)
    assert trained == []


# ---- R8, R10: test_identity.py has all ways to run; here a fork in the middle of a program ----


def test_a_child_forked_after_training_trains():
    process = python("import test_store; test_store.fork_and_compare()")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "same\n", "")


def fork_and_compare():
    """Train, fork, and train in the child: in a process of its own."""
    import tempfile

    specs = make_specs()
    with tempfile.TemporaryDirectory() as folder:
        expected = content(train(specs, store=folder))
        child = os.fork()
        if not child:
            ok = content(train(specs)) == expected == content(train(specs, store=Path(folder, "chunks", "child")))
            os._exit(0 if ok else 1)
        print("same" if os.waitpid(child, 0)[1] == 0 else "other")


# ---- R12: what may change between two calls ----


OTHER = {
    "more epochs": ({"epochs": 13}, 24),
    "fewer epochs": ({"epochs": 11}, 24),
    "the same epochs by name": ({"record": range(12)}, 0),
    "fewer recorded epochs": ({"record": [4]}, 0),
    "more snapshots": ({"snapshots": [5, 6]}, 24),
    "no snapshots": ({"snapshots": None}, 0),
    "no networks": ({"keep_networks": False}, 0),
    "another engine": ({"engine": "dense"}, 24),
    "the same engine by name": ({"engine": "spline"}, 0),
    "other data": ({"data": make_data(seed=1)}, 24),
    "data in other units": ({"data": make_data(standardize=True)}, 24),
    "several inputs": ({"data": make_data(2)}, 24),
    "fewer models": ({"specs": make_specs()[1:]}, 0),
    "more models": ({"specs": make_specs(3)}, 12),
    "other models": ({"specs": ensemble.grid(width=3)}, 1),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_setting_takes_what_fits_and_adds_the_rest(name, tmp_path, trained):
    change, missing = OTHER[name]
    expected = content(train(make_specs(), store=tmp_path))
    before = {path.name: path.read_bytes() for path in chunk_files(tmp_path)}
    trained.clear()
    result = train(**({"specs": make_specs()} | change), store=tmp_path)
    assert (sum(trained), result.trained) == (missing, missing)
    assert content(store.load_result(tmp_path)) == content(result)
    assert content(result) == content(train(**({"specs": make_specs()} | change)))
    trained.clear()
    assert content(train(make_specs(), store=tmp_path)) == content(store.load_result(tmp_path)) == expected
    assert trained == []  # nothing was lost
    assert before.items() <= {path.name: path.read_bytes() for path in chunk_files(tmp_path)}.items()
    assert store.verify(tmp_path).problems == ()


def test_more_recorded_epochs_than_are_there_are_trained(tmp_path, trained):
    train(make_specs(1), record=[4], store=tmp_path)
    trained.clear()
    assert content(train(make_specs(1), store=tmp_path)) == content(store.load_result(tmp_path))
    assert sum(trained) == 12
    assert content(train(make_specs(1), record=[4, 9], store=tmp_path)) == content(train(make_specs(1), record=[4, 9]))
    assert sum(trained) == 24  # the last without the store


def test_a_dataset_of_another_name_is_the_same_data(tmp_path, trained):
    data, specs = make_data(standardize=True), make_specs(1)
    expected = content(train(specs, data, store=tmp_path))
    columns = {name: values for name, values in specs.columns().items() if name != "data"}
    renamed = ensemble.Specs(**columns, data=["a"] * len(specs))
    trained.clear()
    result = train(renamed, {"a": data}, store=tmp_path)
    assert content(result) == expected and trained == []
    assert set(result.specs.data) == {"a"}


def test_models_of_version_2_are_found_when_later_releases_add_columns_and_settings(tmp_path, monkeypatch, trained):
    """What is at its default is not written, so that a file of today has no word of what is to come."""
    specs = ensemble.grid(width=[3, 4])
    train(specs, store=tmp_path)
    arrays = archive.read(chunk_files(tmp_path)[0], chunks.KINDS)
    assert {name for name in arrays if name.startswith("spec_")} == {"spec_width"}
    more = arrays | {"spec_dropout": np.full(2, 0.5), "train_accuracy": np.ones((2, 3))}
    chunk_files(tmp_path)[0].unlink()
    mark = next(iter(tmp_path.glob("run-*")))  # any file
    name = f"{chunk_files(tmp_path)[0].name[:8] if chunk_files(tmp_path) else 'f' * 8}-{'0' * 24}.npz"
    (tmp_path / "chunks" / name).write_bytes(archive.dump(more))
    assert mark.exists()
    assert store.verify(tmp_path).problems == ()  # of a later release: not for us, and not damaged
    trained.clear()
    train(specs, store=tmp_path)
    assert sum(trained) > 0 and (tmp_path / "chunks" / name).exists()


@pytest.mark.parametrize("name", ["relu-ensemble", "numpy", "numba"])
def test_another_version_reads_what_is_there_and_does_not_mix(name, tmp_path, monkeypatch, trained):
    expected = content(train(make_specs(), store=tmp_path))
    made = chunks.made_here()
    monkeypatch.setattr(chunks, "made_here", lambda: made | {"versions": made["versions"] | {name: "99.0"}})
    trained.clear()
    assert content(train(make_specs(), store=tmp_path)) == content(store.load_result(tmp_path)) == expected
    kept = {path: path.read_bytes() for path in chunk_files(tmp_path)[1:]}
    chunk_files(tmp_path)[0].unlink()
    for specs in (make_specs(), make_specs(3)):
        with pytest.raises(store.OtherRunError, match=f"made with {name} .*, not 99.0"):
            train(specs, store=tmp_path)
    assert trained == []
    assert {path: path.read_bytes() for path in chunk_files(tmp_path)} == kept
    train(ensemble.grid(width=3), store=tmp_path)  # no row of it is there: nothing is mixed
    assert sum(trained) == 1


OTHER_CPUS = {
    "abacus": ({"cpu": "abacus", "features": ""}, "kernels for the CPU .*, not abacus"),
    "fewer features": ({"features": "+sse2"}, "another set of instructions of the CPU"),
}


@pytest.mark.parametrize("name", OTHER_CPUS)
def test_rows_for_another_cpu_are_not_mixed(name, tmp_path, monkeypatch, trained):
    change, words = OTHER_CPUS[name]
    train(make_specs(), store=tmp_path)
    made = chunks.made_here()
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "made_here", lambda: made | {"target": made["target"] | change})
        with pytest.raises(store.OtherRunError, match=words):
            train(make_specs(3), store=tmp_path)
        train(make_specs(4)[make_specs(4).seed >= 2], store=tmp_path)
    trained.clear()
    both = train(make_specs(4), store=tmp_path)  # all is there: it is read, and named
    assert trained == [] and len(both) == 48
    assert store.verify(tmp_path).mixed


def test_a_mix_is_named_by_load_and_verify(tmp_path, monkeypatch, capsys):
    train(make_specs(1), store=tmp_path)
    made = chunks.made_here()
    with monkeypatch.context() as patch:
        patch.setattr(chunks, "made_here", lambda: made | {"target": made["target"] | {"cpu": "abacus"}})
        train(make_specs(2)[make_specs(2).seed >= 1], store=tmp_path)
    assert store.verify(tmp_path).mixed == ""
    train(make_specs(2), store=tmp_path)
    capsys.readouterr()
    store.load_result(tmp_path)
    said = capsys.readouterr().err
    assert "abacus" in said and store.verify(tmp_path).mixed in said
    assert store.verify(tmp_path).problems == ()


def test_another_machine_of_the_same_kind_is_noted(tmp_path, monkeypatch, capsys):
    train(make_specs(), store=tmp_path)
    made = chunks.made_here()
    monkeypatch.setattr(chunks, "made_here", lambda: made | {"machine": made["machine"] | {"processor": "abacus"}})
    train(make_specs(), store=tmp_path)
    assert capsys.readouterr().err == ""
    train(make_specs(3), store=tmp_path)
    assert "another kind of machine" in capsys.readouterr().err


def test_added_specs_reuse_what_is_there(tmp_path, trained):
    few, many = make_specs(2), make_specs(3)
    train(few, store=tmp_path)
    order = np.random.default_rng(1).permutation(len(many))
    trained.clear()
    assert content(train(many[order], store=tmp_path)) == content(train(many[order]))
    assert sum(trained) == len(many) - len(few) + len(many)  # the second is without the store
    assert_sound(tmp_path, len(many))


def test_only_so_many_requests_are_remembered(tmp_path, monkeypatch, trained):
    monkeypatch.setattr(manifest, "MOST_RUNS", 3)
    for n in range(1, 6):
        train(make_specs(1)[:n], store=tmp_path)
    assert len(list(tmp_path.glob("run-*"))) == 3
    trained.clear()
    train(make_specs(1)[:1], store=tmp_path)  # forgotten as a request, not as a model
    assert trained == [] and len(store.load_result(tmp_path)) == 1
    assert store.verify(tmp_path).problems == ()


# ---- R15: errors while reading ----


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, errno.EIO) for kind in ("manifest.json", "run", "chunks", "states")]
    + [("chunks", number) for number in (errno.EACCES, errno.EMFILE, errno.ESTALE)],
)
def test_a_read_error_ends_the_run_and_deletes_nothing(kind, number, tmp_path, monkeypatch, many_saves):
    specs = ensemble.grid(width=[3, 4, 5], optimizer="adam", lr=0.02)
    monkeypatch.setattr(planning, "CHUNK_SECONDS", 1e-12)
    expected = content(train(specs))
    with monkeypatch.context() as patch:
        die_after_states(patch, 20)
        with pytest.raises(DeadError):
            train(specs, store=tmp_path, threads=1)
    paths = {"run": tmp_path.glob("run-*"), "manifest.json": [tmp_path / "manifest.json"]}
    bad = str(next(iter(paths.get(kind, (tmp_path / kind).glob("*.npz")))))
    kept = [path for path in tmp_path.rglob("*.*") if path.parent.name != "states" or str(path) == bad]
    before = {path: path.read_bytes() for path in kept}
    opened = os.open

    def failing(path, *arguments, **options):
        if str(path) == bad:
            raise OSError(number, os.strerror(number))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    calls = [lambda: train(specs, store=tmp_path, threads=1), lambda: store.verify(tmp_path)]
    calls += [lambda: store.merge([tmp_path], tmp_path.with_name("merged"))]
    calls += [] if kind == "states" else [lambda: store.load_result(tmp_path)]
    for call in calls:
        with pytest.raises(OSError, match="cannot be read") as caught:
            call()
        assert (caught.value.errno, caught.value.filename) == (number, bad)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", opened)
            assert {path: path.read_bytes() for path in kept} == before
    monkeypatch.setattr(os, "open", opened)
    assert content(train(specs, store=tmp_path)) == expected
    assert_sound(tmp_path, len(specs))


def test_a_finished_run_on_a_disk_that_cannot_be_written_is_read(tmp_path, monkeypatch, trained):
    expected = content(train(make_specs(), store=tmp_path))
    part = content(train(make_specs()[3:9]))
    opened = os.open

    def refused(path, flags, *arguments, **options):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refused)
    trained.clear()
    assert content(train(make_specs(), store=tmp_path)) == expected
    assert content(train(make_specs()[3:9], store=tmp_path)) == part
    assert trained == []
    with pytest.raises(OSError, match="cannot be written: Read-only file system"):
        train(make_specs(3), store=tmp_path)
    assert trained == []


# ---- R16: strange things under our names ----


def stranger(path, outside):
    """Yield functions that put something strange at `path`."""
    yield lambda: path.symlink_to(outside)
    yield lambda: os.mkfifo(path)
    yield path.mkdir


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["a link", "a pipe", "a folder"])
@pytest.mark.parametrize("name", ["lock", "manifest.json", "run", "chunk", "state"])
def test_what_is_no_file_of_ours_is_refused_and_nothing_is_followed(name, kind, tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    specs = make_specs(1)
    train(specs, store=folder)
    outside.write_text("years of work")
    path = {
        "run": next(folder.glob("run-*")), "chunk": chunk_files(folder)[0],
        "state": folder / "states" / f"{'a' * 24}.npz",
    }.get(name, folder / name)  # fmt: skip
    path.unlink(missing_ok=True)
    list(stranger(path, outside))[kind]()
    calls = [lambda: train(make_specs(), store=folder)] if name != "state" else []
    calls += [lambda: store.verify(folder)] if name != "lock" else []
    calls += [lambda: store.load_result(folder)] if name not in ("lock", "state") else []
    for call in calls:
        with pytest.raises((ValueError, IsADirectoryError), match=path.name):
            call()
    if kind < 2:
        try:
            store.clear(folder)
        except ValueError as error:
            assert "lock" in str(error)
    assert outside.read_text() == "years of work"


@pytest.mark.parametrize("name", ["chunks", "states"])
def test_a_linked_folder_is_not_followed(name, tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "outside"
    train(make_specs(1), store=folder)
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    (outside / f"{'0' * 24}.npz").write_bytes(b"years of work")
    before = {path: path.read_bytes() for path in outside.iterdir()}
    for call in (train, store.clear, store.verify):
        with pytest.raises(ValueError, match=f"{name} is a symbolic link, which is not followed"):
            call(make_specs(1), store=folder) if call is train else call(folder)
    assert {path: path.read_bytes() for path in outside.iterdir()} == before


def test_a_second_name_of_another_file_is_no_lock(tmp_path):
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / "run").mkdir()
    os.link(tmp_path / "thesis", tmp_path / "run" / "lock")
    with pytest.raises(ValueError, match="lock is no lock file of this program"):
        train(make_specs(1), store=tmp_path / "run")
    assert (tmp_path / "thesis").read_text() == "years of work"


def test_files_with_other_names_are_never_touched(tmp_path):
    specs = make_specs(1)
    train(specs, store=tmp_path)
    mine = [tmp_path / name for name in (
        "chunks/mine.npz", "states/0.npz", "specs-mine.npz", ".notes.tmp", "chunks/.notes.txt.5.tmp", "run-of-2024.npz",
    )]  # fmt: skip
    for path in mine:
        path.write_bytes(b"mine")
    chunk_files(tmp_path)[0].write_bytes(b"damaged")
    train(make_specs(2), store=tmp_path)
    assert store.verify(tmp_path).problems == ()
    store.clear(tmp_path)
    left = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock")
    assert left == sorted(mine)


def test_clear_makes_no_lock_in_a_folder_without_a_run(tmp_path):
    (tmp_path / "thesis").write_text("years of work")
    store.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_null_byte_in_a_store_is_one_clear_error():
    for call in (lambda: train(make_specs(1), store="a\0b"), lambda: store.load_result("a\0b")):
        with pytest.raises(ValueError, match=r"'a\\x00b' is no path: it holds a null byte"):
            call()


# ---- long single models ----


@pytest.fixture
def many_saves(monkeypatch):
    """Save the state of every chunk before every piece of work."""
    monkeypatch.setattr(checkpoint, "SECONDS", -1.0)
    monkeypatch.setattr("ensemble.engines.compiled.CALL_SECONDS", 0.0)


@every_engine
@pytest.mark.parametrize(("chunks", "after"), [(1, 1), (1, 11), (1000, 4)])
def test_a_long_model_goes_on_from_its_state(engine, d, chunks, after, tmp_path, monkeypatch, many_saves):
    specs = ensemble.grid(width=[5, 3], optimizer=["adam", "momentum"], lr=0.02)
    specs += ensemble.grid(width=4, lr=[1e10, 0.01])  # one diverges
    options = {"engine": engine, "snapshots": [2, 5, EPOCHS], "threads": 1}
    monkeypatch.setattr(planning, "CHUNKS_PER_RUN", chunks)
    with np.errstate(all="ignore"):
        expected = content(train(specs, make_data(d), **options))
        saves = die_after_states(monkeypatch, after)
        with pytest.raises(DeadError):
            train(specs, make_data(d), store=tmp_path, **options)
        left = {path.name for path in tmp_path.glob("states/*.npz")}
        reached = {name: place for name, place in saves if name in left}  # the last place of each
        assert left and set(reached) == left
        del saves[:]
        monkeypatch.setattr(checkpoint, "SECONDS", -1.0)
        assert content(train(specs, make_data(d), store=tmp_path, **options)) == expected
    first = dict(reversed(saves))
    assert {name: first[name] for name in reached} == reached  # where it stopped, not before
    assert list(tmp_path.glob("states/*.npz")) == []
    assert_sound(tmp_path, len(specs))


@every_engine
def test_a_damaged_state_starts_again_with_a_note(engine, d, tmp_path, monkeypatch, many_saves, capsys):
    specs = ensemble.grid(width=5, optimizer="adam", lr=0.02)
    expected = content(train(specs, make_data(d), engine=engine))
    saves = die_after_states(monkeypatch, 6)
    with pytest.raises(DeadError):
        train(specs, make_data(d), engine=engine, store=tmp_path)
    (state,) = tmp_path.glob("states/*.npz")
    damaged = bytearray(state.read_bytes())
    damaged[damaged.index(b"\x93NUMPY") + 20] ^= 4
    state.write_bytes(damaged)
    assert str(state) in store.verify(tmp_path).problems[0]
    del saves[:]
    assert content(train(specs, make_data(d), engine=engine, store=tmp_path)) == expected
    assert saves[0][1] == 1
    note = capsys.readouterr().err
    assert str(state) in note and "trained from the start" in note
    assert_sound(tmp_path, 1)


@every_engine
@pytest.mark.parametrize("damage", ["shape", "missing", "kind", "place"])
def test_a_state_of_another_shape_starts_again(engine, d, damage, tmp_path, monkeypatch, many_saves, capsys):
    """Its hash is right, but it is not what this model leaves."""
    specs = ensemble.grid(width=5, optimizer="adam", lr=0.02)
    expected = content(train(specs, make_data(d), engine=engine))
    die_after_states(monkeypatch, 6)
    with pytest.raises(DeadError):
        train(specs, make_data(d), engine=engine, store=tmp_path)
    monkeypatch.setattr(checkpoint, "SECONDS", 1e9)  # what goes on from a state need not save its own
    (state,) = tmp_path.glob("states/*.npz")
    whole = archive.read(state, {"*": ("fibu", -1)})
    for name in whole:
        arrays = dict(whole)
        if damage == "shape":
            arrays[name] = np.zeros((*whole[name].shape, 2), whole[name].dtype)
        elif damage == "missing":
            del arrays[name]
        elif damage == "kind":
            arrays[name] = np.zeros(whole[name].shape, np.int16 if name == "train" else np.float32)
        elif name == "place":
            arrays[name] = np.array([-3])
        else:
            continue
        state.write_bytes(archive.dump(arrays))
        folder = tmp_path / f"copy of {name}"
        shutil.copytree(tmp_path, folder, ignore=shutil.ignore_patterns("copy of*"))
        assert content(train(specs, make_data(d), engine=engine, store=folder)) == expected, (name, damage)
        assert str(folder) in capsys.readouterr().err


def test_a_state_is_worth_saving_on_ctrl_c(monkeypatch, tmp_path, many_saves):
    """What the main thread gives up is saved if it is worth it."""
    monkeypatch.setattr(checkpoint, "SECONDS", 1e9)
    monkeypatch.setattr(chunk, "WORTH_SAVING", 0.0)
    specs, data = ensemble.grid(width=5), make_data()
    settings = make_settings(EPOCHS, None, None, True)
    place = Checkpoint(tmp_path / "state.npz", checkpoint.SECONDS)
    stop = threading.Event()
    pauses, pause = [], chunk.Chunk.pause

    def stopping(self, number):
        pauses.append(number)
        if number == 4:
            stop.set()
        pause(self, number)

    monkeypatch.setattr(chunk.Chunk, "pause", stopping)
    with pytest.raises(chunk.CancelledError):
        run_chunk(specs, data, "spline", settings, stop=stop, checkpoint=place)
    expected = run_chunk(specs, data, "spline", settings)
    del pauses[:]
    rows = run_chunk(specs, data, "spline", settings, checkpoint=replace(place))
    assert pauses[0] == 4
    np.testing.assert_array_equal(rows.losses["train"], expected.losses["train"])
    np.testing.assert_array_equal(rows.networks.parameters, expected.networks.parameters)


# ---- R13: files of past releases ----

RELEASES = pytest.mark.parametrize("golden", [GOLDEN, GOLDEN.with_name("run-v2")], ids=["version 1", "version 2"])


def golden_run(folder=None, **more):
    """Train the run in `tests/data/run-v1` and `run-v2`; with a folder, write it there."""
    x = np.linspace(-2, 2, 15)
    data = {
        "plain": ensemble.Dataset(x, x - x**2 / 2, x[3:6] + 0.05, x[3:6]),
        "scaled": ensemble.Dataset(10 + 3 * x, 5 - 2 * x**2, standardize=True),
    }
    specs = ensemble.grid(width=[2, 3], optimizer=["gd", "adam"], lr=0.05, data=["plain", "scaled"], **more)
    specs += ensemble.grid(width=3, lr=1e10, data="plain")
    return specs, ensemble.train(specs, data, epochs=20, record=[1, 7], snapshots=[7], progress=False, store=folder)


@RELEASES
def test_the_run_of_a_past_release_loads(golden):
    before = sorted(golden.rglob("*"))
    loaded, (specs, fresh) = store.load_result(golden), golden_run()
    assert loaded.specs == specs
    assert loaded.epochs.tolist() == [0, 1, 7, 20]
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(getattr(loaded, name), getattr(fresh, name), rtol=1e-9)
    assert loaded.diverged_at.tolist() == fresh.diverged_at.tolist() == [-1] * 8 + [3]
    for kept, new in ((loaded.networks, fresh.networks), (loaded.snapshots[7], fresh.snapshots[7])):
        for one, other in zip(list(kept)[:8], list(new)[:8], strict=True):
            for a, b in zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(one.predict([9.0, 11.0]), other.predict([9.0, 11.0]), rtol=1e-9)
    np.testing.assert_allclose(loaded.train_loss[:8, -1], GOLDEN_ERRORS, rtol=1e-9)
    assert len(chunk_files(golden)) >= 2
    found = store.verify(golden)
    assert (found.models, found.done, found.problems) == (9, 9, ())
    assert sorted(golden.rglob("*")) == before  # reading writes nothing


GOLDEN_ERRORS = [
    2.561074733390557,
    7.330871396177518,
    2.5296972877197006,
    6.327246221584232,
    0.5125642340186518,
    7.330897721816362,
    0.32040176411174554,
    6.186147691666271,
]


@RELEASES
def test_the_run_of_a_past_release_is_gone_on_with(golden, tmp_path, trained):
    folder = shutil.copytree(golden, tmp_path / "run")
    files = {path.name for path in folder.rglob("*.*")}
    _, result = golden_run(folder)
    assert trained == []
    assert content(result) == content(store.load_result(golden))
    assert {path.name for path in folder.rglob("*.*")} == files  # nothing to write


@RELEASES
@pytest.mark.parametrize("after", [None, 0, 2])
def test_models_are_added_to_the_run_of_a_past_release(golden, after, tmp_path, trained, monkeypatch):
    """As if by the release that wrote it, on the same machine; also where it ends while the files are renewed."""
    folder = shutil.copytree(golden, tmp_path / "run")
    table = manifest.load(folder)
    made = next(chunk.made for _, chunk in chunks.scan(folder, table))
    monkeypatch.setattr(chunks, "made_here", lambda: made)
    if after is not None:
        with monkeypatch.context() as patch:
            die_after_chunks(patch, after)
            with pytest.raises(DeadError):
                golden_run(folder, seed=[0, 1])
    trained.clear()
    specs, result = golden_run(folder, seed=[0, 1])
    assert sum(trained) <= 8 and (specs.seed == 0).sum() == 9
    old = np.flatnonzero(specs.seed == 0)
    assert content(result[old]) == content(store.load_result(golden))
    assert_sound(folder, len(specs))
    assert list(folder.glob("specs-*")) == [] and len(manifest.load(folder).runs) == 2
    trained.clear()
    assert content(golden_run(folder)[1]) == content(store.load_result(golden))
    assert trained == []
