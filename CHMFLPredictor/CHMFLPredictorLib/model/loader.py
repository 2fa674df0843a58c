"""Loads the model in a thread while the images are read: importing torch alone takes a second or two."""

import threading
from collections.abc import Callable
from importlib.util import find_spec

from ..failures import missing_package
from .bundle import Bundle


def require_packages() -> None:
    """Raise :class:`MissingDependency` when a package that every prediction needs is not installed. Imports nothing."""
    for name in ("torch", "PIL"):
        if find_spec(name) is None:
            raise missing_package(ModuleNotFoundError(name=name))


class ModelLoader:
    """Imports torch, builds the networks and compiles them, in a thread that starts at once; see
    :func:`.open_engine`.
    """

    def __init__(self, bundle: Bundle, device: str, engine: str, threads: int | None):
        self._bundle, self._options = bundle, (device, engine, threads)
        self._result, self._error = None, None
        self._thread = threading.Thread(target=self._load, name="model", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        try:
            from ..network.engines import open_engine

            networks = self._bundle.networks()
            config, (device, engine, threads) = self._bundle.network_config, self._options
            shape = (2 * config.branch_inputs, *config.input_size)
            self._result = networks, open_engine(networks, shape, device=device, engine=engine, threads=threads)
        except ModuleNotFoundError as error:
            self._error = missing_package(error)
        except BaseException as error:  # raised again in the thread that waits for the model
            self._error = error

    def check(self) -> None:
        """Raise what made the loading fail, if it did."""
        if self._error is not None:
            raise self._error

    def wait(self, check: Callable[[], None]):
        """Return the networks and the engine as soon as they are there; call ``check`` meanwhile."""
        while self._thread.is_alive():
            self._thread.join(0.05)
            check()
        self.check()
        return self._result
