"""What Slicer installs is what is here, and the Extensions Index finds what it looks for.

The extension is configured, built and installed with Testing/packaging/macros.cmake, a strict stand-in for Slicer's
CMake macros. Environment variables name sources for more: CHMFL_SLICER_SOURCE and CHMFL_CTK_SOURCE those of Slicer and
CTK, to do the same with their own macros (CMake 3.28 or newer), CHMFL_INDEX_SOURCE a checkout of the Extensions Index,
to run its own checks (Python 3.12 or newer).
"""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

PACKAGING = REPOSITORY / "Testing" / "packaging"
FLAT = Path("lib", "Slicer-5.12", "qt-scripted-modules")
MODULES = [path.parent.name for path in sorted(REPOSITORY.glob("CHMFL*/CMakeLists.txt"))]
ENTRY = REPOSITORY / "Resources" / "CHMFL.json"
RAW = "https://raw.githubusercontent.com/SlicerCHMFL/SlicerCHMFL/main/"
COMPILERS = ("cc", "gcc", "clang", "cl")
DOWNLOADERS = {
    "scene/samples.py": "sample data, by Slicer's SampleData into its cache, which Slicer's settings empty",
    "networks/pretrained.py": 'weights for the rows "(pretrained)", into the folder that torchvision keeps them in',
    "cohort/public.py": "the public cohort, into the folder that its command names",
}
SOURCES = [path for module in MODULES for path in sorted((REPOSITORY / module).rglob("*.py"))]


# What is listed ------------------------------------------------------------------------------------------------------


def listed(cmake_file, name):
    """The entries of ``set(NAME ...)``, as CMake reads them."""
    text = re.sub(r"#.*", "", cmake_file.read_text(encoding="utf-8"))
    (content,) = re.findall(rf"^set\({name}\b([^)]*)\)", text, re.MULTILINE)
    return content.replace("${MODULE_NAME}", cmake_file.parent.name).split()


def present(module):
    """Every file of a module's folder that has to be installed: scripts and resources."""
    folder = REPOSITORY / module
    scripts = [folder / f"{module}.py", *folder.glob("*Lib/**/*.py")]
    resources = [path for path in folder.glob("Resources/**/*") if path.is_file() and path.name != ".DS_Store"]
    resources += folder.glob("*Lib/py.typed")
    resources += folder.glob("*Lib/**/*.csv")
    return [sorted(path.relative_to(folder).as_posix() for path in paths) for paths in (scripts, resources)]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(("index", "name"), enumerate(("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")))
def test_lists_are_the_folders(module, index, name):
    found, wanted = listed(REPOSITORY / module / "CMakeLists.txt", name), present(module)[index]
    assert len(set(found)) == len(found)
    missing, gone = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    assert not missing, f"{module}/CMakeLists.txt, {name}: these files would not be installed: {missing}"
    assert not gone, f"{module}/CMakeLists.txt, {name}: there are no such files: {gone}"


def test_every_module_and_self_test_is_built():
    root = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert MODULES
    for path in REPOSITORY.glob("CHMFL*/CHMFL*.py"):
        assert path.parent.name in MODULES and f"add_subdirectory({path.parent.name})" in root
    tests = {path.name for path in (REPOSITORY / "Testing").glob("CHMFL*SelfTest.py")}
    assert set(listed(REPOSITORY / "Testing" / "CMakeLists.txt", "SELF_TESTS")) == tests


# Configured, built, installed ----------------------------------------------------------------------------------------


def program(name):
    """A build tool: that of the Python package, which is the newer one, or the one on the path."""
    try:
        package = importlib.import_module(name)
    except ImportError:
        return shutil.which(name)
    folder = getattr(package, "CMAKE_BIN_DIR", None) or getattr(package, "BIN_DIR", None)
    return shutil.which(name, path=folder) or shutil.which(name)


