"""Build the documentation: the API reference from the docstrings, and the tutorial, executed, as the guide.

pdoc makes the reference: it reads docstrings in numpy form and follows `__all__`, so that there are no pages to keep up
to date beside the code, as Sphinx would ask for. jupytext and nbconvert run the tutorial and show what it printed.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

SCRIPTS = Path(__file__).parent
ROOMS = ["analysis", "data", "distributed", "limits", "networks", "plots", "rules", "sklearn", "specs", "statistics"]
ROOMS += ["store", "studies", "training"]
QUIET = "[data-mime-type='application/vnd.jupyter.stderr'] { display: none; }"  # bars of training
INDEX = """<!doctype html><html lang="en"><meta charset="utf-8"><title>relu-ensemble</title>
<meta name="viewport" content="width=device-width">
<style>body{font:18px/1.5 system-ui;max-width:40em;margin:3em auto;padding:0 1em}</style>
<h1>relu-ensemble</h1>
<p>Train thousands of small ReLU networks in one pass, and see how their settings change the error.</p>
<ul><li><a href="guide.html">The guide</a>: a tour of the library in a minute, with what it prints</li>
<li><a href="ensemble.html">The reference</a>: every public name, from its docstring</li></ul></html>
"""


def main() -> int:
    """Build into the folder that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("results/docs"), help="default: results/docs")
    out = parser.parse_args().out
    try:
        import jupytext
        import nbconvert  # noqa: F401
        import pdoc
    except ImportError as error:
        print(f"docs: {error.name} is missing: pip install -e '.[docs]'", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", module="pdoc")  # types that only type checkers import stay text
    pdoc.render.configure(docformat="numpy", footer_text="relu-ensemble")
    pdoc.pdoc("ensemble", *(f"ensemble.{room}" for room in ROOMS), output_directory=out)
    # A notebook runs in its own folder and imports from there first: beside the reference's folder `ensemble` it would
    # take that for the package.
    with tempfile.TemporaryDirectory() as alone:
        notebook = Path(alone) / "guide.ipynb"
        jupytext.write(jupytext.read(SCRIPTS / "tutorial.py"), notebook)
        command = ["-m", "jupyter", "nbconvert", "--execute", "--to", "html", "--log-level", "ERROR"]
        command += ["--TagRemovePreprocessor.remove_cell_tags=remove-cell", "--output-dir", str(out.resolve())]
        subprocess.run([sys.executable, *command, str(notebook)], check=True)
    guide = out / "guide.html"
    guide.write_text(guide.read_text().replace("</head>", f"<style>{QUIET}</style></head>", 1))
    (out / "index.html").write_text(INDEX)
    print(f"{out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
