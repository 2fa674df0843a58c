"""Devices are named, and a GPU that PyTorch has no code for is recognized before it fails. No GPU is needed here."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from CHMFLPredictorLib.commands.cli import main
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.network import devices, engines

CU126 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
GPUS = {  # name: CUDA capability
    "Tesla K80": (3, 7),
    "GeForce GTX 1080": (6, 1),
    "GeForce RTX 3060": (8, 6),
    "GeForce RTX 4090": (8, 9),
    "H100": (9, 0),
    "GeForce RTX 5090": (12, 0),
}


def fake_torch(*gpus, built_for=CU126, broken=(), version="2.7.0+cu126", cuda="12.6"):
    """The part of torch that devices.py asks, with GPUs of our choice."""

    def capability(index):
        if index in broken:
            raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCompile with ...")
        return GPUS[gpus[index]]

    return SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=cuda),
        get_num_threads=lambda: 6,
        cuda=SimpleNamespace(
            is_available=lambda: bool(gpus),
            device_count=lambda: len(gpus),
            get_device_name=lambda index: gpus[index],
            get_device_capability=capability,
            get_arch_list=lambda: list(built_for),
            get_device_properties=lambda index: SimpleNamespace(name=gpus[index], total_memory=12 * 2**30),
        ),
    )


@pytest.fixture(autouse=True)
def no_driver(monkeypatch):
    """Whatever GPU this computer has, the tests see the ones that they make up."""
    monkeypatch.setattr(devices, "driver_gpus", list)


@pytest.mark.parametrize(
    ("gpu", "built_for", "works"),
    [
        ("GeForce RTX 3060", CU126, True),
        ("GeForce RTX 4090", CU126, True),  # 8.9 runs the machine code of 8.6
        ("GeForce GTX 1080", CU126, True),
        ("Tesla K80", CU126, False),
        ("GeForce RTX 5090", CU126, False),
        ("GeForce RTX 5090", [*CU126, "compute_90"], True),  # translated by the driver
        ("GeForce RTX 5090", [*CU126, "sm_90a", "compute_90a"], False),  # a: that GPU alone
        ("GeForce RTX 5090", ["sm_100", "sm_120"], True),
        ("GeForce RTX 5090", ["sm_120f"], True),
        ("GeForce RTX 5090", ["sm_100f"], False),  # f: its family, the same major number
        ("H100", ["sm_90a"], True),
        ("GeForce RTX 3060", ["sm_89"], False),  # machine code never runs on an older minor number
        ("H100", ["gfx90a", "gfx1100"], True),  # another maker's names: PyTorch decides
        ("H100", [], True),
    ],
)
def test_capability_against_what_torch_was_built_for(gpu, built_for, works):
    problem = devices.gpu_problem(fake_torch(gpu, built_for=built_for), 0)
    assert (problem == "") == works
    if not works:
        assert gpu in problem and "2.7.0+cu126" in problem and ".".join(map(str, GPUS[gpu])) in problem


def test_a_gpu_that_cannot_be_opened_is_a_problem_and_no_crash():
    torch = fake_torch("H100", broken=[0])
    assert "busy or unavailable" in devices.gpu_problem(torch, 0)
    assert "Compile with" not in devices.gpu_problem(torch, 0)
    assert devices.choose(torch, "auto")[0] == "cpu"


def test_auto_takes_the_first_gpu_that_works():
    assert devices.choose(fake_torch("H100"), "auto") == ("cuda:0", "")
    assert devices.choose(fake_torch(), "auto") == ("cpu", "")
    assert devices.choose(fake_torch("H100"), "cpu") == ("cpu", "")
    device, passed_over = devices.choose(fake_torch("GeForce RTX 5090", "H100"), "auto")
    assert device == "cuda:1" and "RTX 5090" in passed_over
    assert devices.choose(fake_torch("GeForce RTX 5090", "H100"), "cuda")[0] == "cuda:1"
    device, passed_over = devices.choose(fake_torch("GeForce RTX 5090"), "auto")
    assert device == "cpu" and "RTX 5090" in passed_over


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_a_gpu_asked_for_that_cannot_work_is_an_error(wanted):
    with pytest.raises(BadInput) as caught:
        devices.choose(fake_torch("GeForce RTX 5090", "H100" if wanted == "cuda:0" else "Tesla K80"), wanted)
    assert caught.value.code == "gpu_unsupported"
    assert "RTX 5090" in caught.value.message and "PyTorch Utils" in caught.value.hint and "cpu" in caught.value.hint


@pytest.mark.parametrize("wanted", ["cuda", "cuda:2"])
def test_a_gpu_that_is_not_there(wanted):
    with pytest.raises(BadInput) as caught:
        devices.choose(fake_torch(*(["H100"] if wanted == "cuda:2" else [])), wanted)
    assert caught.value.code == "gpu_absent"


def test_description():
    found = devices.describe(fake_torch("H100", "GeForce RTX 5090"))
    assert [one["device"] for one in found] == ["cuda:0", "cuda:1", "cpu"]
    assert found[0] == {"device": "cuda:0", "name": "H100", "memory_gb": 12.0, "problem": ""}
    assert "12.0" in found[1]["problem"]
    assert found[2]["threads"] == 6 and found[2]["problem"] == "" and found[2]["name"]
    assert 0.5 < found[2]["memory_gb"] < 100_000


@pytest.mark.parametrize(
    ("version", "cuda", "words"),
    [("2.7.0+cpu", None, "built without CUDA"), ("2.7.0+cu126", "12.6", "driver may be too old")],
)
def test_a_gpu_that_pytorch_does_not_see_is_told(monkeypatch, version, cuda, words):
    monkeypatch.setattr(devices, "driver_gpus", lambda: [("NVIDIA RTX A2000", 5.99)])
    torch = fake_torch(version=version, cuda=cuda)
    gpu, cpu = devices.describe(torch)
    assert gpu["name"] == "NVIDIA RTX A2000" and words in gpu["problem"] and cpu["device"] == "cpu"
    text = devices.report_text(devices.report(torch))
    assert "cannot be used" in text and words in text and "PyTorch Utils" in text and "* cpu" in text


def test_the_drivers_own_tool_is_read(monkeypatch, tmp_path):
    monkeypatch.undo()
    said = "NVIDIA GeForce RTX 4090, 24564\nNVIDIA GB10, [N/A]\n\n"
    monkeypatch.setattr(devices.shutil, "which", lambda name: name)
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    assert devices.driver_gpus() == [
        ("NVIDIA GeForce RTX 4090", pytest.approx(23.988, abs=0.01)),
        ("NVIDIA GB10", None),
    ]

    def fails(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    monkeypatch.setattr(devices.subprocess, "run", fails)
    assert devices.driver_gpus() == []


def test_command(capsys):
    import torch

    assert main(["devices"]) == 0
    text = capsys.readouterr().out
    assert torch.__version__ in text and devices.cpu_name() in text
    assert main(["devices", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["event"] == "result" and event["torch"] == torch.__version__
    assert event["devices"][-1]["device"] == "cpu"
    assert event["auto"] in {one["device"] for one in event["devices"]}


def test_command_where_torch_is_absent(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["devices", "--json"]) == 5
    event = json.loads(capsys.readouterr().out)
    assert event["code"] == "dependency_missing" and "PyTorch extension" in event["hint"]


def test_an_engine_says_that_it_passed_a_gpu_over(monkeypatch):
    from CHMFLPredictorLib.network.presets import PRESETS
    from random_networks import random_network

    config = PRESETS["smoke"].network
    monkeypatch.setattr(engines, "choose", lambda torch, wanted: ("cpu", "The GPU is too new."))
    opened = engines.open_engine([random_network(config)], (2, *config.input_size), engine="torch")
    (said,) = opened.warnings
    assert said["code"] == "gpu_unsupported"
    assert said["text"].startswith("The GPU is too new. The CPU computes instead")
