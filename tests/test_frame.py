"""The project's frame: make targets, requirements, and what may lie in the repository."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.programs import program

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TARGETS = {"help", "demo", "serve", "test", "check", "bench", "train-demo"}
LARGEST_FILE_BYTES = 500_000
LARGEST_BUNDLE_BYTES = 70_000_000
BUNDLES = Path("model/bundles")


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def pins(constraints: Path) -> dict[str, str]:
    """Name -> version of each `name==version` line."""
    lines = (line for line in constraints.read_text().splitlines() if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def oversized(paths: Iterable[Path], limit: int) -> list[str]:
    return [f"{path}: {path.stat().st_size} bytes" for path in paths if path.is_file() and path.stat().st_size > limit]


def tracked_files() -> list[Path]:
    listed = subprocess.run([program("git"), "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [Path(name) for name in listed.split("\0") if name]


in_a_clone = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git which files are tracked: needs a clone")


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert set(re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE)) >= TARGETS


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_each_target_has_a_recipe_that_make_understands(target: str) -> None:
    planned = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=False, text=True)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.strip()


@pytest.mark.parametrize("python", ["", "false", "/nowhere/python3"])
def test_an_unsupported_python_is_refused_in_words(python: str, tmp_path: Path) -> None:
    """Without an interpreter that fits, make says what it needs before it makes anything."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for requirement in ("pyproject.toml", "requirements/constraints.txt"):
        (tmp_path / requirement).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / requirement, tmp_path / requirement)
    refused = subprocess.run(["make", f"PYTHON={python}", "serve"], cwd=tmp_path, capture_output=True, check=False, text=True)
    assert refused.returncode != 0
    assert f"Monotwin needs Python 3.11 or 3.12, found {python}" in refused.stderr
    assert not (tmp_path / ".venv").exists()


def test_continuous_integration_runs_both_recipes() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert {"make check", "make test"} <= set(script.read_text().splitlines())


def test_onnx_runtime_comes_through_exactly_one_extra() -> None:
    """Its two wheels overwrite each other, so no list of requirements may name both."""
    runtimes = {"onnxruntime", "onnxruntime-gpu"}
    assert not names(PROJECT["dependencies"]) & runtimes
    chosen = {extra: names(lines) & runtimes for extra, lines in EXTRAS.items()}
    assert {extra: wheels for extra, wheels in chosen.items() if wheels} == {"cpu": {"onnxruntime"}, "gpu": {"onnxruntime-gpu"}}


def test_no_install_takes_the_cpu_and_the_gpu_extra_together() -> None:
    recipes = [ROOT / "Makefile", ROOT / "docker" / "Dockerfile", ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    extras = [set(found.split(",")) for path in recipes for found in re.findall(r"\[([a-z,]+)\]", path.read_text())]
    assert {"cpu"} in extras  # the search finds what it looks for
    assert not [found for found in extras if {"cpu", "gpu"} <= found]


def test_serving_requires_no_torch() -> None:
    for extra in ("cpu", "gpu"):
        assert not names([*PROJECT["dependencies"], *EXTRAS[extra]]) & {"torch", "torchvision", "onnxscript"}


def test_every_requirement_is_pinned_to_a_version_it_allows() -> None:
    """Except torch, whose build the machine chooses."""
    pinned = pins(ROOT / "requirements" / "constraints.txt")
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.keys() - {"gpu"} for line in EXTRAS[extra])]
    required = [Requirement(line) for line in lines if Requirement(line).name != "torch"]
    assert {requirement.name for requirement in required if canonicalize_name(requirement.name) not in pinned} == set()
    wrong = [
        str(requirement) for requirement in required if pinned[canonicalize_name(requirement.name)] not in requirement.specifier
    ]
    assert not wrong


def test_the_gpu_requirements_are_pinned_to_versions_they_allow() -> None:
    pinned = pins(ROOT / "requirements" / "constraints-gpu.txt")
    for requirement in map(Requirement, EXTRAS["gpu"]):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier
    assert not pinned.keys() & pins(ROOT / "requirements" / "constraints.txt").keys()


def requirements_of(extras: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "requirements/of_extra.py", extras]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)


@pytest.mark.parametrize("extras", ["cpu", "gpu", "cpu,postgres,otel", "gpu,heic"])
def test_an_image_installs_what_serving_with_its_extras_requires(extras: str) -> None:
    required = [line for extra in extras.split(",") for line in EXTRAS[extra]]
    assert requirements_of(extras).stdout.splitlines() == [*PROJECT["dependencies"], *required]


@pytest.mark.parametrize("extras", ["train", "cpu,train", "cpu,gpu", "postgres", ""])
def test_an_image_with_other_extras_is_refused_in_words(extras: str) -> None:
    refused = requirements_of(extras)
    assert refused.returncode != 0
    assert f"expected cpu or gpu, and any of postgres, otel, heic; got '{extras}'" in refused.stderr


@in_a_clone
def test_no_tracked_file_is_large_but_the_bundle() -> None:
    files = tracked_files()
    assert Path("pyproject.toml") in files
    assert not oversized((ROOT / path for path in files if not path.is_relative_to(BUNDLES)), LARGEST_FILE_BYTES)
    bundle_bytes = sum((ROOT / path).stat().st_size for path in files if path.is_relative_to(BUNDLES) and (ROOT / path).is_file())
    assert bundle_bytes <= LARGEST_BUNDLE_BYTES


def test_the_size_check_finds_a_large_file(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(LARGEST_FILE_BYTES))
    large.write_bytes(bytes(LARGEST_FILE_BYTES + 1))
    assert oversized([small, large], LARGEST_FILE_BYTES) == [f"{large}: {LARGEST_FILE_BYTES + 1} bytes"]


def test_each_decision_is_listed_and_has_its_four_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name[:4] for name in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert re.findall(r"\]\((\S+\.md)\)", (folder / "README.md").read_text()) == pages
    for name in pages:
        headings = re.findall(r"^## (.+)$", (folder / name).read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], name
