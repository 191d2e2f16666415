import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import DEFAULT_BUNDLE, Settings

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def documented(text):
    """Variable -> its default as written, from the rows of the table."""
    return dict(re.findall(r"^\| `(MONOTWIN_\w+)` \| (.+?) \|", text, re.MULTILINE))


def as_written(default):
    if default in (None, ()):
        return "—"
    return "`model/bundles/default`" if default == DEFAULT_BUNDLE else f"`{default}`"


def expected():
    return {f"MONOTWIN_{name.upper()}": as_written(field.default) for name, field in Settings.model_fields.items()}


def test_every_setting_is_documented_with_its_default():
    assert documented(DOCS.read_text(encoding="utf-8")) == expected()


def test_a_setting_that_is_not_documented_would_be_found():
    without_port = "\n".join(line for line in DOCS.read_text(encoding="utf-8").splitlines() if "MONOTWIN_PORT" not in line)
    assert set(expected()) - set(documented(without_port)) == {"MONOTWIN_PORT"}


def test_every_setting_describes_itself():
    assert all(field.description for field in Settings.model_fields.values())


def test_the_environment_sets_them(monkeypatch):
    monkeypatch.setenv("MONOTWIN_QUEUE_SIZE", "3")
    monkeypatch.setenv("MONOTWIN_BUNDLE", "/bundles/mine")
    assert (Settings().queue_size, Settings().bundle) == (3, Path("/bundles/mine"))


def test_an_empty_variable_counts_as_unset(monkeypatch):
    """Compose files pass optional variables on as empty text."""
    monkeypatch.setenv("MONOTWIN_THREADS", "")
    assert Settings().threads is None


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def test_origins_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("MONOTWIN_CORS_ORIGINS", "https://a.example, https://b.example,")
    assert Settings().cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("names", ["*", "localhost", "Twin.example, 192.0.2.7,::1,[fe80::1]", "my_host"])
def test_hosts_are_names_and_addresses(names):
    assert ",".join(Settings(allowed_hosts=names).allowed_hosts) == names.replace(", ", ",")


@pytest.mark.parametrize(
    "name", ["twin.example:8443", "cafe:80", "https://twin.example", "*.example", "twin.example.", "a b", "/"]
)
def test_what_no_host_header_could_match_is_refused(name):
    with pytest.raises(ValidationError, match="without scheme, port or wildcard"):
        Settings(allowed_hosts=f"localhost,{name}")


def test_jobs_are_kept_in_the_data_folder_unless_a_database_is_named(monkeypatch):
    assert Settings(data_dir=Path("/data")).jobs_address == "sqlite:////data/jobs.sqlite"
    monkeypatch.setenv("MONOTWIN_JOBS_URL", "postgresql+pg8000://user@host/jobs")
    assert Settings().jobs_address == "postgresql+pg8000://user@host/jobs"
