"""Programs beside Python's own that tests run; `.ci/run` sees to it that none is missing there."""

import os
import shutil

import pytest

NEEDED = "MONOTWIN_TESTS_NEED_PROGRAMS"


def program(*names: str) -> str:
    """Path of the first of these that is installed; else the test is skipped, or fails where `NEEDED` is 1."""
    for name in names:
        if found := shutil.which(name):
            return found
    missing = f"needs {' or '.join(names)} on the path, found none"
    if os.environ.get(NEEDED) == "1":
        pytest.fail(missing)
    pytest.skip(missing)
