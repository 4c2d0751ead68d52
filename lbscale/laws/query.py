"""Which pandas queries are let through: conditions on columns, and nothing that runs code or computes without end.

pandas' own `eval` calls any method of a column, those that write files among them, and raises numbers to any power.
"""

from __future__ import annotations

import ast
import re
import warnings

from lbscale.errors import InputError, check, one_line

FUNCTIONS = ("abs", "exp", "log", "log10", "sqrt")
OF_COLUMNS = ("abs", "between", "isin", "isna", "max", "mean", "median", "min", "notna", "round")
OF_TEXT = ("contains", "endswith", "len", "lower", "startswith", "upper")
LARGEST_POWER = 100
LONGEST = 10_000
# A quoted column's name. One with quotes in it stays as it is, so that what a string hides is never taken for a name.
QUOTED_NAME = re.compile(r"`[^`'\"\n\\#]*`")
PLAIN = (
    *(
        ast.BoolOp,
        ast.BinOp,
        ast.UnaryOp,
        ast.Compare,
        ast.List,
        ast.Tuple,
        ast.Load,
        ast.boolop,
        ast.unaryop,
        ast.cmpop,
    ),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor),
)


def check_query(field: str, query: object) -> None:
    """Raise InputError unless `query` is a condition made of columns, constants, comparisons, arithmetic and a few
    functions."""
    if not isinstance(query, str):
        raise InputError(field, query, "a pandas query, as text")
    check(len(query) <= LONGEST, field, query, f"a pandas query of at most {LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd but harmless syntax
            tree = ast.parse(QUOTED_NAME.sub("quoted", query).strip(), mode="eval")
        for node in ast.walk(tree.body):
            refused = _refused(node)
            check(refused is None, field, query, f"a pandas query over the table's columns, without {refused}")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        said = one_line(error).removesuffix(" (<unknown>, line 1)") or "too deep"
        raise InputError(field, query, f"a pandas query over the table's columns ({said})") from None


def _refused(node: ast.AST) -> str | None:
    """What is wrong with one node of a query, in words; None where nothing is."""
    if isinstance(node, ast.Constant):
        return None if isinstance(node.value, bool | int | float | str) else repr(node.value)
    if isinstance(node, ast.Name):
        return f"the name {node.id}" if node.id.startswith("__") else None
    if isinstance(node, ast.Call):
        plain = isinstance(node.func, ast.Attribute) or (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS)
        return None if plain else f"calls of other functions than {', '.join(FUNCTIONS)}"
    if isinstance(node, ast.Attribute):
        known = node.attr in OF_TEXT if _is_text(node.value) else node.attr in (*OF_COLUMNS, "str")
        return None if known else f".{node.attr}; known are {', '.join((*OF_COLUMNS, *(f'str.{n}' for n in OF_TEXT)))}"
    if isinstance(node, ast.keyword):
        return None if isinstance(node.value, ast.Constant) else "computed options"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not _is_small_power(node):
        return f"powers other than of a column by a number up to {LARGEST_POWER}"
    if isinstance(node, ast.BinOp) and any(_is_not_numeric(side) for side in (node.left, node.right)):
        return "arithmetic of text and lists"
    return None if isinstance(node, PLAIN) else f"{type(node).__name__}"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "str"


def _is_not_numeric(node: ast.AST) -> bool:
    return isinstance(node, ast.List | ast.Tuple) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_small_power(node: ast.BinOp) -> bool:
    """Whether a power's base has no power in it and its exponent is a small number."""
    exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
    small = isinstance(exponent, ast.Constant) and isinstance(exponent.value, int | float)
    nested = any(isinstance(inner, ast.Pow) for inner in ast.walk(node.left))
    return small and not nested and exponent.value <= LARGEST_POWER  # type: ignore[attr-defined]
