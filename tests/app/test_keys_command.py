import pytest
import typer

from app.keys import find_key, read_keys
from app.keys_command import register
from model.errors import MonotwinError


@pytest.fixture
def run(tmp_path, capsys):
    """`run("add", "a")` with a file of the test's own; returns exit code, standard output and standard error."""
    file = tmp_path / "keys.toml"

    def command(*arguments):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command("other")(lambda: None)
        register(app)
        code = 0
        try:
            app(["keys", *arguments, "--file", str(file)])
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    command.file = file
    return command


def test_a_new_key_is_printed_once_and_kept_as_its_hash(run):
    code, secret, notice = run("add", "line-3")
    assert code == 0
    secret = secret.removesuffix("\n")
    assert len(secret) == 43
    assert secret not in notice
    (key,) = read_keys(run.file)
    assert find_key((key,), secret) is key
    assert (key.name, key.role, key.requests_per_minute) == ("line-3", "client", None)
    assert secret not in run.file.read_text()
    assert run.file.stat().st_mode & 0o777 == 0o600


def test_keys_differ(run):
    assert len({run("add", f"k{n}")[1] for n in range(5)}) == 5


def test_role_and_limit_are_kept_and_listed_without_any_hash(run):
    run("add", "line-3", "--requests-per-minute", "60")
    run("add", "boss", "--role", "admin")
    code, listed, _ = run("list")
    assert (code, listed) == (0, "line-3\tclient\t60/min\nboss\tadmin\n")


def test_a_removed_key_is_gone_and_the_others_stay(run):
    for name in ("a", "b", "c"):
        run("add", name)
    assert run("remove", "b")[0] == 0
    assert [key.name for key in read_keys(run.file)] == ["a", "c"]


@pytest.mark.parametrize(
    "arguments", [("add", "a"), ("add", "a b"), ("add", ""), ("add", "b\n"), ("add", 65 * "x"), ("remove", "z")]
)
def test_a_name_that_does_not_fit_is_wrong_usage_and_changes_nothing(run, arguments):
    run("add", "a")
    before = run.file.read_bytes()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "expected" in err
    assert run.file.read_bytes() == before


@pytest.mark.parametrize("arguments", [("add", "b", "--role", "root"), ("add", "b", "--requests-per-minute", "0")])
def test_an_option_out_of_range_is_wrong_usage(run, arguments):
    assert run(*arguments)[0] == 2
    assert not run.file.exists()


def test_a_broken_file_is_not_overwritten(run):
    run.file.write_text("[[key")
    with pytest.raises(MonotwinError, match="expected TOML"):
        run("add", "a")
    assert run.file.read_text() == "[[key"


def test_a_missing_file_is_an_error_of_the_system(run):
    with pytest.raises(FileNotFoundError):
        run("list")
