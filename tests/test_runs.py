"""`python -m ensemble runs`, and the map of all commands."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace

import pytest
from stored import chunk_files, make_data, make_specs, train

from ensemble import cli, store
from ensemble.cli.runs import _row
from ensemble.studies import STUDIES

SPECS = make_specs()  # 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of a study, one that was asked for more than it has, and one that is damaged."""
    folder = tmp_path_factory.mktemp("results")
    train(SPECS, store=folder / "w" / "run")
    (folder / "w" / "study.json").write_text('{"study": "width_study"}')
    train(SPECS[:6], make_data(seed=1), store=folder / "deep" / "er")
    train(SPECS, store=folder / "deep" / "er")
    chunk_files(folder / "deep" / "er")[0].unlink()
    train(SPECS[:2], epochs=3, snapshots=None, store=folder / "odd")
    chunk_files(folder / "odd")[0].write_bytes(b"nothing")
    return folder


def runs(capsys, *arguments):
    status = cli.module(["runs", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_each_run_folder_is_a_line(folder, capsys):
    status, said, _ = runs(capsys, folder)
    head, er, odd, w, problem = said.splitlines()
    assert status == 0 and head.split() == [
        "folder", "study", "models", "epochs", "loss", "data", "complete", "kept", "size", "changed"
    ]  # fmt: skip
    assert er.split()[:7] == [str(folder / "deep" / "er"), "-", "24", "12", "mse", "data", "no,"]
    assert odd.split()[:7] == [str(folder / "odd"), "-", "2", "3", "mse", "data", "damaged"]
    assert w.split()[:8] == [str(folder / "w" / "run"), "width_study", "24", "12", "mse", "data", "yes", "24"]
    assert problem.startswith("damaged: ") and str(chunk_files(folder / "odd")[0]) in problem


def test_programs_get_the_same_as_json(folder, capsys):
    status, said, _ = runs(capsys, folder, "--json")
    er, odd, w = json.loads(said)
    assert status == 0
    left = store.verify(folder / "deep" / "er")
    assert (er["models"], er["done"], er["complete"]) == (24, left.done, False) and left.done < 24
    assert er["kept"] >= left.done
    assert odd["done"] < 2 and not odd["complete"] and odd["problem"]
    size = sum(path.stat().st_size for path in (folder / "w" / "run").rglob("*.*"))
    assert (w["study"], w["bytes"], w["complete"], w["data"]) == ("width_study", size, True, ["data"])


def test_a_study_json_of_others_says_nothing(tmp_path, capsys):
    train(SPECS[:2], store=tmp_path / "run")
    for content in ("[", "[]", '{"study": "mine"}', '{"study": {}}'):
        (tmp_path / "study.json").write_text(content)
        assert json.loads(runs(capsys, tmp_path, "--json")[1])[0]["study"] == ""


def test_a_damaged_table_is_a_line(tmp_path, capsys):
    train(SPECS[:2], store=tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("{")
    status, said, _ = runs(capsys, tmp_path)
    assert status == 0 and "damaged" in said.splitlines()[1] and "manifest.json" in said.splitlines()[2]


def test_many_data_are_counted(tmp_path):
    train(SPECS[:2], store=tmp_path / "run")
    kept = replace(*store.listed(tmp_path), data=tuple("abcdef"))
    assert _row(kept, "")["data"] == "a, b, c, d, and 2 more"


def test_where_there_is_none_it_says_so(tmp_path, capsys):
    assert runs(capsys, tmp_path)[:2] == (0, f"{tmp_path}: no run folders; the studies make one in results/STUDY/run\n")
    status, _, error = runs(capsys, tmp_path / "none")
    assert status == 2 and "is no folder" in error and error.count("\n") == 1


def test_help_is_a_map_with_an_example_for_every_command(capsys):
    assert cli.module(["--help"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    commands = [*(name.replace("_", "-") for name in STUDIES), "play", "runs", "verify", "merge"]
    assert [line[0] for line in lines if line and line[0] in commands] == commands


@pytest.mark.parametrize(
    "typed, offered",
    [
        ("wi", "width-study"), ("width-study --target ch", "chirp"), ("bias-ablation --optimizers ad", "adam"),
        ("play --no", "--no-open"), ("trainability --pi", "--pixels"),
        ("merge --in", "--into"), ("completion z", "zsh"),
    ],
)  # fmt: skip
def test_a_shell_completes_commands_arguments_and_values(typed, offered, completions):
    words = ["relu-ensemble", *typed.split()]
    asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_relu_ensemble"
    script = f'source {completions}; {asked}; echo "${{COMPREPLY[*]}}"'
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [offered]


@pytest.fixture(scope="module")
def completions(tmp_path_factory):
    """What bash reads, in a file."""
    pytest.importorskip("shtab", reason="the extra 'completion' is not installed")
    path, kept = tmp_path_factory.mktemp("shell") / "completions", io.StringIO()
    with redirect_stdout(kept):
        assert cli.module(["completion", "bash"]) == 0
    path.write_text(kept.getvalue())
    return path


def test_completions_need_their_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, _, error = (cli.module(["completion", "fish"]), *capsys.readouterr())
    assert status == 2 and "pip install 'relu-ensemble[completion]'" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_a_command_ends_quietly_where_its_reader_has(buffered, tmp_path):
    (tmp_path / "run").mkdir()
    flags = [] if buffered else ["-u"]
    process = subprocess.Popen(
        [sys.executable, *flags, "-m", "ensemble", "runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 141)
    process.stderr.close()
