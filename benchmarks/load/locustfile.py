"""Factory clients for locust. Each posts one photo at a steady rate, whatever comes back: an open load, which does not ease off.

Environment: LOAD_RATE requests a second of one client; LOAD_PHOTO the photo; LOAD_RESOLUTION its resolution.
Answers count as `mesh` (200) or `refusal` (a 503 problem with a whole number of seconds in Retry-After); all others are failures.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from locust import HttpUser, constant_throughput, task

PHOTO = Path(os.environ["LOAD_PHOTO"]).read_bytes()
RESOLUTION = os.environ["LOAD_RESOLUTION"]
LARGEST = "512"


class Factory(HttpUser):
    """A client that wants a mesh every so often."""

    wait_time = constant_throughput(float(os.environ["LOAD_RATE"]))

    @task(19)
    def ordinary(self) -> None:
        self._post(RESOLUTION, "")

    @task(1)
    def large(self) -> None:
        """One request in twenty is large: it must not starve the others, nor they it."""
        self._post(LARGEST, " 512")

    def _post(self, resolution: str, suffix: str) -> None:
        files = {"image": ("photo.png", PHOTO, "image/png")}
        request: dict[str, Any] = {"files": files, "data": {"resolution": resolution}, "name": f"mesh{suffix}"}
        with self.client.post("/reconstruct", catch_response=True, **request) as answer:
            if answer.status_code == 200 and answer.content[:4] == b"glTF":
                answer.success()
            elif _is_honest_refusal(answer):
                answer.request_meta["name"] = f"refusal{suffix}"
                answer.success()
            else:
                answer.failure(f"{answer.status_code} {answer.text[:200]}")


def _is_honest_refusal(answer: Any) -> bool:
    return (
        answer.status_code == 503
        and answer.headers.get("Content-Type") == "application/problem+json"
        and answer.json()["type"] == "urn:monotwin:problem:queue-full"
        and answer.headers.get("Retry-After", "").isdecimal()
    )
