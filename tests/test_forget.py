"""`forget`: a run folder without what one call would take from it, and with all else."""

import shutil

import numpy as np
import pytest
from stored import EPOCHS, GOLDEN, chunk_files, content, make_data, make_specs, models_kept, train

import ensemble
from ensemble import store, training
from ensemble.training import planning

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels

DATA = make_data()
SPECS = make_specs()  # 24
SOME = SPECS[(SPECS.width == 9) & (SPECS.seed == 0)]  # 6 of them


def forget(specs, folder, **options):
    training.forget(specs, DATA, folder=folder, **({"epochs": EPOCHS, "snapshots": [5]} | options))


def trained(specs, folder, **options):
    """Return how many models a call of `train` does not find in the folder."""
    return train(specs, DATA, store=folder, **options).trained


@pytest.mark.parametrize("least_seconds", [0.0, 1.0])  # chunks of a model each, and one chunk of all
def test_only_the_models_that_the_call_would_take_are_forgotten(least_seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "LEAST_CHUNK_SECONDS", least_seconds)
    monkeypatch.setattr(planning, "CHUNKS_PER_RUN", 24)
    before = train(SPECS, DATA, store=tmp_path)
    assert len(chunk_files(tmp_path)) == (1 if least_seconds else 24)
    forget(SOME, tmp_path)
    assert models_kept(tmp_path) == 18
    assert store.verify(tmp_path).problems == ()
    again = train(SPECS, DATA, store=tmp_path)
    assert again.trained == 6
    np.testing.assert_array_equal(again.fresh, (SPECS.width == 9) & (SPECS.seed == 0))
    assert content(again) == content(before)


def test_trainings_of_other_lengths_stay_unless_they_are_gone_on_with(tmp_path):
    gd = SPECS[SPECS.optimizer == "gd"]  # goes on without a state
    assert trained(gd, tmp_path) == 8
    assert trained(SOME, tmp_path, epochs=7, snapshots=None) == 6
    forget(gd, tmp_path, epochs=7, snapshots=None)  # those of 12 epochs lack the networks of epoch 7: not used
    assert trained(gd, tmp_path) == 0
    assert trained(SOME, tmp_path, epochs=7, snapshots=None) == 2
    forget(gd, tmp_path, epochs=2 * EPOCHS)
    assert trained(gd, tmp_path) == 8
    assert trained(SOME[SOME.optimizer != "gd"], tmp_path, epochs=7, snapshots=None) == 0


def test_what_stays_of_a_file_has_all_that_it_had(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "LEAST_CHUNK_SECONDS", 1.0)
    train(SPECS, DATA, store=tmp_path, keep_state=True)
    forget(SOME, tmp_path)
    others = SPECS[(SPECS.width != 9) | (SPECS.seed != 0)]
    again = train(others, DATA, store=tmp_path, keep_state=True)
    assert again.trained == 0
    more = train(others, DATA, store=tmp_path, keep_state=True, epochs=2 * EPOCHS)
    assert content(more) == content(train(others, DATA, epochs=2 * EPOCHS))


def test_other_data_stay(tmp_path):
    other = make_data(seed=1)
    train(SPECS, DATA, store=tmp_path)
    train(SPECS, other, store=tmp_path)
    forget(SPECS, tmp_path)
    assert train(SPECS, other, store=tmp_path).trained == 0
    assert trained(SPECS, tmp_path) == 24


def test_a_folder_of_version_1_keeps_its_others(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(GOLDEN, folder)
    whole = ensemble.load_result(folder)
    models = len(whole.specs)
    assert models_kept(folder) == models
    forget(SPECS, folder)  # of other data: nothing is theirs
    assert models_kept(folder) == models
    assert content(ensemble.load_result(folder)) == content(whole)


def test_how_far_its_chunks_have_come_is_forgotten_and_that_of_others_stays(tmp_path):
    train(SOME, DATA, store=tmp_path)
    settings = {"epochs": EPOCHS, "snapshots": [5]}
    (tmp_path / "states").mkdir(exist_ok=True)
    places = {}
    for name, specs in (("mine", SOME), ("others", SPECS[SPECS.width == 4])):
        planned = training.plan(specs, DATA, **settings).chunks
        with store.Run(tmp_path, request_of(specs)) as run:
            places[name] = [run.checkpoint(index).path for index in planned]
    for path in [*places["mine"], *places["others"]]:
        path.write_bytes(b"how far")
    forget(SOME, tmp_path)
    assert not any(path.exists() for path in places["mine"])
    assert all(path.exists() for path in places["others"])


def request_of(specs):
    """Return what `train` asks a folder for."""
    found = []

    class Caught(store.Run):
        def __init__(self, folder, request):
            found.append(request)
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("ensemble.training.running.Run", Caught)
        train(specs, DATA, store="unused")
    return found[0]


def test_a_folder_without_a_run_is_left_alone_and_a_damaged_table_is_removed(tmp_path):
    forget(SPECS, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "thesis.tex").write_text("years of work")
    forget(SPECS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    folder = tmp_path / "run"
    train(SOME, DATA, store=folder)
    (folder / "manifest.json").write_text("{")
    forget(SPECS, folder)
    assert chunk_files(folder) == []
    assert trained(SOME, folder) == 6
