"""Formulas that a student types, such as sin(3x): read into a tree of allowed parts, never run as code.

`source` makes a target of one; `code` writes it out in NumPy's names.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ensemble.data import FloatArray

__all__ = ["FUNCTIONS", "Formula", "parse"]

MOST_CHARACTERS, MOST_PARTS = 200, 100

# What may be called: how it is written in NumPy, {} being its arguments, and what does it.
FUNCTIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    **{name: (f"np.{name}({{}})", getattr(np, name)) for name in (
        "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "sign",
        "floor", "ceil",
    )},
    "abs": ("np.abs({})", np.abs),
    "relu": ("np.maximum(0, {})", lambda x: np.maximum(0, x)),
    "step": ("np.heaviside({}, 0.5)", lambda x: np.heaviside(x, 0.5)),
    "max": ("np.maximum({})", np.maximum),
    "min": ("np.minimum({})", np.minimum),
}  # fmt: skip
_TWO = ("max", "min")  # take two arguments, all others one
CONSTANTS = {"pi": np.pi, "e": np.e}
_OPERATORS: dict[type[ast.AST], tuple[str, Callable[..., Any]]] = {
    ast.Add: ("+", operator.add), ast.Sub: ("-", operator.sub), ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv), ast.Pow: ("**", operator.pow), ast.Mod: ("%", operator.mod),
    ast.UAdd: ("+", operator.pos), ast.USub: ("-", operator.neg),
}  # fmt: skip

_Value = Callable[[FloatArray], Any]
_NOWHERE = np.empty(0)  # for x, of which a constant does not depend


class Formula:
    """A function of x: `text` as it was typed, `code` as NumPy writes it; calling it computes it."""

    def __init__(self, text: str, code: str, value: _Value) -> None:
        self.text, self.code, self._value = text, code, value
        self.__name__ = "formula"

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the values (N,) at x (N,)."""
        with np.errstate(all="ignore"):  # `Target` names the first value that is not finite
            return np.broadcast_to(np.asarray(self._value(x), dtype=np.float64), x.shape).copy()


def parse(text: str) -> Formula:
    """Return the formula in a text.

    Numbers, x, pi, e, + - * / % ^ (or **), parentheses and `FUNCTIONS` are allowed; a product may leave out its sign
    after a number, as in 3x.

    Raises
    ------
    ValueError
        The text is empty, too long, or something in it is not allowed: one sentence that names it.
    """
    if not text.strip():
        raise ValueError("the formula is empty: type one such as sin(3x) + x/2")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"the formula has {len(text)} characters; at most {MOST_CHARACTERS} are allowed")
    # A number before a name, or a number or a bracket before a bracket, is a product. 2e3 stays a number.
    plain = re.sub(
        r"(?<![A-Za-z0-9_.])(\d+\.?\d*|\.\d+)\s*(?=[A-Za-df-z(]|e(?![-+]?\d))", r"\1*", text.strip().replace("π", "pi")
    )
    plain = re.sub(r"\)\s*(?=[A-Za-z0-9(])", ")*", plain).replace("^", "**")
    if re.search(r"\d,\d", plain) and not re.search(r"\b(max|min)\b", plain):
        raise ValueError(f"{text.strip()!r} has a comma in a number: write a point, such as 2.5")
    try:
        with warnings.catch_warnings():  # the parser's, about text that is refused below
            warnings.simplefilter("ignore")
            tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text.strip()!r} cannot be read as a formula: write one such as sin(3x) + x/2") from None
    if sum(1 for _ in ast.walk(tree)) > 3 * MOST_PARTS:
        raise ValueError(f"the formula has too many parts; about {MOST_PARTS} are allowed")
    code, value = _read(tree)
    return Formula(text.strip(), code, value)


def _read(node: ast.AST) -> tuple[str, _Value]:
    """Return a part of a formula in NumPy's words, and what computes it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return _constant(node.value)
    if isinstance(node, ast.Name):
        if node.id == "x":
            return "x", lambda x: x
        if node.id in CONSTANTS:
            constant = np.float64(CONSTANTS[node.id])
            return f"np.{node.id}", lambda x: constant
        raise ValueError(f"{node.id!r} is unknown; {_allowed()}")
    if isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in _OPERATORS:
        sign, function = _OPERATORS[type(node.op)]
        if isinstance(node, ast.UnaryOp):
            code, value = _read(node.operand)
            return f"({sign}{code})", lambda x: function(value(x))
        (left, left_value), (right, right_value) = _read(node.left), _read(node.right)
        code = f"({left} {sign} {right})"
        if isinstance(node.op, ast.Pow) and "x" not in re.findall(r"\w+", code):
            with np.errstate(all="ignore"):
                return _constant(float(function(left_value(_NOWHERE), right_value(_NOWHERE))))
        return code, lambda x: function(left_value(x), right_value(x))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, node.args)
    raise ValueError(f"{ast.unparse(node)!r} is not allowed in a formula; {_allowed()}")


def _constant(value: float) -> tuple[str, _Value]:
    """Return a number, as NumPy's: powers overflow at once, where Python's whole numbers would grow for minutes."""
    try:
        number = np.float64(value)
    except OverflowError:
        number = np.float64(np.inf)
    return repr(value) if np.isfinite(number) else f"np.{number}", lambda x: number


def _call(name: str, arguments: list[ast.expr]) -> tuple[str, _Value]:
    if name not in FUNCTIONS:
        raise ValueError(f"{name!r} is unknown; {_allowed()}")
    wanted = 2 if name in _TWO else 1
    if len(arguments) != wanted:
        raise ValueError(f"{name} takes {wanted} argument{'s' * (wanted > 1)}, not {len(arguments)}")
    template, function = FUNCTIONS[name]
    read = [_read(argument) for argument in arguments]
    code = template.format(", ".join(part for part, _ in read))
    return code, lambda x: function(*(value(x) for _, value in read))


def _allowed() -> str:
    return f"allowed are numbers, x, pi, e, + - * / ^ and the functions {', '.join(FUNCTIONS)}"
