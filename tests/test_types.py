"""What type checkers are told: the README's lines pass, and wrong names do not."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.jit_heavy  # nothing here calls a kernel
ROOT = Path(__file__).parents[1]
README = re.search(r"## The library in ten lines\s+```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
RIGHT = f"""{README}
specs[0].optimizer, specs[0].width + 1, specs[[0, 2]].lr, specs[specs.lr > 0.05].seed, specs[:3] + specs
specs[specs.width == 16]
specs[0]._asdict(), ensemble.Specs.from_rows([dict(width=3), specs[1]]), [row.width for row in specs]
ensemble.Specs(width=[1, 2], optimizer="adam")
ensemble.grid(width=np.arange(1, 4), optimizer=["gd", "adam"], lr=np.float64(0.1), seed=np.int64(3), hidden_bias=False)
result[specs.width == 16].train_loss[:, -1], result.parts, result.trained, len(result[:4].networks)
ensemble.train(specs, {{"a": data}}, epochs=1, engine="spline", loss="mse")
ensemble.plan(specs, data, epochs=1, engine="auto").memory
ensemble.Dataset([1, 2], [[3.0], [4.0]]).y_train.mean()
"""
WRONG = [
    "ensemble.grid(widht=4)",
    "ensemble.grid(seed=range(4))",
    'ensemble.grid(width=4, optimizer="sdg")',
    'ensemble.grid(width=4, optimizer=["gd", "sdg"])',
    'ensemble.grid(width=4, schedule="linear")',
    'ensemble.grid(width="4")',
    "ensemble.Specs(width=[4], learning_rate=0.1)",
    'ensemble.train(specs, data, epochs=1, engine="splin")',
    'ensemble.train(specs, data, epochs=1, loss="mae")',
    'ensemble.plan(specs, data, epochs=1, engine="splin")',
    "specs.widht",
    "specs[0].widht",
    "result.test_mse",
    "data.x_train = data.x_test",
]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Write the right lines and below them the wrong ones; return the file and the wrong ones' line numbers."""
    path = tmp_path_factory.mktemp("types") / "program.py"
    path.write_text(RIGHT + "\n".join(WRONG) + "\n")
    first = RIGHT.count("\n") + 1
    return path, range(first, first + len(WRONG))


def test_mypy_passes_the_readme_and_refuses_wrong_names(program):
    pytest.importorskip("mypy", reason="mypy is not installed")
    path, wrong = program
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(path)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    found = {int(line) for line in re.findall(r"program\.py:(\d+): error", done.stdout)}
    assert found == set(wrong), done.stdout + done.stderr


def test_pyright_passes_the_readme_and_refuses_wrong_names(program):
    if shutil.which("pyright", path=Path(sys.executable).parent) is None:
        pytest.skip("pyright is not installed")
    path, wrong = program
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)], "reportUnusedExpression": False}
    (path.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pyright")), "--pythonpath", sys.executable, "--outputjson", "-p", "."],
        capture_output=True, text=True, cwd=path.parent,
    )  # fmt: skip
    if not done.stdout.startswith("{"):
        pytest.skip("pyright cannot run here: it loads a part of itself from the network")
    said = json.loads(done.stdout)["generalDiagnostics"]
    found = {one["range"]["start"]["line"] + 1 for one in said if one["severity"] == "error"}
    assert found == set(wrong), [one["message"] for one in said]
