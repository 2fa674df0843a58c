"""Twenty predictions in a row leave what one leaves: nodes, observers, files, processes, threads, timers."""

import gc
import os
import tempfile
import threading
import weakref
from pathlib import Path
from unittest import mock

import chmfl_selftest as selftest
import qt
import slicer
import vtk

RUNS = 20
RELOADS = 3
OPEN_FILES = Path("/proc/self/fd")


class LeakSelfTest(selftest.PanelTest):
    """With the real command line and a small network."""

    def test_twenty_predictions(self):
        patient = selftest.Patient("P1")
        self.choose(patient.pet, patient.ct)
        self.timers, self.followers = [], weakref.WeakSet()
        counted = selftest.Replaced(QTimer=self.make_timer)
        with self.small_model(), mock.patch("CHMFLPredictorLib.panel.follower.qt", counted):
            counts = [self.count_after_a_run(patient) for _ in range(RUNS)]
        self.assertEqual(len(self.launcher.children), RUNS)
        for what in counts[0]:
            with self.subTest(what):
                after = [count[what] for count in counts]
                if what == "open files":  # of other parts of Slicer too: they come and go
                    self.assertLessEqual(after[-1], max(after[:3]), f"{what} after each run: {after}")
                else:
                    self.assertEqual(after[-1], after[1], f"{what} after each run: {after}")
        self.assertLessEqual(counts[-1]["followers"], 1, "the last run alone is remembered")
        self.assertEqual(counts[-1]["timers that run"], 0)

    def test_reloads(self):
        """What a panel took hold of it lets go of, however often the module is reloaded."""
        self.choose(*selftest.Patient("P1").volumes)
        counts, threads = [], []
        for _ in range(RELOADS):
            old = self.widget
            old.onReload()
            selftest.open_module()
            slicer.app.processEvents()
            gc.collect()
            self.assertEqual(old.Observations, [])
            counts.append((observers(self.parameters.parameterNode), selftest.node_ids()))
            threads.append(threading.active_count())
        self.assertEqual(counts[-1], counts[0])
        # a program that the last panel asked may still answer
        selftest.wait_for(lambda: threading.active_count() <= max(threads[0], 1), "its threads end", 30)

    def make_timer(self):
        timer = qt.QTimer()
        self.timers.append(timer)
        return timer

    def count_after_a_run(self, patient):
        """The user comes from another module, predicts, and everything is counted."""
        module = slicer.modules.chmflpredictor.widgetRepresentation()
        module.exit()
        module.enter()
        self.predict_well()
        self.followers.add(self.follower)
        slicer.app.processEvents()
        gc.collect()
        nodes = (patient.pet, patient.ct, *selftest.results(patient.pet, patient.ct).values())
        temporary = {Path(tempfile.gettempdir()), Path(slicer.app.temporaryPath)}
        return {
            "nodes": slicer.mrmlScene.GetNumberOfNodes(),
            "observers of the scene": observers(slicer.mrmlScene),
            "observers of the parameter node": observers(self.parameters.parameterNode),
            "observers of the volumes and results": sum(observers(node) for node in nodes),
            "observers that the panel keeps": len(self.widget.Observations),
            "temporary files": sum(len(list(folder.glob("[cC][hH][mM][fF][lL]*"))) for folder in temporary),
            "processes": len(self.launcher.alive()),
            "threads": threading.active_count(),
            "timers that run": sum(timer.isActive() for timer in self.timers),
            "followers": len(self.followers),
            "open files": len(os.listdir(OPEN_FILES)) if OPEN_FILES.is_dir() else 0,
        }


def observers(vtk_object) -> int:
    """How many observers a VTK object has: the tags that it gave and that are still known to it."""
    tag = vtk_object.AddObserver(vtk.vtkCommand.UserEvent, lambda caller, event: None)
    vtk_object.RemoveObserver(tag)
    return sum(vtk_object.GetCommand(number) is not None for number in range(1, tag))
