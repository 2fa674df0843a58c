"""What the MRML widgets of Slicer use to follow VTK objects: observers that end with the widget, weak pointers."""

import weakref

from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT, VTK_STRING
from vtkmodules.vtkCommonCore import vtkWeakReference

DELETED = "DeleteEvent"


def vtk_argument(value, class_name: str):
    """Return a value that is None or a VTK object of that class.

    Raises ValueError for anything else, as vtkPythonUtil::GetPointerFromObject does when PythonQt unwraps the argument
    of a slot (CTK's ctkVTKPythonQtWrapperFactory.cpp). The pointer overload of a slot comes first, so a text raises
    too, even where C++ has an overload for QString.
    """
    if value is None:
        return None
    if not hasattr(value, "IsA") or not hasattr(value, "GetClassName"):
        raise ValueError("method requires a VTK object")
    if not value.IsA(class_name):
        raise ValueError(f"method requires a {class_name}, a {value.GetClassName()} was provided.")
    return value


class Weak:
    """A vtkWeakPointer: None again as soon as VTK has deleted the object."""

    def __init__(self):
        self._reference = vtkWeakReference()

    def set(self, vtk_object) -> None:
        self._reference.Set(vtk_object)

    def get(self):
        return self._reference.Get()


class Observers:
    """The VTK observers of one Qt object, as ctkVTKObject's qvtkConnect keeps them.

    They hold the Qt object weakly and are removed when it is destroyed: by Python, by its parent or by deleteLater.
    """

    def __init__(self, owner):
        self._owner = weakref.ref(owner)
        self._tags = {}  # (address of the VTK object, event, method name): (Weak, tag)
        tags = self._tags
        owner.destroyed.connect(lambda *_: _remove_all(tags))

    def add(self, vtk_object, event: int, method: str, call_data: int | None = None, priority: float = 0.0) -> None:
        """Call ``owner.method(caller, event)`` at that event, with the call data if its VTK type is given.

        Does nothing for None and where the same connection is already there.
        """
        if vtk_object is None:
            return
        key = (vtk_object.__this__, event, method)
        known = self._tags.get(key)
        if known is not None and known[0].get() is not None:
            return
        weak = Weak()
        weak.set(vtk_object)
        self._tags[key] = (weak, vtk_object.AddObserver(event, _callback(self._owner, method, call_data), priority))

    def remove(self, vtk_object, event: int | None = None, method: str | None = None) -> None:
        """Remove what was added for this object (None: for all), this event and this method."""
        address = None if vtk_object is None else vtk_object.__this__
        for key in list(self._tags):
            wanted = (address or key[0], event or key[1], method or key[2])
            if key == wanted:
                _remove(self._tags.pop(key))

    def move(self, old, new, event: int, method: str) -> None:
        """Follow another object from now on: qvtkReconnect."""
        if old is not None:
            self.remove(old, event, method)
        self.add(new, event, method)

    def __len__(self) -> int:
        return sum(weak.get() is not None for weak, _ in self._tags.values())


def _callback(owner, method: str, call_data):
    """Make the function that VTK calls; it must not keep the Qt object alive."""

    # Without a caller the VTK object is being destroyed, and whoever took hold of it again would break that.
    def call(caller, event):
        alive = owner()
        if alive is not None and (caller is not None or event == DELETED):
            getattr(alive, method)(caller, event)

    def call_with_data(caller, event, data):
        alive = owner()
        if alive is not None and caller is not None:
            getattr(alive, method)(caller, event, data)

    if call_data is None:
        return call
    return calldata_type(call_data)(call_with_data)


def _remove(entry) -> None:
    weak, tag = entry
    vtk_object = weak.get()
    if vtk_object is not None:
        vtk_object.RemoveObserver(tag)


def _remove_all(tags: dict) -> None:
    for entry in tags.values():
        _remove(entry)
    tags.clear()


__all__ = ["DELETED", "VTK_OBJECT", "VTK_STRING", "Observers", "Weak", "vtk_argument"]
