"""How fast a network is trained, against a plain loop of the same network in the same run.

    python3 Testing/run.py benchmark train [--preset compact] [--device auto] [--rounds 3] [--output FILE]

- plain: eager float32, each patient's box read from the cache at its step, one after the other.
- plain, from images: the same without a cache: each step reads PET, CT and mask and resamples them.
- fast: what `compare` does on the device (``training.speed``).
- at once: so many trainings on the device at the same time, together (``--at-once N``).

Every measurement is a process of its own, so that its peak memory is its own; they take turns. Steps a second are by
the clock; processor seconds a step say the same on a computer that does other work as well. The share of the device's
peak is the step's floating-point operations, counted, over those of a large matrix product, timed. Patients of
../shared/data/sts beside the repository, or phantoms. A benchmark, not a test: it passes whatever it measures.
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
from pathlib import Path

from measuring import REPOSITORY, computer, log, peak_bytes

STS = REPOSITORY.parent / "shared" / "data" / "sts"
LIBRARIES = ("CHMFLPredictor", "CHMFLTraining")
AIMS = {"cpu": 1.5, "cuda": 5.0}
PAPER_GB = 8.0
FLOPS_SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product is the device's peak
WARM_UP = 2  # steps
sys.path[:0] = [str(REPOSITORY / name) for name in LIBRARIES]


def main(arguments: list[str]) -> int:
    """Measure, print a table in Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="compact", choices=("smoke", "compact", "paper"))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (1: as a job of `compare` has)")
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="steps of each measurement (10), after two to warm up")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind (3); ratios are medians")
    parser.add_argument("--variants", default="plain,fast", help="of plain,images,fast")
    parser.add_argument("--at-once", type=int, default=0, help="so many fast trainings at the same time, as well")
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    parser.add_argument("--child", nargs=2, metavar=("VARIANT", "CACHE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(measure(options.child[0], Path(options.child[1]), options)))
        return 0
    results = compare(options)
    print(markdown(results))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


def compare(options) -> dict:
    """All measurements, by variant, taking turns."""
    from CHMFLTrainingLib.run.job_process import choose_device

    options.device = choose_device(options.device)
    results = {"computer": computer(options.threads), "preset": options.preset, "device": options.device}
    with tempfile.TemporaryDirectory() as cache:
        results["preprocessing"] = preprocess(Path(cache), options)
        runs = {variant: [] for variant in options.variants.split(",")}
        for number in range(options.rounds):
            for variant, found in runs.items():
                found.append(in_child(variant, cache, options)[0])
                rate = found[-1]["steps_a_second"]
                log(f"  {number + 1}/{options.rounds} {variant}: {rate:.3f} steps a second, load {load():.1f}")
        results["runs"] = runs
        if options.at_once:
            together = in_child("fast", cache, options, options.at_once)
            results["at_once"] = {"trainings": options.at_once, "runs": together}
    return {**results, "summary": summary(results)}


def load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def patients(count: int, folder: Path) -> list:
    """Patients with an outcome; phantoms where there are none."""
    from CHMFLTrainingLib.cohort.cohort import Patient, sts_cohort

    if (STS / "clinical.csv").is_file():
        return [patient for patient in sts_cohort(STS) if patient.label is not None][:count]
    from CHMFLPredictorLib.phantom.phantom import write_phantom

    names = {"pet": "PET", "ct": "CT", "mask": "mask"}
    files = {name: folder / "phantom" / f"{file}.nii.gz" for name, file in names.items()}
    if not all(file.exists() for file in files.values()):  # a file written anew would not be the cached one's
        write_phantom(folder / "phantom")
    return [Patient(f"P{n}", files["pet"], files["ct"], files["mask"], label=n % 2) for n in range(count)]


def preprocess(cache: Path, options) -> dict:
    """Fill the cache; seconds a patient without and with it."""
    from CHMFLPredictorLib.network.presets import PRESETS
    from CHMFLTrainingLib.cohort.crops import load_crop

    chosen, settings, seconds = patients(options.patients, cache), PRESETS[options.preset].preprocessing, []
    for _ in range(2):
        begin = time.perf_counter()
        for patient in chosen:
            load_crop(patient, settings, cache)
        seconds.append((time.perf_counter() - begin) / len(chosen))
    log(f"  {len(chosen)} patients: {seconds[0]:.2f} s each to prepare, {1000 * seconds[1]:.0f} ms from the cache")
    return {"patients": len(chosen), "prepare_s": seconds[0], "from_cache_s": seconds[1]}


def in_child(variant: str, cache: str, options, count: int = 1) -> list[dict]:
    """``count`` processes at the same time that measure one variant."""
    command = [sys.executable, __file__, "--child", variant, cache, "--preset", options.preset]
    for name in ("device", "threads", "patients", "steps"):
        command += [f"--{name}", str(getattr(options, name))]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    answers = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise RuntimeError(f"the measurement of {variant!r} failed")
    return [json.loads(answer.splitlines()[-1]) for answer in answers]


# child ---------------------------------------------------------------------------------------------------------------


def measure(variant: str, cache: Path, options) -> dict:
    """Train some steps in this process."""
    import torch

    torch.set_num_threads(options.threads)
    training = make_training(variant, cache, options)
    one_epoch(training, WARM_UP)
    synchronize(training.device)
    begin, processor = time.perf_counter(), time.process_time()
    loss = one_epoch(training, options.steps)
    synchronize(training.device)
    seconds = time.perf_counter() - begin
    result = {
        "variant": variant,
        "steps_a_second": options.steps / seconds,
        "processor_s_a_step": (time.process_time() - processor) / options.steps,
        "waiting_share": training.waited / seconds,
        "loss": loss,
        "speed": vars(training.speed),
        "peak_gb": peak_bytes() / 1e9,
    }
    if training.device.type == "cuda":
        result["gpu_peak_gb"] = torch.cuda.max_memory_allocated(training.device) / 1e9
    if variant == "fast":
        flops, most = flops_of_a_step(training), peak_flops(training.device, training.speed.bfloat16)
        seconds = result["processor_s_a_step"] if training.device.type == "cpu" else 1 / result["steps_a_second"]
        result |= {"flops_a_step": flops, "peak_flops": most, "share_of_peak": flops / seconds / most}
    return result


def make_training(variant: str, cache: Path, options):
    """A fold of the preset, its batches made as the variant wants them."""
    from CHMFLPredictorLib.network.presets import PRESETS
    from CHMFLTrainingLib.cohort.crops import load_crop
    from CHMFLTrainingLib.training.config import TRAINING_PRESETS
    from CHMFLTrainingLib.training.fold_training import FoldTraining
    from CHMFLTrainingLib.training.speed import Speed

    preset, chosen = PRESETS[options.preset], patients(options.patients, cache)
    crops = [load_crop(patient, preset.preprocessing, cache) for patient in chosen]
    config, speed = TRAINING_PRESETS[options.preset], None if variant == "fast" else Speed()
    training = FoldTraining(preset, config, crops, 0, cache / "unused", options.device, speed=speed)
    if variant != "fast":
        load_each_step(training, {patient.patient_id: patient for patient in chosen}, cache, variant == "images")
    return training


def load_each_step(training, by_id: dict, cache: Path, from_images: bool) -> None:
    """Have each batch read its patients anew, from the cache or from the images."""
    from CHMFLTrainingLib.cohort import crops as samples

    augmented, settings = training.views.augmented, training.preset.preprocessing

    def read(crop):
        patient = by_id[crop.patient_id]
        if from_images:
            return samples.Crop(patient.patient_id, patient.label, **samples._make(patient, settings))
        return samples.load_crop(patient, settings, cache)

    training.views.augmented = lambda crops, random: augmented([read(crop) for crop in crops], random)


def one_epoch(training, steps: int) -> float:
    """An epoch of so many steps, whatever the number of patients; the mean loss."""
    crops, size = training.crops, training.config.batch_size
    training.crops = (crops * (steps * size // len(crops) + 1))[: steps * size]
    loss = training._train_epoch()
    training.crops = crops
    return loss


def synchronize(device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def flops_of_a_step(training) -> float:
    """Floating-point operations of convolutions and matrix products, forward and backward, counted by PyTorch."""
    import numpy as np
    from torch.utils.flop_counter import FlopCounterMode

    crops = training.crops[: training.config.batch_size]
    batch = training.views.augmented(crops, np.random.default_rng(0))
    with FlopCounterMode(display=False) as counter:
        training.loss((crops, batch)).backward()
    return float(counter.get_total_flops())


def peak_flops(device, bfloat16: bool) -> float:
    """Floating-point operations a second of a large matrix product on the same device, the best of five; on a CPU a
    processor second, which other work on the computer does not stretch.
    """
    import torch

    side, clock = FLOPS_SIDE[device.type], time.process_time if device.type == "cpu" else time.perf_counter
    a = torch.ones(side, side, dtype=torch.bfloat16 if bfloat16 else torch.float32, device=device)
    seconds = []
    for _ in range(6):
        synchronize(device)
        begin = clock()
        a @ a
        synchronize(device)
        seconds.append(clock() - begin)
    return 2 * side**3 / max(min(seconds[1:]), 1e-9)


# table ---------------------------------------------------------------------------------------------------------------


def summary(results: dict) -> dict:
    """Medians of each variant, and medians of the rounds' ratios to the plain loop."""
    runs, found = results["runs"], {}
    for variant, measured in runs.items():
        names = [name for name, value in measured[0].items() if isinstance(value, float)]
        found[variant] = {name: statistics.median(run[name] for run in measured) for name in names}
        if "plain" in runs:
            pairs = list(zip(measured, runs["plain"], strict=True))
            found[variant]["ratio"] = statistics.median(
                run["steps_a_second"] / plain["steps_a_second"] for run, plain in pairs
            )
            found[variant]["ratio_of_processor_time"] = statistics.median(
                plain["processor_s_a_step"] / run["processor_s_a_step"] for run, plain in pairs
            )
    if "at_once" in results:
        together = sum(run["steps_a_second"] for run in results["at_once"]["runs"])
        found["at once"] = {"steps_a_second": together}
        if "fast" in found:
            found["at once"]["ratio_to_fast"] = together / found["fast"]["steps_a_second"]
    return found


def markdown(results: dict) -> str:
    """The summary as a table."""
    kind, cpu = results["device"].partition(":")[0], results["computer"]
    where = f"{cpu['cpu'].get('cpu_name')}, {cpu['threads']} threads, PyTorch {cpu['torch']}, load {cpu['load_before']}"
    columns = ["variant", "steps a second", "processor s a step", "x plain (clock)", "x plain (processor)", "waiting"]
    columns += ["peak memory", "share of the device's peak"]
    lines = [f"Training `{results['preset']}` on {results['device']}, {where}", "", f"| {' | '.join(columns)} |"]
    lines.append(f"|{' --- |' * len(columns)}")
    for variant, row in results["summary"].items():
        memory = row.get("gpu_peak_gb", row.get("peak_gb"))
        cells = [
            text(row.get("steps_a_second"), ".3g"),
            text(row.get("processor_s_a_step"), ".3g"),
            text(row.get("ratio"), ".2f"),
            text(row.get("ratio_of_processor_time"), ".2f"),
            text(row.get("waiting_share"), ".1%"),
            text(memory, ".2f", " GB"),
            text(row.get("share_of_peak"), ".0%"),
        ]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    prepare, cached = (results["preprocessing"][name] for name in ("prepare_s", "from_cache_s"))
    aim = f"Aim: fast >= {AIMS[kind]:g} x plain"
    aim += f", in under {PAPER_GB:g} GB" if results["preset"].startswith("paper") else ""
    once = f"Preprocessing once: {prepare:.2f} s a patient; from the cache {1000 * cached:.0f} ms."
    return "\n".join([*lines, "", f"{aim}. {once}"])


def text(value: float | None, how: str, unit: str = "") -> str:
    return "" if value is None else format(value, how) + unit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
