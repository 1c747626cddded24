# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Changes functions of modules that are loaded already: one mutant is one change of one place.

The changed module is compiled, and the code of the function that contains the change replaces that
of the living function, wherever that has been imported to. So a mutant lasts as long as the
process that made it.
"""

from __future__ import annotations
import __future__

import ast
import copy
import importlib
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Callable, Optional, Union

Definition = Union[ast.FunctionDef, ast.AsyncFunctionDef]
Change = tuple[ast.AST, ast.AST]  # what stands there, what shall

# Turned round; to move one by its edge would change nothing for a time that is never met exactly.
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
# What only tells people, and decides nothing.
_TELLS = ("log.", "self._change_log.", "self._note(", "self._tell(")


@dataclass(frozen=True)
class Mutant:
    """`name` tells it by module, function and source text; it does not move with the lines."""

    name: str
    module: str
    function: str
    place: int  # which of the function's changes
    lines: range  # of the statement; who executes none of them can't notice


def mutants_of(module_name: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its source."""
    found: list[Mutant] = []
    named: Counter[str] = Counter()
    for function, definition in _functions(_tree(module_name)):
        lines = _lines(definition)
        for place, change in enumerate(_changes(definition)):
            name = f"{module_name}.{function}: {_words(change)}"
            named[name] += 1
            suffix = f" ({named[name]})" if named[name] > 1 else ""
            found.append(Mutant(name + suffix, module_name, function, place, lines[change[0]]))
    return found


def make(mutant: Mutant) -> None:
    """Become the mutant: from now on this process runs the changed function."""
    definition = dict(_functions(_tree(mutant.module)))[mutant.function]
    old, new = list(_changes(definition))[mutant.place]
    _Replacer(old, new).visit(definition)
    module = importlib.import_module(mutant.module)
    _function(module, mutant.function).__code__ = _compiled(definition, mutant, module)


def _compiled(definition: Definition, mutant: Mutant, module: ModuleType) -> CodeType:
    """The code of that function alone, as its module's compilation would make it."""
    outer = mutant.function.rpartition(".")[0]
    body: ast.stmt = definition
    if outer:
        body = ast.ClassDef(outer, bases=[], keywords=[], body=[definition], decorator_list=[])
    tree = ast.fix_missing_locations(ast.Module([body], type_ignores=[]))
    flags = __future__.annotations.compiler_flag
    compiled = compile(tree, str(module.__file__), "exec", flags=flags, dont_inherit=True)
    return _code(compiled, mutant.function)


# --- places ---------------------------------------------------------------------------


@cache  # who becomes a mutant changes it, and is a process of its own
def _tree(module_name: str) -> ast.Module:
    path = importlib.import_module(module_name).__file__
    return ast.parse(Path(str(path)).read_text(encoding="utf-8"))


def _functions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Functions and methods by their qualified names; nested ones belong to theirs."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not _is_protocol(node):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield f"{node.name}.{method.name}", method


def _lines(definition: Definition) -> dict[ast.AST, range]:
    """For each node the lines of its statement; of one with a body, those of its head."""
    found: dict[ast.AST, range] = {}

    def note(node: ast.AST, lines: range) -> None:
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
            lines = range(node.lineno, (last or node.lineno) + 1)
        found[node] = lines
        for child in ast.iter_child_nodes(node):
            note(child, lines)

    note(definition, range(0))
    return found


def _is_protocol(node: ast.ClassDef) -> bool:
    return any("Protocol" in ast.unparse(base) for base in node.bases)


def _function(module: ModuleType, name: str) -> FunctionType:
    first, _, method = name.partition(".")
    found: Any = getattr(module, first)
    if method:
        found = inspect.getattr_static(found, method)
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, cached_property):
        found = found.func
    found = inspect.unwrap(getattr(found, "__func__", found))
    assert isinstance(found, FunctionType), f"{module.__name__}.{name} is no plain function"
    return found


def _code(compiled: CodeType, name: str) -> CodeType:
    for part in name.split("."):
        inner = [one for one in compiled.co_consts if isinstance(one, CodeType)]
        compiled = next(one for one in inner if one.co_name == part)
    return compiled


# --- changes --------------------------------------------------------------------------


def _changes(definition: Definition) -> Iterator[Change]:
    for statement in definition.body:
        for node in _walk(statement):
            for change in _OPERATORS:
                new = change(node)
                if new is not None:
                    yield node, new


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that decide something; texts for people, assertions and annotations do not."""
    if isinstance(node, (ast.JoinedStr, ast.Assert, ast.Raise)) or _only_tells(node):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _only_tells(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(_TELLS)


def _comparison(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.Compare) or type(node.ops[0]) not in _COMPARISONS:
        return None
    return _with(node, ops=[_COMPARISONS[type(node.ops[0])](), *node.ops[1:]])


def _arithmetic(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.BinOp) or type(node.op) not in _ARITHMETIC:
        return None
    return _with(node, op=_ARITHMETIC[type(node.op)]())


def _and_or(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.BoolOp):
        return None
    return _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


def _first_left_out(node: ast.AST) -> Optional[ast.AST]:
    """The first condition of several is not asked."""
    if not isinstance(node, ast.BoolOp):
        return None
    rest = node.values[1:]
    return _with(node, values=rest) if len(rest) > 1 else copy.deepcopy(rest[0])


def _last_left_out(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.BoolOp):
        return None
    rest = node.values[:-1]
    return _with(node, values=rest) if len(rest) > 1 else copy.deepcopy(rest[0])


def _without_not(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.UnaryOp) or not isinstance(node.op, ast.Not):
        return None
    return copy.deepcopy(node.operand)


def _negated(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, (ast.If, ast.IfExp)) or isinstance(node.test, ast.Compare):
        return None  # a comparison is turned round anyway
    return _with(node, test=ast.UnaryOp(ast.Not(), copy.deepcopy(node.test)))


def _other_call(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    other = _CALLS.get(node.func.id)
    return None if other is None else _with(node, func=ast.Name(other, ast.Load()))


def _other_constant(node: ast.AST) -> Optional[ast.AST]:
    if not isinstance(node, ast.Constant):
        return None
    if isinstance(node.value, bool):
        return ast.Constant(not node.value)
    return ast.Constant(node.value + 1) if isinstance(node.value, (int, float)) else None


def _left_out(node: ast.AST) -> Optional[ast.AST]:
    """A statement is not carried out."""
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    keeps = isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Attribute) for target in node.targets
    )
    return ast.Pass() if is_call or keeps else None


def _other_result(node: ast.AST) -> Optional[ast.AST]:
    """Nothing is returned; where that is so already, a text where there was none."""
    if not isinstance(node, ast.Return) or node.value is None:
        return None
    if not isinstance(node.value, ast.Constant) or node.value.value:
        return ast.Return(ast.Constant(None))
    return ast.Return(ast.Constant("something")) if node.value.value == "" else None


_OPERATORS: tuple[Callable[[ast.AST], Optional[ast.AST]], ...] = (
    _comparison,
    _arithmetic,
    _and_or,
    _first_left_out,
    _last_left_out,
    _without_not,
    _negated,
    _other_call,
    _other_constant,
    _left_out,
    _other_result,
)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _words(change: Change) -> str:
    old, new = (_short(node) for node in change)
    return f"{old} -> {new}"


def _short(node: ast.AST) -> str:
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


class _Replacer(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> Any:
        return self._new if node is self._old else super().visit(node)
