"""The texts: links lead somewhere, and what the product has is written about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest

LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def markdown(files: Sequence[Path]) -> list[Path]:
    return [path for path in files if path.suffix == ".md"]


def links(text: str) -> list[str]:
    """Return the targets of all links and pictures outside code blocks."""
    return [next(filter(None, found)) for found in LINK.findall(FENCE.sub("", text))]


def headings(text: str) -> set[str]:
    """Return the anchors that a page's headings make."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_link_in_a_text_resolves(tracked_files: Sequence[Path], root: Path) -> None:
    broken = []
    for page in markdown(tracked_files):
        for link in links(page.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = unquote(link).partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists():
                broken.append(f"{page.relative_to(root)}: {link} (no such file)")
            elif anchor and target.suffix == ".md" and anchor not in headings(target.read_text()):
                broken.append(f"{page.relative_to(root)}: {link} (no such heading)")

    assert not broken, "\n".join(broken)


def test_the_index_of_the_docs_names_every_page(tracked_files: Sequence[Path], root: Path) -> None:
    docs = root / "docs"
    index = (docs / "index.md").read_text()
    pages = [p.relative_to(docs).as_posix() for p in markdown(tracked_files) if docs in p.parents]
    missing = [page for page in pages if page != "index.md" and f"({page})" not in index]

    assert not missing, f"link from docs/index.md: {missing}"


def test_the_docs_name_every_command_of_the_command_line(root: Path) -> None:
    from epochal.cli.main import build_parser

    reference = (root / "docs" / "reference" / "cli.md").read_text()
    commands = commands_of(build_parser())

    assert commands
    assert [name for name in commands if f"epochal {name}" not in reference] == []


def commands_of(parser: object) -> list[str]:
    import argparse

    assert isinstance(parser, argparse.ArgumentParser)
    choices = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return sorted(name for names in choices for name in names)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "docs" / "decisions").glob("0*.md")), ids=lambda p: p.stem
)
def test_a_decision_says_situation_choice_and_price(path: Path) -> None:
    text = path.read_text()

    assert re.match(r"# \d{4} ", text), "begin with `# 0001 What was decided`"
    for heading in ("## Situation", "## Choice", "## Price"):
        assert heading in text
