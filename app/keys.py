"""The file of API keys: what it holds, how it is read and how it is written.

A key is 256 random bits, so that its plain SHA-256 is enough to keep: nobody can guess through 2^256 of them, and a slow hash
with salt, which passwords need, would only slow down every request.

    [[key]]
    name = "line-3"
    sha256 = "..."
    role = "client"           # or "admin"
    requests_per_minute = 60  # optional
"""

import hashlib
import hmac
import os
import secrets
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import MonotwinError

Role = Literal["client", "admin"]
NAME = r"^[A-Za-z0-9._-]{1,64}$"
KEY_BYTES = 32


class Key(BaseModel):
    """One entry of the file: who may call, as what, how often; not the key itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: Role = "client"
    requests_per_minute: Annotated[int, Field(ge=1, strict=True)] | None = None


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: tuple[Key, ...] = ()


def new_secret() -> str:
    """A new key: 32 random bytes in URL-safe base64, 43 characters."""
    return secrets.token_urlsafe(KEY_BYTES)


def sha256_of(secret: str) -> str:
    """What the file holds of a key. Latin-1, since that is how the bytes of a header arrive as text."""
    return hashlib.sha256(secret.encode("latin-1")).hexdigest()


def find_key(keys: tuple[Key, ...], secret: str) -> Key | None:
    """The entry of this key. All entries are compared, each in constant time, so that the time tells nothing."""
    digest = sha256_of(secret)
    matching = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return matching[0] if matching else None


def read_keys(path: Path) -> tuple[Key, ...]:
    """The entries in order, maybe none. Raises MonotwinError for what is not as expected, OSError for what cannot be read."""
    try:
        keys = _KeysFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).key
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise MonotwinError(f"keys file {path}: {place}: {first['msg']}, found {first['input']!r}") from error
    except ValueError as error:  # no UTF-8, no TOML
        raise MonotwinError(f"keys file {path}: expected TOML, found something else: {error}") from error
    for member in ("name", "sha256"):
        values = [getattr(key, member) for key in keys]
        if repeated := next((value for value in values if values.count(value) > 1), None):
            raise MonotwinError(f"keys file {path}: expected each {member} once, found {repeated} again")
    return keys


def write_keys(path: Path, keys: tuple[Key, ...]) -> None:
    """Replace the file as a whole; only its owner may read it. A link stays a link, and root leaves the file to its owner."""
    path = path.resolve()
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(map(_entry, keys)))
            file.flush()
            os.fsync(file.fileno())
            if path.exists() and os.geteuid() == 0:  # a service that runs as another user must still be able to read it
                os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _entry(key: Key) -> str:
    """One entry in TOML. No value can hold a quote: the patterns of `Key` see to that."""
    limit = "" if key.requests_per_minute is None else f"requests_per_minute = {key.requests_per_minute}\n"
    return f'[[key]]\nname = "{key.name}"\nsha256 = "{key.sha256}"\nrole = "{key.role}"\n{limit}'
