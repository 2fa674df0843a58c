"""A module's panel and Slicer's views, photographed while a prediction is made as a user would make it."""

import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PANEL_WIDTH, VIEW_SIZE, GAP = 430, 495, 4
TIMEOUT_S = 1800


class Photographer:
    """Works the panel as a user would, and takes pictures on the way.

    :param output: folder for the PNGs.
    :ivar taken: the pictures' paths.
    """

    MODULE, TITLE = "CHMFLPredictor", "CHMFL Predictor"

    def __init__(self, output: Path):
        self.output, self.taken = output, []

    def tell(self) -> None:
        """Print the paths of the pictures."""
        for path in self.taken:
            print(path)

    def open_panel(self) -> None:
        """Start the stand-in and open the module."""
        import slicer_standin

        slicer_standin.start(testing=False)
        slicer_standin.add_module(REPOSITORY / self.MODULE / f"{self.MODULE}.py")
        import slicer
        from PySide6.QtWidgets import QApplication
        from slicer_standin import slicer_style
        from slicer_standin.pythonqt import unwrap

        slicer_style.apply(QApplication.instance())

        getattr(slicer.modules, self.MODULE.lower()).widgetRepresentation().enter()  # what selecting it does
        self.widget = getattr(slicer.modules, f"{self.MODULE}Widget")
        self.window = unwrap(self.widget.parent)
        self.window.setWindowTitle(self.TITLE)
        self.window.show()

    def load(self, patient: Path | None) -> None:
        """Bring PET and CT into the scene; the panel chooses them."""
        import slicer

        ui = self.widget.ui
        if patient is None:
            ui.sampleComboBox.setCurrentIndex(ui.sampleComboBox.findData("Phantom"))
            ui.loadSampleButton.click()
        else:
            for role in ("PET", "CT"):
                slicer.util.loadVolume(str(patient / f"{role}.nii.gz"), {"name": f"{patient.name} {role}"})
        self.until(lambda: ui.predictButton.enabled)
        self.until(lambda: "Looking" not in ui.deviceLabel.text)
        self.grab_panel("panel_before")

    def predict(self) -> None:
        """Click, catch the moment when the risk is known and the tumor is not, and wait for the end."""
        ui, panel = self.widget.ui, self.widget.panel
        ui.predictButton.click()
        self.until(lambda: panel.state.risk is not None or not panel.state.busy)
        self.grab_panel("panel_during")
        self.until(lambda: not panel.state.busy)
        print(ui.stageLabel.text)
        self.grab_panel("panel_after")

    def take_views(self) -> None:
        """Slice views with PET over CT and with the relevance, and the 3D view."""
        import slicer
        from slicer_standin.views import SliceView, ThreeDView

        views = {name: SliceView(name, (VIEW_SIZE, VIEW_SIZE)) for name in ("Red", "Yellow", "Green")}
        box = next(node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode"))
        center = [0.0, 0.0, 0.0]
        box.GetCenterWorld(center)
        for view in views.values():
            view.fit()
            view.node.JumpSliceByCentering(*center)
        three_d = ThreeDView((VIEW_SIZE, VIEW_SIZE))
        three_d.look_at_all()
        self.mosaic("views_pet_over_ct", [*views.values(), three_d])
        self.beside("slicer", "panel_after", "views_pet_over_ct")
        self.widget.ui.relevanceCheckBox.click()
        self.mosaic("views_relevance", [*views.values(), three_d])

    def until(self, condition) -> None:
        """Let the event loop run until a condition holds."""
        import slicer

        end = time.monotonic() + TIMEOUT_S
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("The panel did not get there. Its log:\n" + self.widget.ui.logTextEdit.plainText)
            slicer.app.processEvents()
            time.sleep(0.01)

    def grab_panel(self, name: str) -> None:
        """Take a picture of the whole panel, as high as it wants to be."""
        import slicer

        for _ in range(3):  # words that wrap settle the height step by step
            self.window.resize(PANEL_WIDTH, self.window.minimumSizeHint().height())
            slicer.app.processEvents()
        height = self.window.layout().heightForWidth(PANEL_WIDTH)
        self.window.resize(PANEL_WIDTH, max(height, self.window.minimumSizeHint().height()))
        slicer.app.processEvents()
        self.window.grab().save(self._path(name))

    def mosaic(self, name: str, views) -> None:
        """Put views into one picture, two in a row, as Slicer's four-up layout does."""
        from PIL import Image

        picture = Image.new("RGB", (2 * VIEW_SIZE + GAP, 2 * VIEW_SIZE + GAP), "#3f3f3f")
        for index, view in enumerate(views):
            path = self.output / ".view.png"
            view.save(path)
            with Image.open(path) as image:
                place = (index % 2 * (VIEW_SIZE + GAP), index // 2 * (VIEW_SIZE + GAP))
                picture.paste(image.convert("RGB"), place)
            path.unlink()
        picture.save(self._path(name), optimize=True)

    def beside(self, name: str, left: str, right: str) -> None:
        """Panel and views in one picture."""
        from PIL import Image

        with Image.open(self.output / f"{left}.png") as panel, Image.open(self.output / f"{right}.png") as views:
            height = max(panel.height, views.height)
            picture = Image.new("RGB", (panel.width + GAP + views.width, height), "#efefef")
            picture.paste(panel.convert("RGB"), (0, 0))
            picture.paste(views, (panel.width + GAP, 0))
            picture.save(self._path(name), optimize=True)

    def _path(self, name: str) -> str:
        path = self.output / f"{name}.png"
        self.taken.append(path)
        return str(path)
