"""The numbers that must not change while the code is moved and merged: written before and after, then compared.

    .venv/bin/python Testing/golden.py write FOLDER [--quick] [--tree CHECKOUT] [--patients FOLDER]
    .venv/bin/python Testing/golden.py compare OLD NEW

``write`` predicts the phantom and three patients and compares one method of each family on a made cohort, on the CPU
with one thread, by the two command lines of CHECKOUT (default: this repository). FOLDER gets text alone: results,
predictions, losses, the report's tables, and the SHA-256 of masks, maps and trained weights. What rightly varies
(times, paths, versions) is left out. ``compare`` tells file by file what is equal and value by value what is not;
exit code 1 if anything is not. Both folders have to come from one computer: the last bits of a sum depend on processor
and packages.

It knows the two libraries by their command lines alone, and by `make_inputs`, so that one script reads trees whose
files have other names.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import import_module, metadata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = REPOSITORY.parent / "shared" / "data" / "sts" / "images"
PATIENTS = ("STS_006", "STS_015", "STS_044")  # with metastases, without, and one whose bladder outshines its tumor
PREDICTOR, TRAINING = "CHMFLPredictorLib", "CHMFLTrainingLib"  # each in the folder of that name without "Lib"
METHODS = (
    "CHMFL", "Mask + HMFL", "V-net", "CHMFL + Cox", "2D-CNN-PET-CT", "3D-CNN-PET-CT", "ResNet18-PET-CT",
    "CHMFL + ResNet18", "HC + RF", "CNLPC", "MOR + 3D CNNs", "3DMCL", "Volume + SUVmax", "TLG", "Uptake",
    "Cox volume + SUVmax", "Clinical", "Permuted labels",
)  # fmt: skip
QUICK_METHODS = ("CHMFL", "3D-CNN-PET-CT", "CHMFL + ResNet18", "Volume + SUVmax")  # the three trainers, and none
COHORT, FOLDS = 12, 2  # patients of the made cohort
RESULT_VARIES = ("created", "timings_s", "software", "device", "inputs")  # of result.json
COLUMN_VARIES = "seconds"  # of history.csv
ABOUT = "about.json"  # what it was made with: told, not compared
THREADS = "1"


def main(arguments: list[str] | None = None) -> int:
    """Write or compare; return the exit code."""
    options = _parse(arguments)
    if options.command == "compare":
        return compare(options.old, options.new)
    started = time.monotonic()
    write(options.folder, options.tree.resolve(), options.patients.resolve(), options.quick)
    print(f"Written: {options.folder} in {time.monotonic() - started:.0f} s")
    return 0


def write(folder: Path, tree: Path, patients: Path, quick: bool) -> None:
    """Write the golden folder of a checkout; on a failed command end with what it said."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty.")
    with tempfile.TemporaryDirectory(prefix="chmfl-golden-") as temporary:
        work = Path(temporary)
        _run(tree, Path(__file__), "make-inputs", tree, work)
        write_results(tree, work, folder, patients, quick)
        write_comparison(tree, work, folder, QUICK_METHODS if quick else METHODS)
    _write_json(folder / ABOUT, _about())


def write_results(tree: Path, work: Path, folder: Path, patients: Path, quick: bool) -> None:
    """Predict the phantom by the engine that users get and by the plain one, and each patient; keep what stays."""
    wanted = {"phantom": (work / "phantom", "auto")}
    if not quick:
        wanted |= {"phantom_eager": (work / "phantom", "eager")}
        wanted |= {name: (patients / name, "auto") for name in PATIENTS}
    for name, (images, engine) in wanted.items():
        out = work / "results" / name
        files = ("--pet", images / "PET.nii.gz", "--ct", images / "CT.nii.gz", "--output", out)
        how = ("--device", "cpu", "--threads", THREADS, "--engine", engine, "--progress", "none")
        _run(tree, "-m", PREDICTOR, "predict", *files, *how)
        _write_json(folder / "results" / f"{name}.json", result_of(out))


