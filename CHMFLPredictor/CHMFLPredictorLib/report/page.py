"""Fills the reports' pages. They are templates that a designer can open, in ``Resources/Templates``."""

from .. import MODULE_FOLDER
from .plots import known, percent

TEMPLATES = MODULE_FOLDER / "Resources" / "Templates"


def page(template: str, values: dict, folder=TEMPLATES) -> str:
    """Fill a template; every text is escaped, and what is None, empty or absent shows as "not available".

    :param template: name of the file; it may extend ``page.html``.
    :param values: what it speaks of. Dictionaries may lack any key. HTML of our own comes as ``markupsafe.Markup``.
    :param folder: where the template lies.
    """
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=_or_missing,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"known": known, "percent": _percent, "number": _number, "interval": _interval}
    return environment.get_template(template).render(values)


def _or_missing(value):
    from jinja2 import Undefined
    from markupsafe import Markup

    missing = value is None or isinstance(value, Undefined) or (value == "" and not isinstance(value, Markup))
    return Markup('<span class="missing">not available</span>') if missing else value


def _percent(value) -> str | None:
    return percent(value) if known(value) else None


def _number(value, unit: str = "", digits: int | None = None) -> str | None:
    """A number with its unit; one decimal below 100, none above, where digits are not given."""
    if not known(value):
        return None
    digits = (1 if abs(value) < 100 else 0) if digits is None else digits
    return f"{value:.{digits}f}{' ' + unit if unit else ''}"


def _interval(ends, digits: int | None = None) -> str | None:
    """Two numbers, as percentages where digits are not given."""
    if not ends or not all(known(end) for end in ends):
        return None
    return " to ".join(percent(end) if digits is None else f"{end:.{digits}f}" for end in ends)
