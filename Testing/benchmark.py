"""How fast and how large a prediction is, against plain PyTorch (eager, float32) of the same network in the same run.

    python3 Testing/run.py benchmark [--quick] [--only network,memory,command] [--output FILE]
    python3 Testing/run.py benchmark train [options]     (training; see benchmark_train.py)

- network: risk alone and the full prediction (risk and segmentation) of the ``paper`` network at 1 mm and of a member
  of the ``compact`` one, by each engine; medians, engines taking turns, so that other work on the computer hits all
  of them. Share of preprocessing.
- memory: the most memory that a process ever held which does nothing but one prediction.
- command: the command line on patient STS_006 with the model that ships, from the start of the process to the risk,
  to the segmentation and to the end. Without ../shared/data/sts beside the repository: the phantom.

The weights of ``network`` and ``memory`` are random: speed does not depend on them. A benchmark, not a test: it
passes whatever it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from measuring import REPOSITORY, computer, log, peak_bytes

PACKAGES = REPOSITORY / "CHMFLPredictor"
PATIENT = REPOSITORY.parent / "shared" / "data" / "sts" / "images" / "STS_006"
SECTIONS = ("network", "memory", "command")
AIMS = {"peak_gb": 3.0, "other_s": 3.0}
sys.path.insert(0, str(PACKAGES))


def main() -> int:
    """Measure, print a table in Markdown, write JSON."""
    if sys.argv[1:2] == ["train"]:
        import benchmark_train

        return benchmark_train.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--repeats", type=int, default=5, help="runs behind each median (5)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    parser.add_argument("--quick", action="store_true", help="one run each: for trying the benchmark out")
    parser.add_argument("--child", nargs=2, metavar=("ENGINE", "WHAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats
    if options.child:
        print(json.dumps(peak_of_one_prediction(*options.child, options.threads)))
        return 0
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"--only knows {', '.join(SECTIONS)}; not {', '.join(sorted(unknown))}")
    results = {"computer": computer(options.threads), "repeats": repeats}
    for section in chosen:
        log(f"{section} ...")
        results[section] = globals()[f"measure_{section}"](options.threads, repeats)
    print(markdown(results))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


# network -------------------------------------------------------------------------------------------------------------


def make_network(preset: str):
    """A network of random weights, made without initializing a gigabyte twice."""
    import torch
    from CHMFLPredictorLib.network.chmfl import build_network
    from CHMFLPredictorLib.network.presets import PRESETS
    from torch import nn

    with torch.device("meta"):
        network = build_network(PRESETS[preset].network)
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            nn.init.normal_(module.weight, 0, module.weight[0].numel() ** -0.5)
            nn.init.zeros_(module.bias)
    return network.eval()


def make_inputs(preset: str):
    import numpy as np
    from CHMFLPredictorLib.network.presets import PRESETS

    size = PRESETS[preset].network.input_size
    return np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)


def engines() -> list[str]:
    return ["eager", "torch"] + (["openvino"] if find_spec("openvino") else [])


def measure_network(threads: int, repeats: int) -> dict:
    result = {preset: measure_preset(preset, threads, repeats) for preset in ("compact", "paper")}
    seconds = statistics.median(preprocessing_seconds("paper") for _ in range(repeats))
    full = result["paper"][result["paper"]["auto"]]["full_s"]
    result["preprocessing"] = {"seconds": seconds, "share_of_full": seconds / (seconds + full)}
    return result


def measure_preset(preset: str, threads: int, repeats: int) -> dict:
    """Medians of each engine, which take turns."""
    from CHMFLPredictorLib.network.engines import open_engine

    inputs, running, times = make_inputs(preset), {}, {}
    head = None
    for engine in engines():
        network = make_network(preset)
        # one head for all, nothing changes it: a gigabyte each otherwise
        head = network.head = head or network.head
        begin = time.perf_counter()
        running[engine] = open_engine([network], inputs.shape, device="cpu", engine=engine, threads=threads)
        times[engine] = {"open": time.perf_counter() - begin, "risk": [], "segmentation": []}
        running[engine].log_odds(inputs)  # the first call of an engine is not like the others
        if preset != "paper":
            running[engine].tumor_probability(inputs)
    for number in range(repeats):
        for engine, one in running.items():
            begin = time.perf_counter()
            one.log_odds(inputs)
            middle = time.perf_counter()
            one.tumor_probability(inputs)
            times[engine]["risk"].append(middle - begin)
            times[engine]["segmentation"].append(time.perf_counter() - middle)
            log(f"  {preset} {number + 1}/{repeats} {engine}: {time.perf_counter() - begin:.2f} s")
    return {"auto": auto_engine(), **{engine: summary(times[engine], times["eager"]) for engine in running}}


def auto_engine() -> str:
    """The engine that a prediction on the CPU takes by itself."""
    import torch
    from CHMFLPredictorLib.network.engines import best_engine

    return best_engine(torch.device("cpu"))


def summary(times: dict, eager: dict) -> dict:
    """Eager computes risk and segmentation from one encoding; so its full time has the encoder once."""
    risk, segmentation = statistics.median(times["risk"]), statistics.median(times["segmentation"])
    # what eager's segmentation takes already includes the encoder; its head costs next to nothing
    both = [sum(pair) for pair in zip(times["risk"], times["segmentation"], strict=True)]
    full = segmentation if times is eager else statistics.median(both)
    eager_risk, eager_full = statistics.median(eager["risk"]), statistics.median(eager["segmentation"])
    return {
        "open_s": times["open"],
        "risk_s": risk,
        "full_s": full,
        "risk_ratio": eager_risk / risk,
        "full_ratio": eager_full / full,
    }


def patient_files() -> tuple[str, Path, Path]:
    """Name, PET and CT of the patient, or of the phantom."""
    if (PATIENT / "PET.nii.gz").is_file():
        return PATIENT.name, PATIENT / "PET.nii.gz", PATIENT / "CT.nii.gz"
    from CHMFLPredictorLib.phantom.phantom import write_phantom

    folder = Path(tempfile.gettempdir()) / f"chmfl-benchmark-phantom-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    write_phantom(folder)
    return "phantom", folder / "PET.nii.gz", folder / "CT.nii.gz"


def preprocessing_seconds(preset: str) -> float:
    """From images in memory to the network's input."""
    from CHMFLPredictorLib.network.preprocessing import prepare
    from CHMFLPredictorLib.network.presets import PRESETS
    from CHMFLPredictorLib.reading.volumes import read_ct, read_pet
    from CHMFLPredictorLib.tumor.location import find

    _, pet_path, ct_path = patient_files()
    pet, ct = read_pet(pet_path).image, read_ct(ct_path).image
    preprocessing = PRESETS[preset].preprocessing
    center = find(pet, ct, preprocessing.size_mm).center_ras
    begin = time.perf_counter()
    prepare(pet, ct, center, preprocessing)
    return time.perf_counter() - begin


