"""The manifest of measured data: every way in which files may differ from those that it lists."""

import pytest
import yaml

from proofs_check.ledger import data
from proofs_check.ledger.data import check_data, read_manifest, verified_folder, verified_folders, write_entry

NAME = "set/run-0"


@pytest.fixture
def root(tmp_path):
    (tmp_path / NAME / "inner").mkdir(parents=True)
    (tmp_path / NAME / "config.json").write_text("{}")
    (tmp_path / NAME / "inner" / "values.bin").write_bytes(b"\0\1")
    write_entry(NAME, "circuits train", "abc1234", tmp_path)
    yield tmp_path
    read_manifest.cache_clear()


def test_a_folder_that_matches_the_manifest_is_verified(root):
    assert verified_folder(NAME, root) == root / NAME
    command, commit, files = read_manifest(root)[NAME]
    assert (command, commit, list(files)) == ("circuits train", "abc1234", ["config.json", "inner/values.bin"])
    check_data([NAME, "set"], root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "config.json").write_text("{ }"), r"config\.json: must have the checksum"),
        (lambda run: (run / "config.json").unlink(), r"config\.json: must exist"),
        (lambda run: (run / "more.json").write_text("{}"), r"more\.json: must be listed"),
        (lambda run: (run / "inner" / "values.bin").write_bytes(b"\0"), r"inner/values\.bin: must have the checksum"),
        (lambda run: (run.parent / "run-1").mkdir() or (run.parent / "run-1" / "a").write_text(""), "set/run-1"),
        (lambda run: (run.parent / "stray.json").write_text(""), "must be listed in manifest.yaml, got 'set'"),
    ],
)
def test_a_file_that_differs_from_the_manifest_is_refused(root, change, message):
    change(root / NAME)
    with pytest.raises(ValueError, match=message):
        check_data(["set"], root)


def test_a_name_that_is_not_listed_is_refused(root):
    for name in ("set/run-1", "se", "set/run-0/inner", "other"):
        with pytest.raises(ValueError, match="must be listed"):
            check_data([name], root)


def test_a_name_covers_the_folders_below_it_only(root):
    (root / "set-2").mkdir()
    (root / "set-2" / "a").write_text("")
    assert verified_folders("set", root) == (root / NAME,)


def test_planned_data_are_none_until_they_exist(root):
    write_entry("later/all", "circuits train", "abc1234", root)
    assert verified_folder("later/all", root) is None
    assert verified_folders("later", root) == ()
    (root / "later" / "all" / "run-0").mkdir(parents=True)
    (root / "later" / "all" / "run-0" / "a").write_text("1")
    with pytest.raises(ValueError, match="must be listed"):
        verified_folders("later/all", root)
    write_entry("later/all/run-0", "circuits train", "abc1234", root)  # replaces the plan
    assert verified_folders("later/all", root) == (root / "later" / "all" / "run-0",)
    assert list(read_manifest(root)) == ["later/all/run-0", NAME]


def test_an_entry_needs_a_command_a_commit_and_a_folder_inside(root, monkeypatch):
    with pytest.raises(ValueError, match="command: must say how"):
        write_entry(NAME, " ", "abc1234", root)
    with pytest.raises(ValueError, match="name: must be a folder below"):
        write_entry("../other", "circuits train", "abc1234", root)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="commit: must be given"):
        write_entry(NAME, "circuits train", root=root)


@pytest.mark.parametrize(
    "text", ["- a list", "set/run-0: {command: x}", "set/run-0: {command: x, commit: y, files: 3}"]
)
def test_a_damaged_manifest_is_named(root, text):
    (root / data.MANIFEST).write_text(text)
    read_manifest.cache_clear()
    with pytest.raises(ValueError, match=r"manifest\.yaml: must map names"):
        verified_folder(NAME, root)


def test_the_command_line_writes_an_entry_and_checks_all(root, monkeypatch, capsys):
    monkeypatch.setattr(data, "MEASURED", root)
    (root / NAME / "config.json").write_text("[]")
    data.main(NAME, "circuits train --steps 2", "def5678")
    data.main()
    assert "2 files, commit def5678" in capsys.readouterr().out
    assert yaml.safe_load((root / data.MANIFEST).read_text())[NAME]["command"] == "circuits train --steps 2"
