"""The rules of the house (.github/CONTRIBUTING.md): one test a rule. They read the source, they do not run it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

PREDICTOR, TRAINING = REPOSITORY / "CHMFLPredictor", REPOSITORY / "CHMFLTraining"
LIBRARIES = {"CHMFLPredictorLib": PREDICTOR / "CHMFLPredictorLib", "CHMFLTrainingLib": TRAINING / "CHMFLTrainingLib"}
MODULE_FILES = [PREDICTOR / "CHMFLPredictor.py", TRAINING / "CHMFLTraining.py"]
# The floors, lowest first: a room imports only rooms below it, and Training stands on the whole Predictor. "" is what
# lies in no room.
FLOORS = {
    "CHMFLPredictorLib": (
        "", "reading", "network", "tumor", "model", "phantom", "report", "predict", "commands", "child", "scene",
        "panel",
    ),
    "CHMFLTrainingLib": (
        "", "statistics", "cohort", "networks", "features", "training", "methods", "run", "report", "commands",
        "scene", "panel",
    ),
}  # fmt: skip
# what the families of methods share, and what finds them
SHARED_BY_METHODS = {"__init__", "base", "check", "options", "registry", "network_method", "hybrids"}
MOST_FILES_IN_A_ROOM = 20
SLICER_ROOMS = ("scene/*.py", "panel/*.py", "child/process.py", "run/process.py")
WIDGET_ROOMS = ("panel/*.py",)
SLICER_PACKAGES = {
    "slicer",
    "qt",
    "ctk",
    "vtk",
    "vtkmodules",
    "sitkUtils",
    "PythonQt",
    "DICOMLib",
    "SampleData",
    "PyTorchUtils",
}
WIDGET_PACKAGES = {"qt", "ctk", "PythonQt"}
AT_FILE_SCOPE = {*sys.stdlib_module_names, "numpy", "scipy", "SimpleITK", "slicer", "vtk", "qt", "ctk", *LIBRARIES}
# What a panel loads; files that these reach at file scope must do without torch. Others may import torch and openvino.
PANEL_ROOTS = (
    "panel/*.py",
    "scene/*.py",
    "child/process.py",
    "commands/cli.py",
    "model/bundle.py",
    "reading/volumes.py",
    "CHMFLPredictorLib/report/report.py",
    # of CHMFLTraining: its child, what it reads of a run, and every method, for the list of them
    "run/process.py",
    "run/status.py",
    "run/live.py",
    "run/results.py",
    "cohort/cohort.py",
    "cohort/check.py",
    "cohort/dicom.py",
    "methods/*.py",
)
# What needs Slicer's packages installed first; a panel opens, and lists the methods, where none of them exists.
INSTALLED_LATER = (
    "torch", "pydicom", "PIL", "openvino", "safetensors", "sklearn", "dask", "distributed", "mirp", "monai",
    "matplotlib", "statsmodels", "pandas", "skimage", "jinja2", "markupsafe", "psutil", "shapely",
)  # fmt: skip
TOP_LEVEL = {
    "CMakeLists.txt", "CHMFL.png", "README.md", "LICENSE.txt", "CHMFLPredictor", "CHMFLTraining", "Resources",
    "Testing", "out", "build",  # made by the commands, ignored by git
}  # fmt: skip
TEXT_FILES = {
    ".py",
    ".md",
    ".txt",
    ".toml",
    ".ini",
    ".json",
    ".csv",
    ".ui",
    ".cmake",
    ".yml",
    ".yaml",
    ".html",
    ".svg",
    "",
}


def sources():
    """Every Python file that is installed."""
    return [path for folder in (PREDICTOR, TRAINING) for path in sorted(folder.rglob("*.py"))]


def repository_files():
    """Every file that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: the repository's own files cannot be told from others")
    return [REPOSITORY / name for name in names if (REPOSITORY / name).is_file()]


