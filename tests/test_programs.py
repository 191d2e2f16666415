import re
from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.programs import NEEDED, program


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`second`, the one program on the path."""
    second = tmp_path / "second"
    second.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return second


@pytest.mark.parametrize("needed", ["", "1"])
def test_the_first_program_that_is_installed_is_taken(monkeypatch: pytest.MonkeyPatch, installed: Path, needed: str) -> None:
    monkeypatch.setenv(NEEDED, needed)
    assert program("first", "second", "third") == str(installed)


@pytest.mark.parametrize(("needed", "outcome"), [("", Skipped), ("0", Skipped), ("1", Failed)])
def test_a_missing_program_skips_a_test_or_fails_it(
    monkeypatch: pytest.MonkeyPatch, installed: Path, needed: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv(NEEDED, needed)
    with pytest.raises(outcome, match="needs first or third on the path"):
        program("first", "third")


def test_continuous_integration_sees_to_every_program_that_a_test_runs() -> None:
    """But to git, which made the clone."""
    root = Path(__file__).resolve().parents[1]
    tests = [path for path in (root / "tests").rglob("*.py") if path != Path(__file__).resolve()]
    calls = re.findall(r"\bprogram\((\"[^)]+)\)", "".join(path.read_text(encoding="utf-8") for path in tests))
    asked = {" ".join(re.findall(r"[\w-]+", names)) for names in calls}
    assert {"git", "node"} <= asked
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    complete = re.search(r"complete\(\) \{ (.+?); \}", script)[1]
    assert set(complete.removeprefix("has ").split(" && has ")) == asked - {"git"}
    assert f"export {NEEDED}=1" in script