def cmake(*arguments):
    """Run CMake; return its exit code and all that it said."""
    executable = program("cmake")
    if executable is None:
        pytest.skip("no CMake here (pip install cmake ninja): the extension is neither configured nor installed")
    done = subprocess.run([executable, *map(str, arguments)], capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout + done.stderr


def generator():
    ninja = program("ninja")
    if ninja is not None:
        return ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    if shutil.which("make") is None and os.name != "nt":
        pytest.skip("neither ninja nor make here (pip install ninja): the extension is not built")
    return []


def compiler():
    """The project enables C and C++, as Slicer wants, and compiles nothing: without a compiler CMake must not look."""
    if any(map(shutil.which, COMPILERS)):
        return []
    return [f"-DCMAKE_{word}={value}" for language in ("C", "CXX") for word, value in (
        (f"{language}_COMPILER", sys.executable), (f"{language}_COMPILER_FORCED", "ON"),
    )]  # fmt: skip


def install(folder, *options):
    """Configure, build and install the extension below a folder; return where its files lie."""
    target = folder / "installed"
    steps = [
        ["-S", REPOSITORY, "-B", folder / "build", f"-DSlicer_DIR={PACKAGING}", f"-DCMAKE_INSTALL_PREFIX={target}",
         *generator(), *compiler(), *options],
        ["--build", folder / "build"],
        ["--install", folder / "build"],
    ]  # fmt: skip
    for step in steps:
        code, said = cmake(*step)
        assert code == 0, said[-4000:]
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install(tmp_path_factory.mktemp("extension"))


def files_below(folder):
    """Files by their path below a folder, without what Python compiled from them."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix(): path for path in paths}


def assert_complete(flat):
    """Every file of every module is there, in one folder, byte for byte, and nothing else."""
    files, expected = files_below(flat), {}
    for module in MODULES:
        expected |= {name: REPOSITORY / module / name for names in present(module) for name in names}
    assert files.keys() == expected.keys()
    for name, path in files.items():
        assert path.read_bytes() == expected[name].read_bytes(), name


def test_install_tree_is_complete_and_flat(installed):
    assert_complete(installed / FLAT)
    assert set(files_below(installed)) == {(FLAT / name).as_posix() for name in files_below(installed / FLAT)}


def test_tests_are_registered(installed):
    registered = "".join(path.read_text() for path in (installed.parent / "build").rglob("CTestTestfile.cmake"))
    for name in [f"py_{module}" for module in MODULES] + [f"qSlicer{module}ModuleGenericTest" for module in MODULES]:
        assert name in registered
    for path in (REPOSITORY / "Testing").glob("CHMFL*SelfTest.py"):
        assert f"py_{path.stem}" in registered


def run_installed(installed, *command):
    """Run Python as Slicer's child does: the flat folder on the path, and nothing of this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed / FLAT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=installed, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_library_runs_from_the_install_tree(installed):
    card = json.loads((REPOSITORY / "CHMFLPredictor/Resources/Models/sts-dm-compact/model.json").read_text("utf-8"))
    said = run_installed(installed, "-m", "CHMFLPredictorLib", "card")
    assert card["name"] in said and str(installed / FLAT / "Resources" / "Models") in said
    code = (
        "from CHMFLPredictorLib.panel import needed_packages as n\n"
        "print(n.REQUIREMENTS_FILE, [name for name, _ in n.read_requirements()])"
    )
    said = run_installed(installed, "-c", code)
    assert str(installed / FLAT / "Resources") in said and "SimpleITK" in said


def test_training_runs_from_the_install_tree(installed):
    """With the predictor's library beside it, and the methods found as the package that they are."""
    assert "compare" in run_installed(installed, "-m", "CHMFLTrainingLib", "--help")
    code = (
        "from CHMFLTrainingLib.methods import registry as methods\n"
        "print(methods.__file__, len(methods.all_methods()), methods.find('chmfl')[0].__module__)"
    )
    said = run_installed(installed, "-c", code)
    file, count, module = said.split()
    assert Path(file) == installed / FLAT / "CHMFLTrainingLib" / "methods" / "registry.py"
    assert int(count) >= 40 and module == "CHMFLTrainingLib.methods.chmfl"


def test_library_imports_from_the_install_tree(installed):
    """No file imports one that is not installed, at whatever place in the file."""
    imports = 0
    for path in (installed / FLAT).glob("*Lib/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                for candidates in imported_files(path, node, installed / FLAT):
                    imports += 1
                    assert any(one.is_file() for one in candidates), (path.name, ast.unparse(node))
    assert imports > 400


def imported_files(path, node, flat):
    """For each name of an import from one of our libraries, the files of which one has to be there."""
    parts = node.module.split(".") if node.module else []
    if node.level:
        folder = path.parents[node.level - 1]
    elif parts and (flat / parts[0]).is_dir():
        folder = flat
    else:
        return
    folder = folder.joinpath(*parts)
    for alias in node.names:
        inside = folder / alias.name
        whole = [folder.with_suffix(".py")] if parts else []
        defined = [folder / "__init__.py"] if _defines(folder / "__init__.py", alias.name) else []
        yield [inside.with_suffix(".py"), inside / "__init__.py", *whole, *defined]


def _defines(path, name):
    return path.is_file() and re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")) is not None


def small_extension(folder, *modules):
    """An extension with modules of our choice: (name, files that are there, files that are listed)."""
    text = "cmake_minimum_required(VERSION 3.16.3...3.28.0)\nproject(Small NONE)\nfind_package(Slicer REQUIRED)\n"
    text += "include(${Slicer_USE_FILE})\n"
    for name, there, listed_files in modules:
        for file in there:
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_text("x = 1\n")
        call = f"slicerMacroBuildScriptedModule(NAME {name} SCRIPTS {' '.join(listed_files)})\n"
        (folder / name / "CMakeLists.txt").write_text(call)
        text += f"add_subdirectory({name})\n"
    (folder / "CMakeLists.txt").write_text(text)
    return cmake("-S", folder, "-B", folder / "build", f"-DSlicer_DIR={PACKAGING}", *generator())


@pytest.mark.parametrize(
    ("modules", "word"),
    [
        ([("A", ["A.py"], ["A.py"])], None),
        ([("A", ["A.py"], ["A.py", "ALib/gone.py"])], "there is no file 'ALib/gone.py'"),
        ([("A", ["A.py"], ["A"])], "there is no file 'A'"),
        ([("A", ["A.py"], ["A.py", "A.py"])], "listed twice"),
        ([("A", ["A.py", "x.py"], ["A.py", "x.py"]), ("B", ["B.py", "X.py"], ["B.py", "X.py"])], "overwrite another"),
        ([("A", ["A.py"], ["../A/A.py"])], "does not stay in the module's folder"),
        ([("A", ["A.py", "ALib/a.py"], ["A.py", "ALib"])], "there is no file 'ALib'"),
    ],
)
def test_the_stand_in_for_slicers_macros_is_strict(tmp_path, modules, word):
    code, said = small_extension(tmp_path, *modules)
    assert (code == 0) == (word is None), said
    assert word is None or word in " ".join(said.split()), said


@pytest.mark.skipif("CHMFL_SLICER_SOURCE" not in os.environ, reason="CHMFL_SLICER_SOURCE names no sources of Slicer")
def test_slicers_own_macros_install_the_same(tmp_path):
    version = re.search(r"version (\d+)\.(\d+)", cmake("--version")[1])
    if tuple(map(int, version.groups())) < (3, 28):
        pytest.skip(f"Slicer's macros want CMake 3.28 or newer, this is {version[0]}")
    sources = [
        f"-DCHMFL_{name}_SOURCE={Path(os.environ[f'CHMFL_{name}_SOURCE']).resolve()}" for name in ("SLICER", "CTK")
    ]
    target = install(tmp_path, *sources, f"-DCHMFL_PYTHON={sys.executable}")
    assert_complete(target / FLAT)
    compiled = {path.relative_to(target / FLAT).as_posix() for path in (target / FLAT).rglob("*.pyc")}
    assert compiled == {name + "c" for name in files_below(target / FLAT) if name.endswith(".py")}
    description = (target / "share" / "Slicer-5.12" / "CHMFL.s4ext").read_text(encoding="utf-8")
    for line in (f"depends {cmake_value('DEPENDS')}", f"iconurl {RAW}CHMFL.png", "build_subdirectory ."):
        assert re.search(rf"^{re.escape(line)}\s*$", description, re.MULTILINE), line
    assert f"description {cmake_value('DESCRIPTION')}\n" in description
    generic = tmp_path / "build" / "CHMFLPredictor" / "qSlicerCHMFLPredictorModuleGenericTest.py"
    assert "CHMFLPredictor" in generic.read_text(encoding="utf-8")


# The Extensions Index ------------------------------------------------------------------------------------------------


def cmake_value(name):
    """An EXTENSION_ variable, found as the index and its reviewers find it: one string in quotes on one line."""
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    (value,) = re.findall(rf'^set\(EXTENSION_{name} "([^"\n;]+)"\)$', text, re.MULTILINE)
    return value


def test_catalog_entry():
    assert b"\r" not in ENTRY.read_bytes()
    entry = json.loads(ENTRY.read_text(encoding="utf-8"))
    assert set(entry) <= {
        "$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory",
        "dicom_support_rule", "enabled", "tier",
    }  # fmt: skip
    assert re.fullmatch(r"https://.*/slicer-extension-catalog-entry-schema-v1\.0\.2\.json#", entry["$schema"])
    assert entry["category"] == "Nuclear Medicine"  # one of the index's fixed list
    assert re.fullmatch(r"https://github\.com/[\w-]+/Slicer\w+\.git", entry["scm_url"])
    assert entry["scm_url"] == cmake_value("HOMEPAGE") + ".git"
    assert entry["scm_revision"] == "main" and entry["tier"] in (1, 3, 5)
    assert entry["build_dependencies"] == cmake_value("DEPENDS").split() == ["PyTorch"]


def test_names():
    project = re.findall(r"project\s*\(\s*([^\s)]+)", (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert project == [ENTRY.stem] and not ENTRY.stem.lower().startswith("slicer")
    assert len(cmake_value("DESCRIPTION")) > 80 and "not for clinical use" in cmake_value("DESCRIPTION")
    assert re.fullmatch(r"[^()]+ \([^()]+\)(, [^()]+ \([^()]+\))*", cmake_value("CONTRIBUTORS"))


def test_pictures_of_the_catalog_are_in_the_repository():
    from PIL import Image

    screenshots = cmake_value("SCREENSHOTURLS").split()
    assert screenshots
    for url in [cmake_value("ICONURL"), *screenshots]:
        assert url.startswith(RAW) and url.endswith(".png"), url
        with Image.open(REPOSITORY / url.removeprefix(RAW)) as picture:
            assert picture.format == "PNG" and (url != cmake_value("ICONURL") or picture.size == (128, 128))


def test_license_and_readme_are_at_the_top():
    assert "Apache License" in (REPOSITORY / "LICENSE.txt").read_text(encoding="utf-8")
    root = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    for kind, name in (("LICENSE", "LICENSE.txt"), ("README", "README.md")):
        assert f'set(EXTENSION_{kind}_FILE "${{CMAKE_CURRENT_SOURCE_DIR}}/{name}")' in root
        assert (REPOSITORY / name).is_file()


def test_module_icons():
    """Each module has the one that Slicer looks for: Resources/Icons/<name>.svg, then .png."""
    from PIL import Image

    for module in MODULES:
        icon = REPOSITORY / module / "Resources" / "Icons" / module
        if icon.with_suffix(".svg").is_file():
            text = icon.with_suffix(".svg").read_text(encoding="utf-8")
            assert text.startswith("<svg ") and 'viewBox="0 0 128 128"' in text
            assert "<script" not in text and "href" not in text
        else:
            with Image.open(icon.with_suffix(".png")) as picture:
                assert picture.width == picture.height >= 128 and picture.mode == "RGBA"


def test_every_package_that_training_needs_has_a_line():
    """What CHMFLTrainingLib imports from elsewhere stands in one of the two lists of packages, or Slicer brings it."""
    listed_names = set()
    for path in REPOSITORY.glob("CHMFL*/Resources/requirements-*.txt"):
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        listed_names |= {re.split(r"[<>=]", line)[0].lower() for line in lines if line and not line.startswith("#")}
    own = {"torch", "pytorchutils", "slicer", "qt", "ctk", "vtk", "chmflpredictorlib", "chmfltraininglib"}
    known = {"pil": "pillow", "sklearn": "scikit-learn"}
    optional = {"torchvision", "psutil", "pandas", "threadpoolctl"}  # used where they are there; the latter three come
    # with distributed, mirp and scikit-learn
    for path in (REPOSITORY / "CHMFLTraining").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in (name.split(".")[0] for name in names):
                package = known.get(name.lower(), name.lower())
                assert name in sys.stdlib_module_names or package in listed_names | own | optional, (path.name, name)


def test_pytorch_comes_through_its_extension():
    """No list of packages names torch, and no code gives its name to pip."""
    for path in [*REPOSITORY.glob("CHMFL*/Resources/**/*.txt"), *REPOSITORY.glob("CHMFL*/Resources/**/*.toml")]:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert not any(re.match(r"\s*torch", line) for line in lines), path.name
    installers = {"pip_install", "pip_ensure", "installTorch"}
    callers = {path.name for path in SOURCES if called(path) & installers}
    assert callers == {"packages.py"}  # Testing/panel/test_dependencies.py looks at what it installs


def called(path):
    """The names of everything that a file calls."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return {getattr(function, "attr", getattr(function, "id", "")) for function in calls}


def test_nothing_is_sent_and_downloads_can_be_removed():
    """Three files load something, each when the user asks for it and into a folder that the user knows."""
    network = re.compile(
        r"^\s*(?:import|from)\s+(?:urllib\.request|requests|http|ftplib|smtplib|aiohttp|httpx)\b", re.MULTILINE
    )
    for path in SOURCES:
        text, shown = path.read_text(encoding="utf-8"), f"{path.parent.name}/{path.name}"
        assert not network.search(text) or shown in DOWNLOADERS, shown
        loads = called(path) & {
            "downloadFile",
            "urlretrieve",
            "urlopen",
            "create_connection",
            "load_state_dict_from_url",
        }
        assert not loads or shown in DOWNLOADERS, shown


@pytest.mark.skipif("CHMFL_INDEX_SOURCE" not in os.environ, reason="CHMFL_INDEX_SOURCE names no Extensions Index")
@pytest.mark.skipif(sys.version_info < (3, 12), reason="the Extensions Index's script is written for Python 3.12")
def test_the_index_own_checks_pass():
    """All of its checks that need no network, by its own script."""
    index = Path(os.environ["CHMFL_INDEX_SOURCE"]).resolve()
    path = index / "scripts" / "check_description_files.py"
    spec = importlib.util.spec_from_file_location("check_description_files", path)
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    name, entry = ENTRY.stem, json.loads(ENTRY.read_text(encoding="utf-8"))
    checks.check_json_file_format(name, entry, str(ENTRY))
    for check in ("check_extension_name", "check_category", "check_git_repository_name", "check_scm_url_syntax"):
        getattr(checks, check)(name, entry)
    checks.check_license_file(name, entry, str(REPOSITORY))
    checks.validate_image_url = lambda *arguments: None  # the addresses are public once the repository is
    checks.check_cmakelists_content(name, entry, str(REPOSITORY))
    assert all((index / f"{dependency}.json").is_file() for dependency in entry["build_dependencies"])
