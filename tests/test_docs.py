"""What the pages say can be typed, opened and found."""

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import build
from training.configs import RunConfig, read_run

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
OUR_FOLDERS = ("app", "benchmarks", "docker", "docs", "model", "requirements", "tests", "training")
OPTIONS_OF_OTHERS = {"--no-deps"}  # of pip
MEDIA_TYPES = {f"model/{name}" for name in ("gltf-binary", "obj", "stl")}

Command = Any  # click's, which newer versions of typer bring along under another name

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def links(text: str) -> list[str]:
    """The targets of a Markdown text's links within the project, without their anchors."""
    return [target for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) if "://" not in target]


def broken_links(page: Path, text: str) -> list[str]:
    """Relative link targets of a Markdown text that do not exist."""
    return [target for target in links(text) if not (page.parent / target).exists()]


def blocks(text: str) -> list[str]:
    """The shell code of a Markdown text, lines that go on joined."""
    return [block.replace("\\\n", " ") for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def spans(text: str) -> list[str]:
    """The code within the sentences of a Markdown text, a line break taken for a space."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def typed(block: str) -> list[list[str]]:
    """The words of each `monotwin` command that a block of shell code runs; variables set before it are left out."""
    found = []
    for line in block.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("();<>|&"):
                found.append(words)
                words = []
            elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
                words.append(word)
    return [words[1:] for words in found if words[:1] == ["monotwin"] and len(words) > 1]  # "monotwin() {" is a definition


@cache
def commands() -> dict[tuple[str, ...], Command]:
    """Every command of the command line, by its words after `monotwin`."""
    found: dict[tuple[str, ...], Command] = {}

    def walk(command: Command, words: tuple[str, ...]) -> None:
        for name, below in getattr(command, "commands", {}).items():
            walk(below, (*words, name))
        if not hasattr(command, "commands"):
            found[words] = command

    walk(typer.main.get_command(build()), ())
    return found


def command_of(words: list[str]) -> tuple[Command, list[str]] | None:
    """The command that such words run and what is left for it; None where there is none."""
    for length in (1, 2):
        if command := commands().get(tuple(words[:length])):
            return command, words[length:]
    return None


def options(command: Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def fault(words: list[str]) -> str | None:
    """Why the command line would refuse these words, None if it would not. Nothing is run."""
    match command_of(words):
        case None:
            return f"no such command: {' '.join(words)}"
        case command, rest:
            try:
                command.make_context(" ".join(words), rest)
            except Exception as error:  # noqa: BLE001 - whichever click's
                message = getattr(error, "format_message", lambda error=error: repr(error))()
                return f"{' '.join(words)}: {message}"
    return None


def fault_in_mention(span: str) -> str | None:
    """The same for what a sentence mentions, which need not be complete: a command with some of its options."""
    words = span.split()[1:]
    if not words or any(key[: len(words)] == tuple(words) for key in commands()):
        return None
    if (found := command_of(words)) is None:
        return f"no such command: {span}"
    unknown = {word for word in found[1] if word.startswith("-")} - options(found[0])
    return f"{span}: no {', '.join(sorted(unknown))}" if unknown else None


def paths(text: str) -> list[str]:
    """What a text calls by a path inside the project, in sentences and in shell code."""
    words = [*spans(text), *(word for block in blocks(text) for word in block.split())]
    found = [word for word in words if re.fullmatch(rf"({'|'.join(OUR_FOLDERS)})/[\w./*-]+", word)]
    return [word for word in found if word not in MEDIA_TYPES and "YYYY" not in word]


@every_page
def test_every_relative_link_leads_somewhere(page):
    assert broken_links(page, page.read_text()) == []


def test_a_broken_link_is_found():
    assert broken_links(README, "[a](docs/api.md) [b](docs/nothing.md#part) [c](https://example.org)") == ["docs/nothing.md"]


@every_page
def test_every_command_of_a_code_block_would_be_accepted(page):
    assert [fault(words) for block in blocks(page.read_text()) for words in typed(block) if fault(words)] == []


@every_page
def test_every_command_in_a_sentence_exists_with_its_options(page):
    mentioned = [span for span in spans(page.read_text()) if span.split()[:1] == ["monotwin"]]
    assert [fault_in_mention(span) for span in mentioned if fault_in_mention(span)] == []


@every_page
def test_every_option_in_a_sentence_is_one_of_some_command(page):
    known = set().union(*map(options, commands().values())) | OPTIONS_OF_OTHERS
    assert {span.split()[0] for span in spans(page.read_text()) if span.startswith("--")} - known == set()


@every_page
def test_every_path_into_the_project_exists(page):
    assert [path for path in paths(page.read_text()) if not any(ROOT.glob(path.rstrip("/")))] == []


@every_page
def test_no_page_has_a_gap_left_to_fill(page):
    assert re.findall(r"@@\w*@@|\bTODO\b|\bTBD\b", page.read_text()) == []


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("monotwin evaluate bundles/mine --data a --data b --record", None),
        ("A=1 monotwin serve --port 8000 & monotwin bundle show  # both", None),
        ("monotwin evaluate bundles/mine --data a --recrod", "--recrod"),
        ("monotwin evaluate bundles/mine", "--data"),
        ("monotwin evaluate bundles/mine --data a --views two", "two"),
        ("monotwin data unzip a", "no such command"),
        ("cd a && monotwin judge b", "no such command"),
        ("python monotwin", None),
    ],
)
def test_a_command_that_would_be_refused_is_found(block, reason):
    found = "".join(filter(None, map(fault, typed(block))))
    assert (reason in found) if reason else not found


def test_a_mistaken_mention_is_found():
    mentions = ["monotwin data", "monotwin data pack", "monotwin evaluate --record", "monotwin", "monotwin evaluate --recrod"]
    assert [mention for mention in mentions if fault_in_mention(mention)] == ["monotwin evaluate --recrod"]
    assert paths("`training/runs/x.toml` and `data/mine`\n```sh\nmonotwin train training/runs/y.toml\n```\n") == [
        "training/runs/x.toml",
        "training/runs/y.toml",
    ]


def test_every_command_has_its_place_on_a_page():
    words = [" ".join(span.split()) for page in PAGES for span in (*blocks(page.read_text()), *spans(page.read_text()))]
    unnamed = [name for name in map(" ".join, commands()) if not re.search(rf"monotwin {name}(?![\w-])", "\n".join(words))]
    assert unnamed == []


def test_the_readme_leads_to_every_page():
    linked = {(ROOT / target).resolve() for target in links(README.read_text())}
    assert set((ROOT / "docs").glob("*.md")) - linked == set()


def test_every_decision_is_listed():
    pages = sorted(page.name for page in (ROOT / "docs" / "decisions").glob("0*.md"))
    listed = re.findall(r"\]\((0\d+[^)]*\.md)\)", (ROOT / "docs" / "decisions" / "README.md").read_text())
    assert listed == pages


def test_the_table_of_runs_has_each_run_file_with_its_numbers():
    table = dict(re.findall(r"^\| `(\w+\.toml)` \|(.*)$", (ROOT / "docs" / "training.md").read_text(), re.MULTILINE))
    files = sorted((ROOT / "training" / "runs").glob("*.toml"))
    assert sorted(table) == [file.name for file in files]
    for file in files:
        run, row = read_run(file), table[file.name]
        steps = f"{run.optimisation.steps:,} steps of {run.optimisation.batch_size}"
        minutes = run.optimisation.max_minutes
        for told in (f"{run.image_size} px", steps if minutes is None else f"{minutes:g} minutes"):
            assert told in row, file.name
        near, uniform = (re.escape(f"{count:,}") for count in (run.points.near, run.points.uniform))
        assert re.search(rf"\| {near}( near)? \+ {uniform}( uniform)? \|", row), file.name
        same = re.search(r"as `(\w+\.toml)`", row)
        assert read_run(file.with_name(same[1])).network == run.network if same else _network_words(run) in row, file.name


def _network_words(run: RunConfig) -> str:
    return f"| {run.network.pyramid_channels}; {'-'.join(map(str, run.network.decoder_widths))} |"


def test_the_glossary_is_in_alphabetical_order():
    words = re.findall(r"^- \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words, key=lambda word: word.lower().replace("-", " "))


@every_page
def test_the_make_targets_that_are_named_exist(page):
    named = {span.split()[1] for span in (*spans(page.read_text()), *blocks(page.read_text())) if span.startswith("make ")}
    for target in sorted(named):
        result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"make {target}: {result.stderr}"
