import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SMALL, leave_undrawn

import ensemble
from ensemble import cli
from ensemble.cli import signals
from ensemble.cli.signals import guard
from ensemble.studies import STUDIES, FitStudy, Setup, Study
from ensemble.training import running

pytestmark = pytest.mark.jit_heavy  # what is tested here lies above the kernels

CO2 = ROOT / "tests" / "data" / "mauna_loa_co2.csv"
TINY = ["--widths", "2", "4", "--seeds", "2", "--lrs", "0.05", "0.1", "--epochs", "10"]
TINY_FIT = ["--widths", "4", "--seeds", "2", "--lrs", "0.1", "--epochs", "10"]


def run(arguments, study="width_study"):
    """Run a script's body in this process."""
    return cli.main(study, [str(one) for one in arguments])


def script(name, *arguments, folder):
    """Run a script as a user does, from some other folder."""
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def left_by(name, stdout, plot, folder):
    """Require that a script has left its files in `results`, and has said so."""
    assert f"results/{name}" in stdout
    assert plot in stdout
    out = folder / "results" / name
    assert {plot, "models.csv", "summary.csv", "study.json"} <= {path.name for path in out.iterdir()}
    return out


def test_the_width_study_runs_from_any_folder_and_saving_twice_gives_the_same_bytes(saved, tmp_path):
    """Another process writes the bytes that this one wrote."""
    settings = {"target": "data", "widths": "widths", "seeds": "seeds", "lrs": "lrs", "epochs": "epochs"}
    arguments = [word for name, key in settings.items() for word in (f"--{name}", *np.atleast_1d(SMALL[key]))]
    done = script("width_study", *arguments, "--format", "png,svg", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    out = left_by("width_study", done.stdout, "width_curves.png", tmp_path)
    assert {path.name for path in out.iterdir()} == {"run", *(path.name for path in saved[1])}
    for path in saved[1]:
        if path.name not in ("study.json", "report.html"):  # these have the time of writing
            assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_bias_ablation_runs_from_any_folder(in_process, unrendered, tmp_path):
    status, stdout, stderr = in_process("bias_ablation", *TINY, "--target", "quadratic", folder=tmp_path)
    assert (status, stderr) == (0, "")
    left_by("bias_ablation", stdout, "error_by_arm.png", tmp_path)


def test_the_tutorial_says_what_it_is_and_does_not_run_on_help(tmp_path):
    done = script("tutorial", "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "A tour of the library" in done.stdout and "# %% begins a cell" in done.stdout.replace("`", "")
    assert "median test MSE" not in done.stdout


def test_the_tutorial_runs(in_process, tmp_path):
    status, stdout, _ = in_process("tutorial", folder=tmp_path)
    assert status == 0
    assert "a network of width 16 that exists" in stdout
    assert "of 384 models still improve" in stdout and "the last of 384, after 2560 epochs" in stdout
    assert list(tmp_path.iterdir()) == []


def test_each_script_is_short():
    for name in set(STUDIES) - {"claims"}:
        assert len((ROOT / "scripts" / f"{name}.py").read_text().splitlines()) < 10


def test_own_data_and_json_as_a_script(in_process, unrendered, tmp_path):
    status, stdout, _ = in_process(
        "width_study", "--data", CO2, "--x", "decimal_year", "--y", "co2_ppm", *TINY, "--json", "--out", "out",
        "--format", "svg", "--optimizers", "gd", folder=tmp_path,
    )  # fmt: skip
    assert status == 0
    outcome = json.loads(stdout)
    assert outcome["study"] == "width_study"
    assert outcome["models"] == 2 * 2 * 2
    assert outcome["data"]["mauna_loa_co2"]["output"] == "co2_ppm"
    assert all((tmp_path / path).exists() for path in outcome["files"])
    assert "summary.svg" in {Path(path).name for path in outcome["files"]}
    with open(tmp_path / "out" / "summary.csv", newline="") as file:
        written = [float(row["median"]) if row["median"] else None for row in csv.DictReader(file)]
    assert [row["median"] for row in outcome["summary"]] == written


def test_hidden_layers_are_one_number_where_a_study_takes_one(tmp_path, capsys, undrawn):
    settings = ["--widths", "4", "--lrs", "0.1", "--seeds", "2", "--epochs", "2", "--out", str(tmp_path / "out")]
    assert run([*settings, "--hidden-layers", "2"], "fit_target") == 0
    with open(tmp_path / "out" / "models.csv", newline="") as file:
        assert {row["hidden_layers"] for row in csv.DictReader(file)} == {"2"}
    capsys.readouterr()
    assert run([*settings, "--hidden-layers", "1", "2"], "bias_ablation") == 2
    assert "--hidden-layers is [1, 2]; bias_ablation takes one number" in capsys.readouterr().err
    assert run(["--claims", "--hidden-layers", "2"], "fit_target") == 2
    assert "--hidden-layers does not go with --claims" in capsys.readouterr().err


def test_a_kept_state_lets_adam_go_on(tmp_path, capsys, undrawn, monkeypatch):
    begun = []
    run_chunk = running.run_chunk
    monkeypatch.setattr(
        running,
        "run_chunk",
        lambda *arguments: begun.append(getattr(arguments[4], "epoch", 0)) or run_chunk(*arguments),
    )
    settings = ["--target", "quadratic", "--widths", "4", "--lrs", "0.1", "--seeds", "2", "--optimizers", "adam"]
    settings += ["--out", str(tmp_path)]
    for epochs, more, goes_on in (
        ("2", [], False),
        ("4", ["--keep-state"], False),  # those of 2 epochs have no state
        ("8", [], True),
        ("8", ["--fresh"], False),
    ):
        begun.clear()
        assert run([*settings, "--epochs", epochs, *more]) == 0
        assert (max(begun) > 0) == goes_on  # networks of the figures are trained from 0 besides


def test_batches_are_said_and_are_other_models_in_the_same_folder(tmp_path, capsys, undrawn):
    settings = ["--widths", "4", "--lrs", "0.1", "--seeds", "2", "--epochs", "2", "--out", str(tmp_path / "out")]
    assert run(settings, "fit_target") == 0
    assert run([*settings, "--batch-size", "100"], "fit_target") == 0
    said = capsys.readouterr().out
    assert "batches of 100: an epoch is 5 steps" in said and said.count("2 models trained") == 2
    study = json.loads((tmp_path / "out" / "study.json").read_text())
    assert study["settings"]["batch_size"] == 100 and study["notes"] == ["batches of 100: an epoch is 5 steps"]
    with open(tmp_path / "out" / "models.csv", newline="") as file:
        assert {row["batch_size"] for row in csv.DictReader(file)} == {"100"}
    assert run([*settings, "--batch-size", "100"], "fit_target") == 0
    assert "2 models loaded" in capsys.readouterr().out
    assert run(["--claims", "--batch-size", "2"], "fit_target") == 2
    assert "--batch-size does not go with --claims" in capsys.readouterr().err
    assert run([*settings, "--batch-size", "-1"], "fit_target") == 2
    assert "batch_size must be a whole number, 0 or more, not -1" in capsys.readouterr().err


def test_bad_input_ends_a_script_in_one_line(in_process, tmp_path):
    status, stdout, stderr = in_process("width_study", "--target", "sine", folder=tmp_path)
    assert status == 2
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert stderr.startswith("width_study: error: unknown target 'sine'")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--widths", "0"], "width 0 is not allowed"),
        (["--widths", "4", "4"], "widths names 4 twice"),
        (["--widths", "x"], "argument --widths: invalid int value: 'x'"),
        (["--widths"], "argument --widths: expected at least one argument"),
        (["--seeds", "0"], "seeds is 0"),
        (["--lrs", "-1"], "lr -1.0 is not allowed"),
        (["--lrs", "nan"], "lr nan is not allowed"),
        (["--optimizers", "sgd"], "optimizer 'sgd' is unknown; allowed are gd, momentum, adam"),
        (["--epochs", "-5"], "epochs must be a whole number, from 0"),
        (["--noise", "-1"], "noise"),
        (["--threads", "0"], "threads must be a whole number, 1 or more, not 0"),
        (["--format", "gif"], "format 'gif' is unknown; allowed are png, svg, pdf"),
        (["--unknown"], "unrecognized arguments: --unknown"),
        (["--data", "missing.csv", "--x", "a", "--y", "b"], "missing.csv"),
        (["--data", CO2, "--x", "decimal_year"], "--data needs --y COLUMN"),
        (["--data", CO2, "--y", "co2_ppm"], "--data needs --x COLUMN"),
        (["--data", CO2, "--x", "year", "--y", "co2_ppm"], "no column 'year'"),
        (["--data", CO2, "--x", "a", "--y", "b", "--target", "chirp"], "--target and --data exclude each other"),
        (["--data", CO2, "--x", "a", "--y", "b", "--noise", "0.1"], "--noise and --data exclude each other"),
        (["--x", "a"], "--x names a column, but there is no --data FILE.csv"),
        (["--y", "a"], "--y names a column, but there is no --data FILE.csv"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert stderr.startswith("width_study: error: ")
    assert message in stderr


def test_a_malformed_csv_is_named_by_line_and_column(tmp_path, capsys):
    path = tmp_path / "points.csv"
    path.write_text("x,y\n1,2\n3,four\n")
    assert run(["--data", path, "--x", "x", "--y", "y"]) == 2
    stderr = capsys.readouterr().err
    assert "line 3" in stderr
    assert "'y'" in stderr
    assert stderr.count("\n") == 1


def test_an_output_folder_that_cannot_be_written_stops_before_training(tmp_path, monkeypatch, capsys):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("precious")
    monkeypatch.setattr(ensemble.training, "train", lambda *_, **__: pytest.fail("trained"))
    assert run([*TINY, "--out", in_the_way]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("width_study: error: output folder ")
    assert stderr.count("\n") == 1
    assert in_the_way.read_text() == "precious"


def test_a_failure_to_write_is_status_1(tmp_path, monkeypatch, capsys):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    assert run([*TINY_FIT, "--out", tmp_path], study="fit_target") == 1
    stdout, stderr = capsys.readouterr()
    assert "No space left" in stderr
    assert stderr.count("\n") == 1
    assert stdout == ""
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]  # and nothing half-written


def test_an_interrupt_while_training_is_status_130(tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ensemble.training, "train", interrupt)
    assert run([*TINY, "--out", tmp_path]) == 130
    assert capsys.readouterr().err.startswith("width_study: interrupted while training; finished models are kept")


def test_an_interrupt_while_writing_is_status_130(tmp_path, monkeypatch, capsys, undrawn):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ensemble.studies.files, "write", interrupt)
    assert run([*TINY_FIT, "--out", tmp_path], study="fit_target") == 130
    expected = f"fit_target: interrupted while writing; the files in {tmp_path} are whole"
    assert capsys.readouterr().err.startswith(expected)


def test_an_error_while_drawing_is_not_taken_for_bad_usage(tmp_path, monkeypatch):
    def fault(*_):
        raise ValueError("of ours")

    monkeypatch.setattr(ensemble.studies.files, "write", fault)
    with pytest.raises(ValueError, match="of ours"):  # Python ends with status 1 and a traceback
        run([*TINY_FIT, "--out", tmp_path], study="fit_target")


def test_dry_run_prints_the_plan_and_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ensemble.training, "train", lambda *_, **__: pytest.fail("trained"))
    out = tmp_path / "out"
    assert run(["--dry-run", *TINY, "--out", out]) == 0
    assert "64 models" in capsys.readouterr().out
    one = ["--target", "reciprocal_sine"]
    assert run(["--dry-run", "--json", *one, *TINY, "--out", out], study="bias_ablation") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["study"] == "bias_ablation"
    assert plan["plan"]["models"] == 4 * 8
    assert plan["plan"]["core_seconds"] > 0
    assert plan["plan"]["memory_bytes"] > 0
    assert not out.exists()


def test_version_and_help(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"width_study, relu-ensemble {ensemble.__version__}\n"
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--target", "--data", "--widths", "--lrs", "--json", "--dry-run", "reciprocal_sine"):
        assert option in text


def test_quiet_prints_nothing(tmp_path, capsys):
    assert run([*TINY_FIT, "--quiet", "--out", tmp_path], study="fit_target") == 0
    assert capsys.readouterr() == ("", "")


def test_show_opens_the_plots_after_saving_them(tmp_path, monkeypatch, capsys, unrendered):
    shown = []
    monkeypatch.setattr(FitStudy, "show", lambda study: shown.append((study.name, (tmp_path / "fits.png").exists())))
    assert run([*TINY_FIT, "--show", "--out", tmp_path], study="fit_target") == 0
    assert shown == [("fit_target", True)]


def test_the_fit_takes_one_width(capsys):
    assert run(["--widths", "4", "8"], study="fit_target") == 2
    assert "unrecognized arguments: 8" in capsys.readouterr().err


def test_arguments_reach_the_study(tmp_path, capsys, undrawn):
    arguments = ["--target", "quadratic", "chirp", "--optimizers", "momentum", "--noise", "0.5", *TINY, "--json"]
    assert run([*arguments, "--out", tmp_path]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["settings"] == {
        "widths": [2, 4], "hidden_layers": [1], "seeds": [0, 1], "lrs": {"momentum": [0.05, 0.1]},
        "optimizers": ["momentum"], "epochs": 10, "noise": 0.5, "batch_size": 0,
    }  # fmt: skip
    assert set(outcome["data"]) == {"quadratic", "chirp"}
    assert outcome["data"]["chirp"]["noise_variance"] == pytest.approx(0.5**2 / 12)


def test_notes_on_own_data_are_printed(tmp_path, capsys, undrawn):
    own = ["--data", CO2, "--x", "decimal_year", "--y", "co2_ppm"]
    assert run([*own, *TINY_FIT, "--out", tmp_path], study="fit_target") == 0
    assert "rows with empty cells dropped" in capsys.readouterr().out


# Runs that go on, and commands of the package


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """The folder that TINY on the quadratic leaves, and what it said."""
    out, said = tmp_path_factory.mktemp("trained") / "out", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        leave_undrawn(patch)
        assert run([*TINY, "--target", "quadratic", "--out", out]) == 0
    return out, said.getvalue()


@pytest.fixture
def begun(trained_once, undrawn, tmp_path):
    """A copy of that folder, to be changed, and the command that has left it."""
    out = shutil.copytree(trained_once[0], tmp_path / "begun")
    return out, [*TINY, "--target", "quadratic", "--out", out]


def test_the_same_command_again_only_draws(trained_once, begun, monkeypatch, capsys):
    out, command = begun
    assert "16 models trained in" in trained_once[1]
    first, said = (out / "summary.csv").read_bytes(), json.loads((out / "study.json").read_text())
    monkeypatch.setattr(ensemble.store.chunks, "write", lambda *_: pytest.fail("trained again"))
    assert run(command) == 0
    assert (out / "summary.csv").read_bytes() == first
    assert f"16 models loaded from {out / 'run'}, none trained" in capsys.readouterr().out
    again = json.loads((out / "study.json").read_text())
    assert {**again, "created": ""} == {**said, "created": ""}  # also how long the training took


def test_files_that_would_come_out_the_same_are_not_drawn_again(begun, monkeypatch, capsys):
    tmp_path, command = begun
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with monkeypatch.context() as still:
        still.setattr(Study, "save", lambda *_: pytest.fail("written again"))
        assert run(command) == 0
    assert f"plots and tables are in {tmp_path} as they were, nothing has changed" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "change", ["deleted", "edited", "no record", "damaged record", "format", "code", "library", "result", "fresh"]
)
def test_what_was_touched_or_would_differ_is_written_again(change, begun, monkeypatch):
    (tmp_path, command), more = begun, []
    expected = {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.name != "study.json"}
    if change == "deleted":
        (tmp_path / "summary.png").unlink()
    elif change == "edited":
        (tmp_path / "summary.csv").write_text("mine")
    elif change == "no record":
        (tmp_path / "study.json").unlink()
    elif change == "damaged record":
        (tmp_path / "study.json").write_text('{"origin": 1, "files": [')
    elif change == "format":
        more = ["--format", "svg"]
    elif change == "code":
        monkeypatch.setattr("ensemble.studies.study.source_digest", lambda: "edited")
    elif change == "library":
        monkeypatch.setattr("ensemble.studies.study.versions", lambda *_: {"matplotlib": "another"})
    elif change == "result":
        load = Setup.run
        monkeypatch.setattr(Setup, "run", lambda *a, **k: other_losses(load(*a, **k)))
    else:
        more = ["--fresh"]
    saved, save = [], Study.save
    monkeypatch.setattr(Study, "save", lambda *a: saved.append(a) or save(*a))
    assert run([*command, *more]) == 0
    assert len(saved) == 1
    if change in ("deleted", "edited", "no record", "damaged record", "code", "library", "fresh"):
        assert {name: (tmp_path / name).read_bytes() for name in expected} == expected


def other_losses(study):
    losses = {part: values + 1 for part, values in study.result.losses.items()}
    return replace(study, result=replace(study.result, losses=losses))


@pytest.mark.parametrize(
    ("change", "loaded", "trained"),
    [
        (["--noise", "0.5"], 0, 16),
        (["--epochs", "12"], 0, 16),
        (["--widths", "2", "3"], 8, 8),
        (["--seeds", "3"], 16, 8),
    ],
)
def test_the_same_command_with_another_setting_trains_what_is_new_and_loses_nothing(
    change, loaded, trained, begun, monkeypatch, capsys
):
    tmp_path, command = begun
    first = (tmp_path / "summary.csv").read_bytes()
    assert run([*command, *change]) == 0
    out = capsys.readouterr().out
    assert f"{trained} models trained in" in out
    assert (f"{loaded} models loaded from" in out) == (loaded > 0)
    monkeypatch.setattr(ensemble.store.chunks, "write", lambda *_: pytest.fail("trained again"))
    assert run(command) == 0
    assert (tmp_path / "summary.csv").read_bytes() == first


def test_fresh_trains_its_own_models_again_and_more_or_fewer_seeds_are_taken_from_the_run(begun, capsys):
    out = begun[0]
    one = ["--target", "quadratic", "--out", out]
    more = [value if value != "2" or TINY[i - 1] != "--seeds" else "3" for i, value in enumerate(TINY)]
    assert run([*more, *one]) == 0
    assert ensemble.load_result(out / "run").specs.seed.max() == 2
    assert list((out / "run").glob("bounds-*.npz"))  # what is possible on the data is not asked for again
    kept = len(list((out / "run" / "chunks").iterdir()))
    assert run([*TINY, *one]) == 0  # fewer seeds: all are there, and none is lost
    assert ensemble.load_result(out / "run").specs.seed.max() == 1
    assert len(list((out / "run" / "chunks").iterdir())) == kept
    assert run([*TINY, *one, "--fresh"]) == 0
    assert ensemble.load_result(out / "run").specs.seed.max() == 1
    capsys.readouterr()
    assert run([*more, *one, "--json"]) == 0  # the third seeds are still there
    assert json.loads(capsys.readouterr().out)["trained"] == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_keep_what_is_finished_and_say_in_one_line_how_to_go_on(tmp_path, number, status):
    command = [
        sys.executable, str(ROOT / "scripts" / "width_study.py"), "--target", "quadratic", "--widths", "64", "128",
        "--seeds", "200", "--epochs", "2000", "--optimizers", "gd",
    ]  # fmt: skip
    out = tmp_path / "results" / "width_study"
    going = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not list(out.glob("run/chunks/*.npz")):
            assert time.monotonic() < end
            assert going.poll() is None, going.stderr.read()
            time.sleep(0.02)
        going.send_signal(number)
        stdout, stderr = going.communicate(timeout=30)
    finally:
        going.kill()
        going.wait()
    assert going.returncode == status
    assert (stdout, stderr) == (
        "", "width_study: interrupted while training; finished models are kept in results/width_study/run: "
        "run the same command again to go on\n",
    )  # fmt: skip
    assert [path.name for path in out.iterdir()] == ["run"]
    found = ensemble.store.verify(out / "run")
    assert 0 < found.done < found.models
    assert found.problems == ()


def test_the_package_runs_as_a_module(tmp_path, capsys, undrawn):
    main = cli.module
    assert main(["width-study", *TINY, "--target", "quadratic", "--out", str(tmp_path), "--quiet"]) == 0
    for folder in (tmp_path / "run", tmp_path):  # the study's folder leads to the run in it
        assert main(["verify", str(folder)]) == 0
        assert f"{tmp_path / 'run'}: " in (out := capsys.readouterr().out)
        assert "0 damaged, 16 of 16 models (finished)" in out
    chunk = next(tmp_path.glob("run/chunks/*.npz"))
    chunk.write_bytes(chunk.read_bytes()[:-30])
    assert main(["verify", str(tmp_path / "run")]) == 1
    assert str(chunk) in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nothing")]) == 2
    assert main(["sweep"]) == 2
    assert main(["--help"]) == 0
    assert "bias-ablation" in capsys.readouterr().out


# Signals, from the first import on


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_python_swallows_comes_again(number, status, capsys, monkeypatch):
    """An exception in a callback of C code is printed and lost, and with it Ctrl-C."""
    monkeypatch.setattr(signals, "AGAIN", 0.1)

    class Thing:
        pass

    def body(stage):
        thing = Thing()
        watch = weakref.ref(thing, lambda _: signal.raise_signal(number))
        del thing  # the exception in this callback is ignored
        assert watch() is None
        stage.words = "stopped"
        end = time.monotonic() + 20
        while time.monotonic() < end:
            time.sleep(0.01)
        return 0

    before = signal.getsignal(number)
    assert guard("test", body) == status
    assert capsys.readouterr().err == "test: stopped\n"
    assert signal.getsignal(number) is before


def test_an_error_that_a_library_makes_of_a_signal_counts_as_the_signal(capsys):
    def body(stage):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    assert guard("test", body) == 143
    assert capsys.readouterr().err == "test: interrupted\n"
    with pytest.raises(ImportError):  # without a signal it is what it says
        guard("test", lambda stage: exec("raise ImportError('missing')"))


def test_the_handler_is_there_before_anything_heavy_is_imported():
    code = "import sys, ensemble.cli; print(sorted({'numpy', 'numba', 'scipy', 'argparse'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def caught_by(process):
    """The signals that a process has handlers for, as Linux shows them."""
    (line,) = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in line]
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 64) if mask >> (number - 1) & 1}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the start of the handler is read from /proc")
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 6))])
def test_a_signal_at_any_instant_is_one_line_and_its_status(seed, tmp_path):
    """From the moment that the handler is there, through the imports, training and drawing, to the end."""
    random = np.random.default_rng(seed)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        command = [sys.executable, "-m", "ensemble", "fit-target", *TINY_FIT, "--out", str(tmp_path), "--quiet"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while signal.SIGTERM not in caught_by(process):
            time.sleep(0.001)
        time.sleep(random.uniform(0, 3.0) * random.uniform())
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stdout) in ((status, ""), (0, "")), stderr
        assert stderr.count("\n") == (process.returncode == status), stderr
        assert process.returncode == 0 or stderr.startswith(("fit_target: interrupted", "python -m ensemble: interr"))


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_fit_runs_from_any_folder_as_a_job_that_inherited_an_ignored_ctrl_c_and_goes_on_ignoring_it(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "fit_target.py"), *TINY_FIT, "--epochs", "20000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    while not list(tmp_path.glob("results/fit_target/run")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, "")
    left_by("fit_target", stdout, "fits.png", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "100000000000"], "seeds is 100000000000; at most 10,000,000"),
        (["--out", ""], "output folder '' is not allowed"),
        (["--out", "a\0b"], "--out 'a\\x00b' holds a null byte"),
        (["--data", "a\0b", "--x", "x", "--y", "y"], "--data 'a\\x00b' holds a null byte"),
        (["--scheduler", "nonsense"], "--scheduler 'nonsense' is no address such as tcp://HOST:8786"),
        (["--store", ""], "the path of a folder is needed"),
    ],
)
def test_odd_arguments_end_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["--widths", "2", "--epochs", "2", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_refused_store_leaves_nothing_behind(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    data = ensemble.sample("quadratic", n=40)
    with pytest.raises(ValueError, match="holds 'notes.txt' and no run"):
        ensemble.train(ensemble.grid(width=2), data, epochs=1, store=tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    for store, executor, message in (("", None, "store is ''"), (5, None, "store is 5"), (None, 5, "executor is 5")):
        with pytest.raises(ValueError, match=message):
            ensemble.train(ensemble.grid(width=2), data, epochs=1, store=store, executor=executor, progress=False)
