"""The house: who may import whom, read from the source, so that it cannot drift."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ensemble"

# The one place where the order is written: a room may use those that are named, and no others.
MAY_USE = {
    "system": (),
    "rules": ("system",),
    "kernels": (),
    "data": ("system",),
    "specs": ("system", "rules"),
    "networks": ("system", "rules", "kernels", "data", "specs"),
    "engines": ("system", "rules", "kernels", "data", "specs", "networks"),
    "results": ("system", "rules", "data", "specs", "networks", "engines"),
    "store": ("system", "rules", "kernels", "data", "specs", "networks", "engines", "results"),
    "training": ("system", "rules", "data", "specs", "networks", "engines", "results", "store"),
    "statistics": ("system",),
    "limits": ("system", "kernels", "data", "networks"),
    "analysis": ("system", "data", "specs", "networks", "results", "training", "statistics", "limits"),
    "plots": ("system", "data", "specs", "networks", "results", "statistics", "analysis"),
    "studies": (
        "system", "data", "specs", "networks", "results", "store", "training", "statistics", "limits", "analysis",
        "plots",
    ),
    "sklearn": ("system", "data", "specs", "networks", "results", "training"),
    "distributed": ("system", "kernels", "data"),
    "play": (
        "system", "rules", "data", "specs", "networks", "results", "training", "statistics", "limits", "analysis",
        "plots",
    ),
    "cli": ("system", "data", "specs", "results", "store", "training", "studies", "distributed", "play"),
    "__main__": ("system", "store", "cli"),
    "__init__": ("data", "networks", "results", "rules", "specs", "store", "training"),
}  # fmt: skip
MOST_LINES = 350

FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}


def room(module):
    return module.split(".")[0]


def imports(path):
    """Yield the names that a file imports anywhere in it, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for name in node.names:
                yield f"{node.module}.{name.name}"


def own(imported):
    """Return the module of this package that an import reads, or None."""
    parts = imported.split(".")
    if parts[0] != "ensemble":
        return None
    for end in range(len(parts), 1, -1):
        name = ".".join(parts[1:end])
        for module in (name, f"{name}.__init__"):
            if module in FILES:
                return module
    return "__init__"


IMPORTS = {module: set(imports(path)) for module, path in FILES.items()}
ARROWS = {module: {own(name) for name in names} - {None} for module, names in IMPORTS.items()}


@pytest.mark.parametrize("module", FILES)
def test_a_room_uses_only_those_before_it(module):
    allowed = {*MAY_USE[room(module)], room(module)}
    assert {room(used) for used in ARROWS[module]} <= allowed


def test_the_rooms_are_in_an_order():
    order = list(MAY_USE)
    for name, used in MAY_USE.items():
        assert name == "__init__" or all(order.index(other) < order.index(name) for other in used)
    assert {room(module) for module in FILES} == set(MAY_USE)


def test_no_import_goes_round_in_a_circle():
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(f"imports go round: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("module", FILES)
def test_a_file_is_short_enough_to_read(module):
    assert len(FILES[module].read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", FILES)
def test_a_file_says_what_it_holds(module):
    assert ast.get_docstring(ast.parse(FILES[module].read_text()))


def users_of(library):
    return {module for module, names in IMPORTS.items() if library in {name.split(".")[0] for name in names}}


def test_matplotlib_is_imported_where_things_are_drawn_only():
    figures = {module for module in FILES if room(module) == "plots" or module.endswith(".figures")}
    assert users_of("matplotlib") <= figures


def test_tqdm_is_imported_by_one_file_only():
    assert users_of("tqdm") == {"system.progress"}


def test_kernels_import_numpy_and_numba_only():
    foreign = {name.split(".")[0] for module in FILES if room(module) == "kernels" for name in IMPORTS[module]}
    assert foreign - sys.stdlib_module_names <= {"ensemble", "numpy", "numba"}


def test_parts_of_kernels_return_no_arrays_as_they_count_no_references():
    plain = {"int", "float", "bool", "None", "tuple", "Tile", "Tiles", "np.uint64", "np.int64"}
    for name in FILES:
        if name.startswith("kernels."):
            for node in ast.walk(ast.parse(FILES[name].read_text())):
                if isinstance(node, ast.FunctionDef) and "inner" in map(ast.unparse, node.decorator_list):
                    returned = ast.unparse(node.returns).replace("[", " ").replace("]", " ").replace(",", " ").split()
                    assert set(returned) - {"..."} <= plain, f"{name}.{node.name}"
