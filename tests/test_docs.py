"""What the pages point at is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))


def broken_links(page: Path, text: str) -> list[str]:
    """Relative link targets of a Markdown text that do not exist."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    assert broken_links(page, page.read_text()) == []


def test_a_broken_link_is_found():
    assert broken_links(ROOT / "README.md", "[a](docs/api.md) [b](docs/nothing.md#part) [c](https://example.org)") == [
        "docs/nothing.md"
    ]


def test_every_decision_is_listed():
    pages = sorted(page.name for page in (ROOT / "docs" / "decisions").glob("0*.md"))
    listed = re.findall(r"\]\((0\d+[^)]*\.md)\)", (ROOT / "docs" / "decisions" / "README.md").read_text())
    assert listed == pages


def test_the_make_targets_the_readme_names_exist():
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    for target in sorted(named):
        result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"make {target}: {result.stderr}"
