"""Starts the service, sends it a photo, and looks at the mesh that comes back.

    python docs/examples/demo.py [PHOTO]

Writes out/part.glb and out/part.png (the photo beside two views of the mesh). Exits with 1 when any step fails, or when the mesh
is not closed.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import trimesh
from PIL import Image, ImageOps

from model.mesh import Mesh
from model.preview import render_preview

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "docs" / "sample.png"
OUT = ROOT / "out"
SERVE = [str(Path(sys.executable).with_name("monotwin")), "serve"]
READY_SECONDS = 60
ANSWER_SECONDS = 300
STOP_SECONDS = 15
TILE = 384  # pixels a side, of each picture in out/part.png
VIEWS = ((0.0, 0.0), (-40.0, 15.0))  # azimuth and elevation, degrees: as the photo sees it, and turned


class DemoFailed(Exception):
    """A step went wrong; the message says which, and what the service said."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Reconstructs one photo through the service.")
    parser.add_argument("photo", type=Path, nargs="?", default=SAMPLE, help="default: docs/sample.png")
    photo = parser.parse_args().photo
    OUT.mkdir(exist_ok=True)
    try:
        with running_service(OUT / "service", OUT / "service.log") as client:
            answer = reconstruct(client, photo)
        (OUT / "part.glb").write_bytes(answer.content)
        print_stage_times(answer.headers["server-timing"])
        part = trimesh.load_mesh(io.BytesIO(answer.content), file_type="glb")
        print_mesh_facts(part)
        picture(photo, part).save(OUT / "part.png")
        print(f"\nWrote {OUT / 'part.glb'} and {OUT / 'part.png'}")
        if not (part.is_watertight and part.volume > 0):
            raise DemoFailed("the mesh: expected watertight with a positive volume")
    except (DemoFailed, OSError, httpx.HTTPError) as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def running_service(data_dir: Path, log: Path) -> Iterator[httpx.Client]:
    """A client of a service of our own that is ready; the service is stopped with SIGTERM on leaving."""
    port = free_port()
    command = [*SERVE, "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"MONOTWIN_DATA_DIR": str(data_dir)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        # trust_env=False: a proxy of the environment cannot reach this machine's loopback
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS, trust_env=False) as client:
            wait_until_ready(process, client, log)
            yield client
    finally:
        stop(process)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_until_ready(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    """Returns when /health/ready answers 200; raises DemoFailed with the log's end when the service ends or takes too long."""
    started = time.monotonic()
    while time.monotonic() - started < READY_SECONDS:
        if process.poll() is not None:
            raise DemoFailed(f"the service ended with exit code {process.returncode}:\n{last_lines(log)}")
        try:
            answer = client.get("/health/ready")
            if answer.status_code == httpx.codes.OK:
                print(f"Service ready after {time.monotonic() - started:.1f} s")
                return
            if answer.json().get("state") == "failed":
                raise DemoFailed(f"the service cannot start: {answer.json().get('detail')}")
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    raise DemoFailed(f"the service was not ready within {READY_SECONDS} s:\n{last_lines(log)}")


def last_lines(log: Path, count: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise DemoFailed(f"the service had not stopped {STOP_SECONDS} s after SIGTERM") from None


def reconstruct(client: httpx.Client, photo: Path) -> httpx.Response:
    """The service's answer to the photo: a GLB, with the stage times in its headers."""
    answer = client.post("/reconstruct", files={"image": (photo.name, photo.read_bytes())})
    if answer.status_code != httpx.codes.OK:
        raise DemoFailed(f"POST /reconstruct: expected 200, got {answer.status_code}: {answer.text}")
    return answer


def print_stage_times(server_timing: str) -> None:
    """Prints a `Server-Timing` header, such as `prepare;dur=12.5, encode;dur=80.1`, as a table."""
    print("\nstage          ms")
    for entry in server_timing.split(","):
        name, _, milliseconds = entry.strip().partition(";dur=")
        print(f"{name:<10} {float(milliseconds):>6.1f}")


def print_mesh_facts(part: trimesh.Trimesh) -> None:
    print(f"\nvertices   {len(part.vertices)}\nfaces      {len(part.faces)}\nwatertight {'yes' if part.is_watertight else 'no'}")
    print(f"volume     {part.volume:.5f} (cubed units of the file)")


def picture(photo: Path, part: trimesh.Trimesh) -> Image.Image:
    """The photo on white, and the mesh from two sides, in one row of square tiles."""
    mesh = Mesh(np.asarray(part.vertices, np.float32), np.asarray(part.faces, np.int32))
    views = [Image.fromarray(render_preview(mesh, azimuth, elevation, size=TILE)) for azimuth, elevation in VIEWS]
    row = Image.new("RGB", (TILE * (1 + len(views)), TILE), "white")
    for column, tile in enumerate([photo_tile(photo), *views]):
        row.paste(tile, (column * TILE, 0))
    return row


def photo_tile(photo: Path) -> Image.Image:
    with Image.open(photo) as opened:
        rgba = ImageOps.exif_transpose(opened).convert("RGBA")  # as the service turns a phone's photo
    rgba.thumbnail((TILE, TILE))
    tile = Image.new("RGB", (TILE, TILE), "white")
    tile.paste(rgba, ((TILE - rgba.width) // 2, (TILE - rgba.height) // 2), rgba)
    return tile


if __name__ == "__main__":
    sys.exit(main())
