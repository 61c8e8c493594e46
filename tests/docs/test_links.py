import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MODULES = sorted(
    path for room in ("assets", "benchmarks", "pipeline", "resources") for path in (ROOT / room).rglob("*.py")
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_FILE = re.compile(r"`((?:assets|benchmarks|docs|pipeline|resources|tests)/[\w./-]+\.\w+)`")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    links = [link for link in LINK.findall(CODE_BLOCK.sub("", page.read_text())) if "://" not in link]
    assert [link for link in links if not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    assert [path for path in CODE_FILE.findall(page.read_text()) if not (ROOT / path).exists()] == []


def test_every_file_that_a_docstring_names_exists():
    named = {(module.relative_to(ROOT), path) for module in MODULES for path in CODE_FILE.findall(docstrings(module))}
    assert sorted(str(module) for module, path in named if not (ROOT / path).exists()) == []


def test_the_index_lists_every_page_of_docs():
    listed = LINK.findall((ROOT / "docs/README.md").read_text())
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in {*listed, "README.md"}] == []


def test_the_readme_fits_on_a_few_screens():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120


def leads_somewhere(page, link):
    path, _, heading = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not heading or heading in headings(target))


def headings(page):
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", CODE_BLOCK.sub("", page.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def docstrings(module):
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    tree = ast.parse(module.read_text())
    return "\n".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, nodes))