# memory --------------------------------------------------------------------------------------------------------------


def measure_memory(threads: int, _repeats: int) -> dict:
    """Peak of a process of its own for each engine; memory hardly varies, so one run each."""
    result = {}
    for engine in engines():
        for what in ("risk", "full"):
            command = [sys.executable, __file__, "--child", engine, what, "--threads", str(threads)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                result[f"{engine} {what}"] = json.loads(done.stdout)["peak_gb"]
                log(f"  {engine} {what}: {result[f'{engine} {what}']:.2f} GB")
            else:
                result[f"{engine} {what}"] = None
                log(f"  {engine} {what} failed: {done.stderr[-300:]}")
    return result


def peak_of_one_prediction(engine: str, what: str, threads: int) -> dict:
    """Predict once with the paper network and say how much memory this process held at most, libraries included."""
    from CHMFLPredictorLib.network.engines import open_engine

    inputs = make_inputs("paper")
    one = open_engine([make_network("paper")], inputs.shape, device="cpu", engine=engine, threads=threads)
    one.log_odds(inputs)
    if what == "full":
        one.tumor_probability(inputs)
    return {"peak_gb": peak_bytes() / 1e9}


# command -------------------------------------------------------------------------------------------------------------


def measure_command(threads: int, repeats: int) -> dict:
    from CHMFLPredictorLib.errors import ChmflError
    from CHMFLPredictorLib.model.bundle import default_bundle

    try:
        model = default_bundle()
    except ChmflError as error:
        log(f"  skipped: {error}")
        return {"skipped": str(error)}
    name, pet, ct = patient_files()
    runs = []
    for number in range(repeats):
        runs.append(one_command(pet, ct, threads))
        log(f"  {number + 1}/{repeats}: {runs[-1]['end_s']:.1f} s")
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {"patient": name, "model": model.name, **medians}


def one_command(pet: Path, ct: Path, threads: int) -> dict:
    """Seconds from the start of the process, by the lines that it prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "CHMFLPredictorLib", "predict", "--pet", str(pet), "--ct", str(ct)]
        command += ["--output", f"{folder}/out", "--progress", "json", "--threads", str(threads), "--device", "cpu"]
        begin, stages, times = time.perf_counter(), [], {}
        with subprocess.Popen(command, cwd=PACKAGES, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                now, event = time.perf_counter() - begin, json.loads(line)
                if event["event"] == "progress" and (not stages or stages[-1][0] != event["stage"]):
                    stages.append((event["stage"], now))
                elif event["event"] in ("risk", "result"):
                    times[event["event"]] = now
                elif event["event"] == "error":
                    raise RuntimeError(line)
        times["end"] = time.perf_counter() - begin
    begins = dict(stages)
    following = [begin for _, begin in stages[1:]] + [times["result"]]
    spans = {f"stage_{name}_s": after - before for (name, before), after in zip(stages, following, strict=True)}
    network = sum(spans.get(f"stage_{name}_s", 0.0) for name in ("risk", "segmentation", "relevance"))
    return {
        "to_risk_s": times["risk"],
        "to_segmentation_s": begins.get("relevance", times["result"]),
        "to_result_s": times["result"],
        "end_s": times["end"],
        "all_but_the_network_s": times["end"] - network,
        **spans,
    }


# table ---------------------------------------------------------------------------------------------------------------


def markdown(results: dict) -> str:
    cpu = results["computer"]
    where = f"{cpu['cpu'].get('cpu_name')}, {cpu['threads']} threads, PyTorch {cpu['torch']}, load {cpu['load_before']}"
    lines = [f"{where}, medians of {results['repeats']}", "", "| what | measured | aim |", "| --- | --- | --- |"]
    for preset in ("paper", "compact"):
        lines += network_rows(preset, results.get("network", {}).get(preset))
    if "network" in results:
        part = results["network"]["preprocessing"]
        text = f"{part['seconds']:.2f} s, {part['share_of_full']:.0%} of it and the full prediction"
        lines.append(f"| preprocessing for `paper` | {text} | |")
    for variant, peak in results.get("memory", {}).items():
        aim = f"< {AIMS['peak_gb']:.0f} GB" if not variant.startswith("eager") else ""
        lines.append(f"| peak memory, `paper`, {variant} | {'failed' if peak is None else f'{peak:.2f} GB'} | {aim} |")
    return "\n".join(lines + command_rows(results.get("command")))


def network_rows(preset: str, measured: dict | None) -> list[str]:
    rows = []
    for engine in engines() if measured else []:
        numbers = measured[engine]
        name = f"{engine} (auto)" if engine == measured["auto"] else engine
        for what in ("risk", "full"):
            text = f"{numbers[f'{what}_s']:.2f} s, {numbers[f'{what}_ratio']:.2f} x"
            rows.append(f"| `{preset}`, {what}, {name} | {text} | |")
        rows.append(f"| `{preset}`, opening, {name} | {numbers['open_s']:.2f} s | |")
    return rows


def command_rows(measured: dict | None) -> list[str]:
    if not measured:
        return []
    if "skipped" in measured:
        return [f"| command line | skipped: {measured['skipped']} | |"]
    who = f"{measured['patient']} with {measured['model']}"
    seconds = {key[:-2].replace("_", " "): value for key, value in measured.items() if key.endswith("_s")}
    rows = [f"| {who}: {name} | {value:.2f} s | |" for name, value in seconds.items()]
    return [row.replace("s | |", f"s | < {AIMS['other_s']:.0f} s |") if "all but" in row else row for row in rows]


if __name__ == "__main__":
    sys.exit(main())
