"""Signals between Qt and Python: PythonQtSignalReceiver.cpp and PythonQtSignal.cpp of commontk/PythonQt.

Everything here works on PySide objects; wrappers are made where a Python function is called.
"""

import sys

import shiboken6
from PySide6 import QtCore

from .pythonqt_members import CppMethod, class_info, is_generated, normalized, shown_class
from .pythonqt_ownership import keep
from .pythonqt_wrapping import to_python

# exceptions that left a Python slot: printed as in Slicer, and kept so that a test can assert that there were none
slot_errors: list[BaseException] = []
CO_VARARGS = 0x04


class PythonQtSignalReceiver(QtCore.QObject):
    """The child of a sender that holds the Python callables connected to it, and shows up among its children."""

    def __init__(self, sender) -> None:
        super().__init__(sender)
        keep(self)
        self.targets: list[tuple[CppMethod, object, object]] = []


def _receiver(sender) -> PythonQtSignalReceiver | None:
    return next((child for child in sender.children() if isinstance(child, PythonQtSignalReceiver)), None)


def find_method(qt_object, signature: str, *, signal: bool) -> CppMethod | None:
    """The signal or slot of exactly this signature; PySide's own name for a C++ type does not count."""
    wanted = normalized(signature)
    for method in class_info(shown_class(qt_object)).methods:
        is_signal = isinstance(getattr(qt_object, method.attribute, None), QtCore.SignalInstance)
        if method.signature == wanted and is_signal == signal:
            return method
    return None


def connect(sender, signal: str, function) -> bool:
    """Connect a signal of a PySide object to a callable, which is kept alive; False if there is no such signal."""
    method = find_method(sender, signal.removeprefix("2"), signal=True)
    if method is None:
        name = shown_class(sender).__name__
        print(f"PythonQt: QObject::connect() signal '{signal}' does not exist on {name}", file=sys.stderr)
        return False

    def target(*args):
        call_slot(function, args)

    _connect_target(sender, method, target)
    (_receiver(sender) or PythonQtSignalReceiver(sender)).targets.append((method, function, target))
    return True


def disconnect(sender, signal: str, function=None) -> bool:
    """Take back one connection of a callable, or all of the signal; False if there was none."""
    wanted = normalized(signal.removeprefix("2"))
    receiver = _receiver(sender)
    found = [
        entry
        for entry in (receiver.targets if receiver else ())
        if entry[0].signature == wanted and (function is None or entry[1] == function)
    ]
    for entry in found if function is None else found[:1]:
        receiver.targets.remove(entry)
        _connect_target(sender, entry[0], entry[2], undo=True)
    return bool(found)


def _connect_target(sender, method: CppMethod, target, undo: bool = False) -> None:
    definer = next(base for base in type(sender).__mro__ if method.attribute in vars(base))
    if is_generated(definer):
        text = QtCore.SIGNAL(method.signature)
        (QtCore.QObject.disconnect if undo else QtCore.QObject.connect)(sender, text, target)
    else:
        instance = getattr(sender, method.attribute)
        (instance.disconnect if undo else instance.connect)(target)


def connect_objects(sender, signal: str, receiver, slot: str) -> bool:
    """Connect two PySide objects by exact signatures, as QObject::connect does; False and a line where they differ."""
    found_signal = find_method(sender, signal.removeprefix("2"), signal=True)
    found_slot = find_method(receiver, slot.removeprefix("1"), signal=False) or find_method(
        receiver, slot.removeprefix("1"), signal=True
    )
    for found, owner, text in ((found_signal, sender, signal), (found_slot, receiver, slot)):
        if found is None:
            name = shown_class(owner).__name__
            kind = "signal" if text == signal else "slot"
            print(f"QObject::connect: No such {kind} {name}::{text}", file=sys.stderr)
            return False
    wanted = found_slot.types
    if found_signal.types[: len(wanted)] != wanted:
        print(
            f"QObject::connect: Incompatible sender/receiver arguments\n"
            f"        {shown_class(sender).__name__}::{found_signal.signature} --> "
            f"{shown_class(receiver).__name__}::{found_slot.signature}",
            file=sys.stderr,
        )
        return False

    def target(*args):
        if shiboken6.isValid(receiver):
            slot_function = getattr(receiver, found_slot.attribute)
            getattr(slot_function, "emit", slot_function)(*args[: len(wanted)])

    _connect_target(sender, found_signal, target)
    return True


def call_slot(function, args: tuple):
    """Call a Python slot with as many arguments as its code takes; exceptions are printed and kept in slot_errors.

    Only functions and bound methods without ``*args`` are counted, and parameters with defaults count as well.
    """
    bound = hasattr(function, "__func__")
    code = getattr(function.__func__ if bound else function, "__code__", None)
    wanted = len(args)
    if code is not None and not code.co_flags & CO_VARARGS:
        wanted = max(code.co_argcount - bound, 0)
    try:
        return function(*(to_python(arg) for arg in args[:wanted]))
    except BaseException:
        report_error()
        return None


def report_error() -> None:
    """Print the exception being handled, as PyErr_Print does, and keep it."""
    kind, error, trace = sys.exc_info()
    slot_errors.append(error)
    sys.excepthook(kind, error, trace)
