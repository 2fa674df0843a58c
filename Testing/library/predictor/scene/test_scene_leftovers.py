"""What a crash left in the temporary folder goes a day later; what is ours, old and untouched, and nothing else."""

import os
import tempfile
import time

import pytest
from CHMFLPredictorLib.scene import leftovers


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def age(path, hours):
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def test_what_a_crash_left_is_swept(folder):
    for name in ("chmfl-old", "chmfl-young", "chmfl-at-work", "CHMFL-kept-old", "other-old"):
        (folder / name).mkdir()
        (folder / name / "PET.nrrd").write_bytes(b"voxels")
        for path in (folder / name / "PET.nrrd", folder / name):
            age(path, 1 if name == "chmfl-young" else 25)
    age(folder / "chmfl-at-work", 0)  # as a batch says at each patient
    (folder / "chmfl-file").write_text("no folder")
    age(folder / "chmfl-file", 25)
    (folder / "chmfl-link").symlink_to(folder / "other-old")
    leftovers.sweep()
    left = {path.name for path in folder.iterdir()}
    assert left == {
        "chmfl-young", "chmfl-at-work", "CHMFL-kept-old", "other-old", "chmfl-file", "chmfl-link"
    }  # fmt: skip
    assert (folder / "other-old" / "PET.nrrd").is_file()


def test_a_run_s_own_folder_is_found_again(folder):
    with leftovers.temporary_folder() as name:
        leftovers.sweep()
        assert os.path.isdir(name)
        age(name, 25)
        leftovers.sweep()
        assert not os.path.exists(name)


def test_what_was_computed_is_kept(folder):
    (folder / "run" / "output").mkdir(parents=True)
    (folder / "run" / "output" / "result.json").write_text("{}")
    kept = leftovers.keep(folder / "run" / "output")
    assert (kept / "result.json").read_text() == "{}" and not (folder / "run" / "output").exists()
    assert leftovers.keep(folder / "nowhere") is None
    assert {path.name for path in folder.iterdir()} == {"run", kept.parent.name}
