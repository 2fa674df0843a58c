"""Fetching the public cohort, from a server on loopback: whole files only, the rest another time, nothing hidden."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from CHMFLPredictorLib.errors import BadInput
from CHMFLTrainingLib.cohort import public
from CHMFLTrainingLib.cohort.cohort import read_cohort

PATIENTS = ("STS_001", "STS_006")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def served(tmp_path):
    """A folder laid out as at the public address, and the address under which it is served."""
    source = tmp_path / "served"
    for name in PATIENTS:
        (source / name).mkdir(parents=True)
        for kind in public.FILES.values():
            (source / name / kind).write_bytes(gzip.compress(f"{name} {kind}".encode() * 200))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=source))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield source, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _download(address, folder, **more):
    return public.download(folder, address=address, patients=PATIENTS, **{"sha256": {}, **more})


def test_all_files_come_as_they_are(served, tmp_path):
    source, address = served
    told = []
    assert _download(address, tmp_path / "sts", on_progress=lambda *now: told.append(now)) == list(PATIENTS)
    for name in PATIENTS:
        for kind, original in public.FILES.items():
            found = (tmp_path / "sts" / "images" / name / f"{kind}.nii.gz").read_bytes()
            assert found == (source / name / original).read_bytes()
    assert told == [(number, 6) for number in range(1, 7)]
    assert not list((tmp_path / "sts").rglob(".*"))


def test_what_is_missing_is_named_and_comes_the_next_time(served, tmp_path):
    source, address = served
    file = source / "STS_001" / "CT_image.nii.gz"
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(BadInput) as caught:
        _download(address, tmp_path / "sts")
    assert caught.value.code == "download_incomplete"
    assert "STS_001/CT_image.nii.gz" in caught.value.message and "1 of 6" in caught.value.message
    path = public.write_public_cohort(tmp_path / "sts")
    assert [one.patient_id for one in read_cohort(path)] == ["STS_006"]
    file.write_bytes(whole)
    here = tmp_path / "sts" / "images" / "STS_006" / "PET.nii.gz"
    before = here.stat().st_mtime_ns
    _download(address, tmp_path / "sts")
    assert here.stat().st_mtime_ns == before
    assert [one.patient_id for one in read_cohort(public.write_public_cohort(tmp_path / "sts"))] == [*PATIENTS]


@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda data: b"version https://git-lfs.github.com/spec/v1"])
def test_a_damaged_file_is_not_kept(served, tmp_path, change):
    source, address = served
    file = source / "STS_006" / "PET_image.nii.gz"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BadInput, match="STS_006/PET_image"):
        _download(address, tmp_path / "sts")
    assert not (tmp_path / "sts" / "images" / "STS_006" / "PET.nii.gz").exists()
    assert not list((tmp_path / "sts").rglob(".*"))


def test_another_file_than_the_known_one_is_refused(served, tmp_path):
    source, address = served
    name = "STS_006/CT_mask.nii.gz"
    right = hashlib.sha256((source / name).read_bytes()).hexdigest()
    _download(address, tmp_path / "right", sha256={name: right})
    with pytest.raises(BadInput, match="SHA-256"):
        _download(address, tmp_path / "wrong", sha256={name: "0" * 64})


def test_outcomes_are_joined_by_patient(served, tmp_path):
    _download(served[1], tmp_path / "sts")
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text("patient_id,label,time,event,grade\nSTS_006,1,133,1,High\nSTS_050,0,,,\n", encoding="utf-8")
    without, with_one = read_cohort(public.write_public_cohort(tmp_path / "sts", outcomes))
    assert without.label is None and without.patient_id == "STS_001"
    assert (with_one.label, with_one.time, with_one.event, with_one.clinical) == (1, 133.0, 1, {"grade": "High"})


def test_no_server_is_said(tmp_path):
    with pytest.raises(BadInput, match="6 of 6 files"):
        _download("http://127.0.0.1:9", tmp_path / "sts")
    with pytest.raises(BadInput) as caught:
        public.write_public_cohort(tmp_path / "sts")
    assert caught.value.code == "cohort_unreadable"


def test_the_addresses_and_checksums_are_those_of_the_samples():
    """The panel's sample data name the same files."""
    from CHMFLPredictorLib.scene import samples

    text = open(samples.__file__, encoding="utf-8").read()
    assert all(digest in text for name, digest in public.SHA256.items() if "mask" not in name)
