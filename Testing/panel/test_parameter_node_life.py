"""Both modules with Slicer's own parameterNodeWrapper, which in Slicer 5.10 crashed them: opened, left, opened again.

Slicer's sources are named by CHMFL_SLICER_SOURCE; those of the tags v5.10.0, v5.12.3 and main have been tried.
"""

import subprocess
import sys

import pytest
from conftest import REPOSITORY
from own_modules import FILES, NO_SOURCE, SOURCE

SCRIPT = """
import gc, importlib.util, sys
sys.path[:0] = [{testing!r}, {panel!r}]
import slicer_standin
slicer_standin.start()
import slicer, ctk
from test_parameter_node import UNKNOWN
for module, classes in UNKNOWN.items():
    for name in classes.split():
        if not hasattr(sys.modules[module], name):
            setattr(sys.modules[module], name, type(name, (), {{}}))
for name in [one for one in sys.modules if one.startswith("slicer.parameterNodeWrapper")]:
    del sys.modules[name]
name, path = "slicer.parameterNodeWrapper", {own!r}
spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[{folder!r}])
own = sys.modules[name] = slicer.parameterNodeWrapper = importlib.util.module_from_spec(spec)
spec.loader.exec_module(own)
module = slicer_standin.add_module({module!r})
widget = module.widgetRepresentation()
wrapper = module.name + "ParameterNode"
for _ in range(3):
    widget.enter()
    slicer.app.processEvents()
    widget.exit()
    gc.collect()
    left = [one for one in gc.get_objects() if type(one).__name__ == wrapper]
    assert not left, "an observer that nobody removes keeps it, or crashes when it goes"
widget.enter()
panel = getattr(slicer.modules, module.name + "Widget")
box = getattr(panel.ui, {box!r})
for _ in range(2):
    box.click()
    slicer.app.processEvents()
    gc.collect()
widget.exit()
slicer.mrmlScene.Clear(False)
gc.collect()
slicer.app.processEvents()
print(slicer_standin.module_errors, own.__file__)
"""


@pytest.mark.skipif(not SOURCE, reason=NO_SOURCE)
@pytest.mark.parametrize(
    ("module", "box"), [("CHMFLPredictor", "riskOnlyCheckBox"), ("CHMFLTraining", "despiteFindingsCheckBox")]
)
def test_opened_left_collected_opened_and_ticked(module, box):
    own = f"{SOURCE}/{FILES['slicer.parameterNodeWrapper']}"
    testing = REPOSITORY / "Testing"
    script = SCRIPT.format(
        testing=str(testing), panel=str(testing / "panel"), own=own, folder=own.rpartition("/")[0],
        module=str(REPOSITORY / module / f"{module}.py"), box=box,
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr[-3000:]}"
    assert done.stdout.splitlines()[-1].split() == ["[]", own]