def in_rooms(path, rooms):
    """Whether a file's name is that of a room."""
    return any(path.match(room) for room in rooms)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(nodes):
    """First parts of the absolute imports among some statements."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def at_file_scope(tree):
    """Statements that run when the file is imported: those in classes, ifs and tries too, but not inside functions."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not _for_type_checkers(node):
            waiting += ast.iter_child_nodes(node)


def _for_type_checkers(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def test_rule_1_training_imports_predictor_never_the_other_way():
    for path in sources():
        names = set(imported(ast.walk(tree_of(path))))
        assert not names & {"CHMFLPredictor", "CHMFLTraining"}, f"{path.name} imports a module file"
        if PREDICTOR in path.parents:
            assert "CHMFLTrainingLib" not in names, f"{path.name} imports the training library"


def test_rule_1_no_import_runs_up():
    for path in library_files():
        for other in used(path):
            if library_of(path) == library_of(other):
                assert floor_of(other) <= floor_of(path), f"{shown(path)} imports {shown(other)}, which lies above it"


def test_rule_1_no_circle_between_files():
    circle = first_circle({path: sorted(set(used(path))) for path in library_files()})
    assert not circle, " imports ".join(map(shown, circle))


def test_rule_1_every_room_has_a_floor_and_is_not_crowded():
    for library, folder in LIBRARIES.items():
        rooms = {path.parent.name for path in folder.glob("*/*.py")}
        assert rooms == set(FLOORS[library]) - {""}
        for room in rooms:
            files = [path for path in (folder / room).glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= MOST_FILES_IN_A_ROOM, f"{library}/{room} has {len(files)} files"


def test_rule_1_a_circle_is_found():
    a, b, c = map(Path, "abc")
    assert first_circle({a: [b], b: [c], c: []}) == []
    assert first_circle({a: [b], b: [c], c: [b]}) == [b, c, b]


def library_files():
    """Every Python file of the two libraries."""
    return [path for path in sources() if path not in MODULE_FILES]


def library_of(path):
    """The library that a file belongs to."""
    return next(name for name, folder in LIBRARIES.items() if folder in path.parents)


def floor_of(path):
    """How high a file's room lies; the program files run everything."""
    library = library_of(path)
    inside = path.relative_to(LIBRARIES[library]).parts
    return len(FLOORS[library]) if path.name == "__main__.py" else FLOORS[library].index("".join(inside[:-1]))


def shown(path):
    """A file by its library, room and name."""
    return path.relative_to(LIBRARIES[library_of(path)].parent).as_posix()


def used(path):
    """The files of the libraries that a file imports, inside functions too, but for what type checkers alone read."""
    tree = tree_of(path)
    hidden = {inner for node in ast.walk(tree) if _for_type_checkers(node) for inner in ast.walk(node)}
    found = siblings(path, [node for node in ast.walk(tree) if node not in hidden])
    return [other for other in found if other.is_file() and other.name != "__init__.py"]


def first_circle(arrows):
    """The first circle that a walk along the arrows meets, its first file twice; empty where there is none."""
    done, way = set(), []

    def walk(path):
        if path in way:
            return [*way[way.index(path) :], path]
        if path in done:
            return []
        way.append(path)
        for other in arrows.get(path, ()):
            if circle := walk(other):
                return circle
        done.add(way.pop())
        return []

    return next(filter(None, map(walk, sorted(arrows))), [])


def test_rule_1_sees_what_it_looks_for():
    tree = ast.parse("def f():\n    from CHMFLTrainingLib.cohort.folds import x\n    import CHMFLPredictor")
    assert set(imported(ast.walk(tree))) == {"CHMFLTrainingLib", "CHMFLPredictor"}


def test_rule_2_only_named_rooms_import_slicer():
    for path in sources():
        if not in_rooms(path, SLICER_ROOMS) and path not in MODULE_FILES:
            names = set(imported(ast.walk(tree_of(path)))) & SLICER_PACKAGES
            assert not names, f"{path.relative_to(REPOSITORY)} imports {names}"


@pytest.mark.slow
def test_rule_2_the_libraries_run_without_slicer():
    """All but the rooms for Slicer can be imported where ``slicer``, ``qt`` and ``vtk`` do not exist."""
    modules = [
        ".".join([package, *path.relative_to(folder).with_suffix("").parts])
        for package, folder in LIBRARIES.items()
        for path in sorted(folder.rglob("*.py"))
        if not in_rooms(path, (*SLICER_ROOMS, "__main__.py", "__init__.py"))
    ]
    assert "CHMFLTrainingLib.methods.chmfl" in modules
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(SLICER_PACKAGES)!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PREDICTOR, capture_output=True, text=True, env=_environment()
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _environment():
    import os

    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PREDICTOR), str(TRAINING)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def test_rule_3_nothing_foreign_at_file_scope():
    panel = loaded_by_a_panel()
    assert {"errors.py", "process.py", "samples.py", "base.py", "hc_rf.py"} <= {path.name for path in panel}
    for path in sources():
        allowed = AT_FILE_SCOPE if path in panel else AT_FILE_SCOPE | {"torch", "openvino"}
        foreign = set(imported(at_file_scope(tree_of(path)))) - allowed
        assert not foreign, f"{path.relative_to(REPOSITORY)} imports {foreign} at file scope"


def loaded_by_a_panel():
    """Module files, the roots and everything that they import at file scope, directly or not."""
    waiting = [path for path in sources() if in_rooms(path, PANEL_ROOTS) or path in MODULE_FILES]
    reached = set()
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += (other for other in siblings(path) if other.is_file())
    return reached


def siblings(path, nodes=None):
    """Files of the two libraries that a file imports: at file scope, or among the statements that are given."""
    for node in at_file_scope(tree_of(path)) if nodes is None else nodes:
        if not isinstance(node, ast.ImportFrom):
            continue
        parts = (node.module or "").split(".") if node.module else []
        if node.level:
            folder = path.parents[node.level - 1]
        elif parts and parts[0] in LIBRARIES:
            folder, parts = LIBRARIES[parts[0]], parts[1:]
        else:
            continue
        for name in [".".join(parts), *(".".join([*parts, alias.name]) for alias in node.names)]:
            if name:
                yield folder / (name.replace(".", "/") + ".py")
                yield folder / name.replace(".", "/") / "__init__.py"


def test_rule_3_torch_comes_only_with_what_needs_it():
    """A panel can load the command line, the models' cards and the child's driver where torch does not exist."""
    done = run_bare(
        "import CHMFLPredictorLib.model.bundle, CHMFLPredictorLib.commands.cli, CHMFLPredictorLib.child.process\n"
        "import CHMFLPredictorLib.protocol, CHMFLPredictorLib.report.report, CHMFLPredictorLib.reading.volumes"
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_rule_3_training_is_listed_and_followed_without_what_trains():
    """Methods with their figures, a cohort's findings and a run's progress: all before anything is installed."""
    done = run_bare(
        "import CHMFLTrainingLib.commands.cli, CHMFLTrainingLib.cohort.check, CHMFLTrainingLib.run.status\n"
        "from CHMFLTrainingLib.methods import registry\n"
        "print(sorted(registry.all_methods()))"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = ast.literal_eval(done.stdout.splitlines()[-1])
    assert {"CHMFL", "HC + RF", "MOR + 3D CNNs", "V-net", "Volume + SUVmax"} <= set(names)


def run_bare(code):
    """Run code in a Python that has the libraries and no package of :data:`INSTALLED_LATER`."""
    script = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {INSTALLED_LATER!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    return subprocess.run([sys.executable, "-c", script + code], capture_output=True, text=True, env=_environment())


def test_rule_3_knows_when_a_package_is_absent():
    assert "No module named 'dask'" in run_bare("import dask").stderr


def test_rule_3_sees_what_it_looks_for():
    tree = ast.parse(
        "try:\n    import torch\nexcept ImportError:\n    pass\ndef f():\n    import PIL\nclass A:\n    import sklearn"
    )
    assert set(imported(at_file_scope(tree))) == {"torch", "sklearn"}


def test_rule_4_installed_names_are_unique():
    """Slicer puts both modules' files into one flat folder: packages and module files, resources under Resources/."""
    seen = {}
    for module in (PREDICTOR, TRAINING):
        for path in sorted(module.rglob("*")):
            inside = path.relative_to(module)
            if path.is_dir() or "__pycache__" in inside.parts or str(inside) in ("CMakeLists.txt", "README.md"):
                continue
            assert str(inside).lower() not in seen, f"{path} and {seen[str(inside).lower()]} would overwrite each other"
            seen[str(inside).lower()] = path
    assert {"chmflpredictorlib/errors.py", "chmfltraininglib/methods/chmfl.py"} <= set(seen)


def test_rule_4_no_package_with_a_name_of_everybody():
    packages = {
        path.parent for folder in (PREDICTOR, TRAINING, REPOSITORY / "Testing") for path in folder.rglob("__init__.py")
    }
    for package in packages:
        top = package
        while (top.parent / "__init__.py").is_file():
            top = top.parent
        in_testing = REPOSITORY / "Testing" in top.parents
        assert in_testing or top.name in LIBRARIES, f"{top} would be a top-level package in Slicer"
    assert not (REPOSITORY / "Testing" / "__init__.py").exists()


def test_rule_4_nothing_else_at_the_top():
    top = {path.relative_to(REPOSITORY).parts[0] for path in repository_files()}
    strangers = {name for name in top if not name.startswith(".")} - TOP_LEVEL
    assert not strangers


def test_rule_5_a_family_of_methods_is_one_file():
    """Nothing names a family's file but the folder listing that finds it."""
    methods = LIBRARIES["CHMFLTrainingLib"] / "methods"
    names = {path.stem for path in methods.glob("*.py")} - SHARED_BY_METHODS
    for path in sources():
        if path.parent != methods:
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.ImportFrom) and node.module and "methods" in node.module.split("."):
                    used = {node.module.split(".")[-1], *(alias.name for alias in node.names)} & names
                    assert not used, f"{path.name} names the method file(s) {used}"


def test_rule_6_logic_never_touches_a_widget():
    for package in LIBRARIES.values():
        for path in sorted(package.rglob("*.py")):
            names = set(imported(ast.walk(tree_of(path)))) & WIDGET_PACKAGES
            assert not names or in_rooms(path, WIDGET_ROOMS), f"{path.name} imports {names}"
    for path in filter(Path.is_file, MODULE_FILES):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Logic"):
                touched = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)} & WIDGET_PACKAGES
                touched |= {name.attr for name in ast.walk(node) if isinstance(name, ast.Attribute)} & {"ui"}
                assert not touched, f"{path.name}: {node.name} uses {touched}"


def test_rule_6_widgets_never_compute():
    for path in sources():
        if path.match("panel/*.py"):
            names = set(imported(ast.walk(tree_of(path)))) & {"numpy", "scipy", "SimpleITK", "torch", "vtkmodules"}
            assert not names, f"{path.name} imports {names}"


def test_no_file_knows_the_machine_it_was_written_on():
    home = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w|[A-Z]:\\\\?Users")
    own = Path(__file__).resolve()
    for path in repository_files():
        if path.suffix in TEXT_FILES and path != own:
            found = home.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(REPOSITORY)}: {found.group()}"


def test_no_patient_and_no_pickle_in_the_repository():
    forbidden = {".dcm", ".nii", ".gz", ".nrrd", ".mha", ".mrb", ".pt", ".pth", ".pkl", ".ckpt"}
    files = repository_files()
    assert not [path for path in files if path.suffix.lower() in forbidden]
    assert sum(path.stat().st_size for path in files) < 100e6


def test_product_code_never_knows_of_a_stand_in():
    for path in sources():
        text = path.read_text(encoding="utf-8").lower()
        assert not re.search(r"slicer_headless|stand-in|standin|slicer-core|slicer_core", text), path.name


@pytest.mark.parametrize("command", [("check", "--output-format", "concise"), ("format", "--check")])
def test_style(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", str(REPOSITORY)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
