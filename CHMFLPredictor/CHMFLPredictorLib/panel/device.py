"""Names the devices of this computer in the panel; asked of a child process, so that Slicer never waits for torch."""

from html import escape

import qt
from slicer.i18n import tr as _

from ..child.process import ChildProcess, Ending, low_priority_stays
from .packages import declined, has_torch, offer_again

INTERVAL_MS = 200


class DeviceBox:
    """The line under the choice of the device.

    :param ui: the panel's widgets by name.
    """

    def __init__(self, ui):
        self._ui, self._child, self._lines = ui, None, []
        ui.deviceLabel.connect("linkActivated(QString)", self._onOfferAgain)
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    def detect(self) -> None:
        """Ask for the devices, once; without torch nobody can tell."""
        if self._child is not None:
            return
        if not has_torch():
            self._show([_("Known once PyTorch is installed, at the first prediction.")])
            return
        self._show([_("Looking for devices...")])
        self._child = ChildProcess(["devices", "--progress", "json"])
        self._child.start()
        self._timer.start()

    def stop(self) -> None:
        """Let go of the child process."""
        self._timer.stop()
        if self._child is not None and self._child.running:
            self._child.kill()
            self._child.wait()

    def _tick(self) -> None:
        ended = self._child.poll()
        if ended is None:
            return
        self._timer.stop()
        devices = ended.result["devices"] if ended.ending is Ending.DONE else []
        lines = [self._line(device) for device in devices] or [_("The devices of this computer cannot be told.")]
        if low_priority_stays():
            lines.append(_("Slicer runs at low priority here (nice 19): on a busy computer a prediction takes long."))
        self._show(lines)

    def _show(self, lines: list[str]) -> None:
        self._lines = lines
        text = "\n".join(lines)
        if declined():
            link = _("OpenVINO was declined; offer it again at the next prediction")
            text = "<br>".join([*map(escape, lines), f'<a href="offer">{link}</a>'])
        self._ui.deviceLabel.text = text

    def _onOfferAgain(self, link: str) -> None:
        offer_again()
        self._show(self._lines)

    def _line(self, device: dict) -> str:
        memory = f", {device['memory_gb']:.0f} GB" if device.get("memory_gb") else ""
        problem = f" \N{WARNING SIGN} {device['problem']}" if device.get("problem") else ""
        return f"{device['device']}: {device['name']}{memory}{problem}"
