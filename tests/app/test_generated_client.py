"""A client that openapi-python-client generates from the committed description works against the running service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.test_signals import serving

DESCRIPTION = Path(__file__).parents[2] / "docs" / "openapi.json"

CONVERSATION = """
import io, sys, time
from monotwin_client import Client
from monotwin_client.api.bundles import bundles
from monotwin_client.api.health import ready
from monotwin_client.api.jobs import job, reconstruct_batch
from monotwin_client.api.reconstruction import reconstruct
from monotwin_client.models import ReconstructBatchBody, ReconstructBody
from monotwin_client.types import File

url, photo = sys.argv[1], open(sys.argv[2], "rb").read()


def upload():
    return File(io.BytesIO(photo), "photo.png", "image/png")


client = Client(base_url=url)
print(ready.sync(client=client).state, [bundle.name for bundle in bundles.sync(client=client)])
mesh = reconstruct.sync_detailed(client=client, body=ReconstructBody(image=upload(), resolution=32, size=0.5))
print(int(mesh.status_code), mesh.content[:4])
made = reconstruct_batch.sync(client=client, body=ReconstructBatchBody(image=[upload(), upload()], resolution=32))
deadline = time.monotonic() + 60
while (now := job.sync(made.id, client=client)).state in ("queued", "running"):
    assert time.monotonic() < deadline
    time.sleep(0.05)
print(now.state.value, [image.state for image in now.images], now.links["archive"] == f"/jobs/{made.id}/archive")
refused = reconstruct.sync_detailed(client=client, body=ReconstructBody(image=upload(), resolution=33))
print(int(refused.status_code), refused.parsed.type_)
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The folder that holds the package `monotwin_client`."""
    folder = tmp_path_factory.mktemp("client")
    command = [
        str(Path(sys.executable).with_name("openapi-python-client")),
        "generate",
        "--meta",
        "none",
        "--path",
        str(DESCRIPTION),
    ]
    ran = subprocess.run(
        [*command, "--output-path", str(folder / "monotwin_client")],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def test_a_generated_client_holds_a_conversation(generated, tiny_bundle, photo, tmp_path):
    (tmp_path / "photo.png").write_bytes(photo)
    with serving(tiny_bundle, tmp_path / "data") as (_, client):
        command = [sys.executable, "-c", CONVERSATION, str(client.base_url).rstrip("/"), str(tmp_path / "photo.png")]
        talked = subprocess.run(command, cwd=generated, capture_output=True, text=True, check=False)
    assert talked.returncode == 0, talked.stderr
    assert talked.stdout.splitlines() == [
        "ready ['tiny']",
        "200 b'glTF'",
        "succeeded [<ImageBodyState.SUCCEEDED: 'succeeded'>, <ImageBodyState.SUCCEEDED: 'succeeded'>] True",
        "422 urn:monotwin:problem:invalid-fields",
    ]
