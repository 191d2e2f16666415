"""`monotwin keys`: the file of API keys, from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from app.keys import Key

KeysFile = Annotated[Path, typer.Option("--file", help="The keys file, which MONOTWIN_KEYS_FILE names to the service.")]
Name = Annotated[str, typer.Argument(help="Who uses the key: letters, digits, '.', '_' and '-', at most 64.")]


def register(app: typer.Typer) -> None:
    """Add `keys add`, `keys list` and `keys remove`."""
    keys = typer.Typer(help="Make and remove API keys. A running service notices by itself.", no_args_is_help=True)
    keys.command("add")(add)
    keys.command("list")(show)
    keys.command("remove")(remove)
    app.add_typer(keys, name="keys")


def add(
    name: Name,
    file: KeysFile,
    role: Annotated[Literal["client", "admin"], typer.Option(help="admin may call /admin/* too.")] = "client",
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Limit of this key; by default MONOTWIN_REQUESTS_PER_MINUTE.")
    ] = None,
) -> None:
    """Make a key and print it, this once: the file holds only its SHA-256."""
    import re

    from app.keys import NAME, Key, new_secret, sha256_of, write_keys

    if not re.fullmatch(NAME, name):
        raise typer.BadParameter(f"expected at most 64 letters, digits, '.', '_' and '-', found {name!r}", param_hint="NAME")
    keys = _read(file) if file.exists() else ()
    if name in (key.name for key in keys):
        raise typer.BadParameter(f"expected a new name, found {name} in {file}", param_hint="NAME")
    secret = new_secret()
    key = Key(name=name, sha256=sha256_of(secret), role=role, requests_per_minute=requests_per_minute)
    write_keys(file, (*keys, key))
    typer.echo(secret)
    typer.echo(f"monotwin: {file}: {name} may call now; keep the key, it cannot be shown again", err=True)


def show(file: KeysFile) -> None:
    """Print each key's name, role and limit."""
    for key in _read(file):
        limit = "" if key.requests_per_minute is None else f"\t{key.requests_per_minute}/min"
        typer.echo(f"{key.name}\t{key.role}{limit}")


def remove(name: Name, file: KeysFile) -> None:
    """Take a key back."""
    from app.keys import write_keys

    keys = _read(file)
    left = tuple(key for key in keys if key.name != name)
    if len(left) == len(keys):
        raise typer.BadParameter(
            f"expected one of {', '.join(key.name for key in keys) or 'none'}, found {name}", param_hint="NAME"
        )
    write_keys(file, left)


def _read(file: Path) -> "tuple[Key, ...]":
    from app.keys import read_keys

    return read_keys(file)
