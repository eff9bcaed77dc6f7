"""The ``circuits`` command: finding subcommands, exit codes, and files written at once."""

import os
import stat
from pathlib import Path

import jax
import pytest

from circuits import cli
from circuits.cli import UsageError, main, usage
from circuits.files import check_writable, write_text

COMMANDS = """
import jax
ran = []
def greet(name: str, times: int = 1) -> int:
    '''Say hello.'''
    ran.append((name, times, jax.config.read("jax_enable_x64")))
    return 7
def quiet() -> None: pass
def refuses() -> int:
    from circuits.cli import usage
    with usage():
        raise ValueError("name: must be short, got 'x'")
def breaks() -> int: raise ValueError("a bug")
def stops() -> int: raise KeyboardInterrupt
"""


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A distribution with subcommands, one of which can't be imported."""
    info = tmp_path / "fake-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    names = ("greet", "quiet", "refuses", "breaks", "stops")
    points = [f"{name} = fake_commands:{name}" for name in names] + ["lame = fake_lame:run"]
    (info / "entry_points.txt").write_text("\n".join(["[test.commands]", *points, ""]))
    (tmp_path / "fake_commands.py").write_text(COMMANDS)
    (tmp_path / "fake_lame.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cli, "GROUP", "test.commands")


@pytest.mark.usefixtures("commands")
def test_a_subcommand_gets_its_arguments_and_float64():
    import fake_commands  # pyright: ignore[reportMissingImports]

    jax.config.update("jax_enable_x64", False)
    assert main(["greet", "--name", "you", "--times", "3"]) == 7
    assert fake_commands.ran[-1] == ("you", 3, True)
    assert main(["quiet"]) == 0


@pytest.mark.usefixtures("commands")
def test_bad_usage_exits_2_with_a_message_alone(capsys):
    assert main(["refuses"]) == 2
    assert capsys.readouterr().err == "circuits: name: must be short, got 'x'\n"
    assert main(["lame"]) == 2
    assert capsys.readouterr().err == "circuits: lame: needs the package no_such_package, which is not installed\n"
    assert main(["greet", "--nome", "you"]) == 2
    assert "--nome" in capsys.readouterr().err


@pytest.mark.usefixtures("commands")
def test_a_bug_keeps_its_traceback():
    with pytest.raises(ValueError, match="a bug"):
        main(["breaks"])


@pytest.mark.usefixtures("commands")
def test_ctrl_c_exits_130(capsys):
    assert main(["stops"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_help_and_unknown_subcommands(capsys):
    assert main(["--help"]) == 0
    assert "Decide every claim" in capsys.readouterr().out
    assert main(["verify", "--help"]) == 0
    assert "--only" in capsys.readouterr().out
    assert main(["verfy"]) == 2
    assert "verify" in capsys.readouterr().err
    assert main([]) == 2


def test_no_subcommand_at_all(monkeypatch, capsys):
    monkeypatch.setattr(cli, "GROUP", "no.such.group")
    assert main(["verify"]) == 2
    assert "no subcommand is installed" in capsys.readouterr().err


def test_usage_turns_value_errors_alone_into_usage_errors():
    with pytest.raises(UsageError, match="too short"), usage():
        raise ValueError("too short")
    with pytest.raises(TypeError), usage():
        raise TypeError


def test_write_text_replaces_at_once_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "∂L\n")
    assert path.read_bytes() == "∂L\n".encode()
    path.chmod(0o640)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.txt"]


def test_write_text_keeps_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_write_text_follows_links_and_writes_through_pipes(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    check_writable("--json", tmp_path / "link")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"
    check_writable("--json", Path(os.devnull))
    write_text(Path(os.devnull), "text")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("missing/a", "must be in a folder that exists"),
        ("folder", "must be a file, not a folder"),
        ("file/a", "must be in a folder that exists"),
        ("x" * 300, "must be writable"),
    ],
)
def test_check_writable_names_argument_rule_and_path(tmp_path, name, rule):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=f"--json: {rule}, got '{tmp_path / name}'"):
        check_writable("--json", tmp_path / name)


def test_check_writable_refuses_a_read_only_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write to any
    with pytest.raises(ValueError, match="--json: must be writable, got"):
        check_writable("--json", path)


def test_check_writable_leaves_nothing_behind(tmp_path):
    check_writable("--json", tmp_path / "a")
    assert os.listdir(tmp_path) == []
