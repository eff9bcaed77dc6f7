"""Files are written whole or not at all, and a damaged one is an error."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from circuits import files

ARRAYS = {"b": np.arange(6, dtype=np.int32).reshape(2, 3), "a": np.array(0.5)}


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_text(str(path), "old")

    def fails(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="the disk is full"):
            files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_mode_of_the_old_one_and_a_link_stays_a_link(tmp_path):
    path, link = tmp_path / "a.txt", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    files.write_text(link, "ä")
    assert path.read_text(encoding="utf-8") == "ä"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_and_not_replaced():
    files.check_writable("out", "/dev/null")
    files.write_bytes(Path("/dev/null"), b"x")
    assert Path("/dev/null").is_char_device()


def test_arrays_are_read_back_and_damage_is_named(tmp_path):
    path = tmp_path / "arrays.npz"
    files.write_arrays(path, ARRAYS)
    read = files.read_arrays(str(path))
    assert list(read) == ["b", "a"]
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text", whole.replace(b"NUMPY", b"NUMPX")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"arrays\.npz: must be a whole npz file"):
            files.read_arrays(path)


def test_what_cannot_be_written_is_an_error_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    files.check_writable("out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    cases = {
        tmp_path: "out: must be a file, not a folder",
        tmp_path / "none" / "a": "out: must be in a folder that exists",
        tmp_path / ("x" * 300): "out: must be writable",
    }
    for path, message in cases.items():
        with pytest.raises(ValueError, match=message):
            files.check_writable("out", path)
    files.check_folder(tmp_path / "new" / "deeper")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="out: must be a folder to write in"):
        files.check_folder(tmp_path / "file" / "deeper")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="out: must be a folder to write in"):
        files.check_folder(tmp_path)
    with pytest.raises(ValueError, match="out: must be writable"):
        files.check_writable("out", tmp_path / "file")


def test_writing_makes_the_folder_and_names_it_in_errors(tmp_path):
    with files.writing(tmp_path / "a" / "b"):
        pass
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(ValueError, match="out: must be a folder to write in, got .*a/b.* (full)"), files.writing(
        tmp_path / "a" / "b"
    ):
        raise OSError(28, "full")


def test_checksums_are_those_of_every_earlier_release(tmp_path):
    """They are stored in checkpoints: what goes into them must not change."""
    assert files.checksum(b"ab", memoryview(b"c")) == files.checksum(b"abc")
    assert files.checksum(b"abc").startswith("bddd813c634239723171ef3fee98579b")
    assert files.array_entry("b", ARRAYS["b"])["digest"].startswith(ENTRY)
    assert files.arrays_checksum(ARRAYS).startswith(ALL)
    assert files.arrays_checksum(dict(reversed(ARRAYS.items()))).startswith(ALL)
    assert files.arrays_checksum({"b": np.asfortranarray(ARRAYS["b"]), "a": ARRAYS["a"]}).startswith(ALL)
    others = [ARRAYS | {"b": ARRAYS["b"].reshape(3, 2)}, ARRAYS | {"b": ARRAYS["b"].view(np.float32)}]
    assert not any(files.arrays_checksum(other).startswith(ALL) for other in others)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").write_bytes(b"abc")
    assert files.file_checksums(tmp_path, "sub") == {"sub/x": files.checksum(b"abc")}


def test_a_manifest_is_checked_by_its_own_checksum(tmp_path):
    manifest, path = files.with_checksum({"step": 3, "name": "a"}), tmp_path / "manifest.json"
    assert manifest["digest"].startswith(MANIFEST)
    path.write_text(json.dumps(manifest))
    assert files.read_checked(path) == manifest
    for changed in (manifest | {"step": 4}, {"step": 3, "name": "a"}, manifest | {"more": 1}):
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=r"manifest\.json: must have its own checksum"):
            files.read_checked(path)


def test_entries_that_differ_or_are_missing_are_named():
    files.check_entries({"a": 1}, {"a": 1, "b": 2})
    with pytest.raises(ValueError, match="a: must be as saved, got 'other bytes'"):
        files.check_entries({"a": 1}, {"a": 2})
    with pytest.raises(ValueError, match="a: must be as saved, got 'nothing'"):
        files.check_entries({"a": 1}, {})
