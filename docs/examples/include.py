"""A mesh together with the mask that was used and a picture of it, from one request: python docs/examples/include.py"""

import email
import email.policy
from pathlib import Path

import httpx

SERVICE = "http://127.0.0.1:8000"
PHOTO = Path(__file__).parents[1] / "sample.png"
OUT = Path("out")


def main() -> None:
    answer = httpx.post(
        f"{SERVICE}/reconstruct",
        files={"image": PHOTO.read_bytes()},
        data={"include": "mask,preview", "resolution": "128"},
        timeout=120,
    )
    answer.raise_for_status()
    OUT.mkdir(exist_ok=True)
    for name, content in parts(answer.headers["Content-Type"], answer.content).items():
        (OUT / name).write_bytes(content)
        print(f"{OUT / name}: {len(content)} bytes")


def parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """File name -> content of each part of a multipart body."""
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return {str(part.get_filename()): part.get_payload(decode=True) for part in message.iter_parts()}


if __name__ == "__main__":
    main()
