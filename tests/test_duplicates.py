"""No idea is written twice: statements in a row that do the same, whatever names and constants they use."""

import ast
import itertools
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/backlight"
ENOUGH = 50
"""Nodes of the syntax tree, about five full lines, from which on statements count as a block."""


class Anonymous(ast.NodeTransformer):
    """Numbers local names in order of appearance and drops constants and annotations; attributes stay."""

    def __init__(self):
        self.names = defaultdict(itertools.count().__next__)

    def visit_Name(self, node):
        return ast.Name(f"name{self.names[node.id]}", node.ctx)

    def visit_arg(self, node):
        return ast.arg(f"name{self.names[node.arg]}")

    def visit_Constant(self, node):
        return ast.Constant(None)


def declares(statement):
    """Say whether a statement is a docstring, an import or a field of a class."""
    text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return text or isinstance(statement, ast.Import | ast.ImportFrom | ast.AnnAssign)


def bodies(tree):
    """Yield every list of statements that do something."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(found := getattr(node, name, None), list):
                yield [statement for statement in found if not declares(statement)]


def blocks(text):
    """Yield (form, first line, last line) of the shortest runs of statements that are long enough."""
    for body in bodies(ast.parse(text)):
        sizes = [sum(1 for _ in ast.walk(statement)) for statement in body]
        for start in range(len(body)):
            for end in range(start + 2, len(body) + 1):  # one statement alone is no block
                if sum(sizes[start:end]) >= ENOUGH:
                    run = "\n".join(ast.unparse(statement) for statement in body[start:end])
                    form = ast.dump(Anonymous().visit(ast.parse(run)))
                    yield form, body[start].lineno, body[end - 1].end_lineno
                    break


def duplicates(texts):
    """Return the places, "name:first-last", of every form that there is more than once."""
    places = defaultdict(set)
    for name, text in texts.items():
        for form, first, last in blocks(text):
            places[form].add(f"{name}:{first}-{last}")
    return sorted(sorted(found) for found in places.values() if len(found) > 1)


def test_no_block_is_written_twice():
    texts = {p.relative_to(SOURCE).as_posix(): p.read_text("utf-8") for p in SOURCE.rglob("*.py")}
    assert len(texts) > 150
    assert duplicates(texts) == []


ORIGINAL = """
def ranked(rows, least):
    order = sorted(rows, key=lambda row: row.tau)
    kept = [row.name for row in order if row.tau > least]
    return ", ".join(kept) + str(len(rows) - len(kept)) + " left out" * bool(len(rows) - len(kept))
"""


def test_a_copy_under_other_names_is_seen():
    renamed = ORIGINAL.replace("ranked", "listed").replace("rows", "lines").replace("left out", "hidden")
    assert ["one.py:3-5", "two.py:3-5"] in duplicates({"one.py": ORIGINAL, "two.py": renamed})


def test_other_operations_and_attributes_are_no_copy():
    for changed in (
        ORIGINAL.replace("row.tau > least", "row.tau < least"),
        ORIGINAL.replace(".name", ".key"),
    ):
        assert duplicates({"one.py": ORIGINAL, "two.py": changed}) == []