def result_of(out: Path) -> dict:
    """What must not change of a prediction's folder: result.json, and the hashes of both images' voxels."""
    import SimpleITK as sitk

    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    kept = {name: value for name, value in result.items() if name not in RESULT_VARIES}
    images = {name: sitk.ReadImage(str(out / f"{name}.nii.gz")) for name in ("segmentation", "relevance")}
    return kept | {f"{name}_sha256": sha256({name: sitk.GetArrayFromImage(image)}) for name, image in images.items()}


def write_comparison(tree: Path, work: Path, folder: Path, methods) -> None:
    """Run ``compare`` on the made cohort; keep predictions, losses, tables, and the hash of every array of a job."""
    run = work / "run"
    inputs = ("--cohort", work / "cohort.csv", "--folds", work / "folds.csv", "--methods", ",".join(methods))
    how = ("--preset", "smoke", "--device", "cpu", "--threads", THREADS, "--jobs", "2", "--seed", "0")
    _run(tree, "-m", TRAINING, "compare", *inputs, *how, "--output", run)
    for pattern in ("*/repeat_*/fold_*/predictions.csv", "*/repeat_*/fold_*/history.csv", "tables/*.csv"):
        for path in sorted(run.glob(pattern)):
            _write_rows(folder / "run" / path.relative_to(run), _without(COLUMN_VARIES, _read_rows(path)))
    for job in sorted(run.glob("*/repeat_*/fold_*")):
        _write_json(folder / "run" / job.relative_to(run) / "arrays.json", hashes_of(job))


def hashes_of(job: Path) -> dict[str, str]:
    """SHA-256 of what a job keeps as arrays: its model's weights together, and each array of the files beside it."""
    found = {path.name: sha256(_read_arrays(path)) for path in sorted(job.glob("*.npz"))}
    files = sorted(path for path in (job / "model").rglob("*") if path.suffix in (".npz", ".safetensors"))
    return found | ({"weights": sha256(*map(_read_arrays, files))} if files else {})


def sha256(*files: dict) -> str:
    """One hash of all arrays' names, types, shapes and bytes, whatever container held them and in whatever order."""
    import numpy as np

    parts = [
        (name, str(array.dtype), array.shape, np.ascontiguousarray(array).tobytes())
        for arrays in files
        for name, array in arrays.items()
    ]
    digest = hashlib.sha256()
    for name, kind, shape, content in sorted(parts):
        digest.update(f"{name} {kind} {shape}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _read_arrays(path: Path) -> dict:
    if path.suffix == ".npz":
        import numpy as np

        with np.load(path) as arrays:
            return dict(arrays)
    from safetensors.numpy import load_file

    return load_file(path)


def compare(old: Path, new: Path) -> int:
    """Print what is equal and what differs; 0 if all is equal, 1 if not."""
    before, after = _read(old), _read(new)
    for name, (was, now) in _differences(before.pop(ABOUT), after.pop(ABOUT)).items():
        print(f"note     made with {name}: {was} -> {now}")
    count = 0
    for file in sorted(before | after):
        if file not in before or file not in after:
            print(f"DIFFERS  {file}: only in {new if file in after else old}")
            count += 1
            continue
        differences = _differences(before[file], after[file])
        count += len(differences)
        if not differences:
            print(f"equal    {file} ({len(before[file])} values)")
        for name, (was, now) in differences.items():
            print(f"DIFFERS  {file}: {name}: {was} -> {now}")
    print(f"{count} differences" if count else f"All equal: {sum(map(len, before.values()))} values")
    return 1 if count else 0


def _read(folder: Path) -> dict[str, dict[str, str]]:
    """Every file's values by their names."""
    if not (folder / ABOUT).is_file():
        raise SystemExit(f"{folder} was not written by this script, or not to its end.")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _values(path) for path in files}


