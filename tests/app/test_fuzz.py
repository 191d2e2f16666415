"""Schemathesis against the running service: whatever the description allows or forbids gets the answers that it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.test_signals import metric, serving

HOOKS = Path(__file__).with_name("fuzz_hooks.py")

# Check that is left out -> why it cannot apply.
EXCLUDED = {
    "positive_data_acceptance": "no schema says which bytes are a photo with an object in it, or which fields fit together",
    "use_after_free": "DELETE of a job under way cancels it, and a cancelled job is still told",
}


def fuzz(bundle, data_dir, examples):
    """Schemathesis's report, its exit code, how many cases it tried, and how many of them were meshes."""
    with serving(bundle, data_dir) as (process, client):
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", str(client.base_url.join("/openapi.json"))]
        command += ["--checks", "all", "--exclude-checks", ",".join(EXCLUDED), "--max-examples", str(examples)]
        command += ["--seed", "1", "--no-color", "--generation-database", "none", "--request-timeout", "60"]
        environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS), "NO_PROXY": "127.0.0.1", "PYTHONWARNINGS": "ignore"}
        ran = subprocess.run(command, env=environment, cwd=data_dir, capture_output=True, text=True, check=False)
        assert client.get("/health/ready").status_code == 200
        assert process.poll() is None
        meshes = metric(client, 'monotwin_requests_total{outcome="succeeded"}')
    cases = re.search(r"(\d+) generated", ran.stdout)
    print(f"{cases and cases[1]} cases, {meshes:g} meshes")  # noqa: T201 - shown with -s
    return ran.stdout + ran.stderr, ran.returncode, int(cases[1]) if cases else 0, meshes


def test_a_few_hundred_cases_find_nothing(tiny_bundle, tmp_path):
    report, code, cases, meshes = fuzz(tiny_bundle, tmp_path, examples=5)
    assert code == 0, report
    assert cases > 300
    assert meshes > 5


@pytest.mark.slow
def test_thousands_of_cases_find_nothing(tiny_bundle, tmp_path):
    report, code, cases, meshes = fuzz(tiny_bundle, tmp_path, examples=100)
    assert code == 0, report
    assert cases >= 2000
    assert meshes > 50