def _values(path: Path) -> dict[str, str]:
    """The leaves of a JSON file by their path in it; the cells of a CSV file by row and column."""
    if path.suffix == ".json":
        return dict(_leaves(json.loads(path.read_text(encoding="utf-8")), ""))
    header, *rows = _read_rows(path)
    cells = {f"row {n}, {name}": cell for n, row in enumerate(rows, 1) for name, cell in zip(header, row, strict=True)}
    return {"columns": ",".join(header)} | cells


def _leaves(value, name: str):
    if isinstance(value, (dict, list)) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, f"{name}.{key}".lstrip("."))
    else:
        yield name, json.dumps(value, ensure_ascii=False)


def _differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str]]:
    pairs = {name: (before.get(name, "nothing"), after.get(name, "nothing")) for name in before | after}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def make_inputs(tree: Path, work: Path) -> None:
    """Write the phantom and the made cohort, by the tree's own modules, found by their files' names.

    Runs in a process of its own, whose path leads to the tree's packages.
    """
    import_module(_module(tree / "CHMFLPredictor", "phantom.py")).write_phantom(work / "phantom")
    sys.path.insert(0, str(tree / "Testing"))  # where older trees have it
    (made,) = (root for root in (tree / "CHMFLTraining", tree / "Testing") if list(root.rglob("planted.py")))
    cases = import_module(_module(made, "planted.py")).planted_cases(COHORT, True, 0, work)
    clinical = ("age", "sex", "grade")
    header = ["patient_id", "pet", "ct", "mask", "label", "time", "event", *clinical]
    rows = [[c.patient_id, *c.paths, c.label, c.time, c.event, *(c.clinical[key] for key in clinical)] for c in cases]
    _write_rows(work / "cohort.csv", [header, *rows])
    ordered = sorted(cases, key=lambda case: case.label)  # each fold gets as many with as without the event
    folds = [[0, case.patient_id, place % FOLDS] for place, case in enumerate(ordered)]
    _write_rows(work / "folds.csv", [["repeat", "patient_id", "fold"], *folds])


def _module(root: Path, file: str) -> str:
    """The dotted name of the one file of this name under ``root``."""
    (path,) = root.rglob(file)
    return ".".join(path.relative_to(root).with_suffix("").parts)


def _run(tree: Path, *arguments) -> None:
    """Run Python on the tree's packages; a command that fails ends this script."""
    paths = [str(tree / program.removesuffix("Lib")) for program in (PREDICTOR, TRAINING)]
    fixed = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), THREADS)
    environment = {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *map(str, arguments)]
    print("running", " ".join(command[1:4]), "...", flush=True)
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-4000:]}")


def _about() -> dict[str, str]:
    packages = ("numpy", "scipy", "SimpleITK", "torch", "openvino", "scikit-learn", "mirp", "monai")
    return {"processor": _processor(), "python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _without(column: str, rows: list[list[str]]) -> list[list[str]]:
    kept = [place for place, name in enumerate(rows[0]) if name != column]
    return [[row[place] for place in kept] for row in rows]


def _read_rows(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def _write_rows(path: Path, rows: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def _write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("write", help="write the golden folder of a checkout")
    one.add_argument("folder", type=Path, help="new or empty")
    one.add_argument("--quick", action="store_true", help="the phantom and four methods")
    one.add_argument("--tree", type=Path, default=REPOSITORY, metavar="CHECKOUT", help="default: this repository")
    one.add_argument("--patients", type=Path, default=IMAGES, metavar="FOLDER", help="STS_nnn/{PET,CT}.nii.gz")
    two = commands.add_parser("compare", help="tell what differs between two golden folders")
    two.add_argument("old", type=Path)
    two.add_argument("new", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["make-inputs"]:  # of `write`, in a child
        make_inputs(*map(Path, sys.argv[2:]))
        sys.exit(0)
    sys.exit(main())
