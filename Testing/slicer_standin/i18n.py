"""slicer.i18n: texts go through ``slicer.app.translate`` with the calling file's name as context.

Follows Slicer's Base/Python/slicer/i18n.py. A text is translated as it is written: an f-string or a formatted text
reaches the translator after its values were put in, and then nothing matches it. A translation with other placeholders
than the text is logged and dropped.
"""

import inspect
import logging
import re
import types
from pathlib import Path

_PLACEHOLDER = re.compile(r"(?<!\{)\{([^\{\}]+)\}(?!\})")


def translate(context, text):
    """Translate a text in a given context; without an application the text comes back."""
    try:
        from slicer import app
    except ImportError:
        return text
    return app.translate(context, text)


def getContext(sourceFile):
    """Name of a source file's context: the file's stem, after the package's name if the folder has an __init__.py."""
    path = Path(sourceFile)
    if not path.is_file():
        return path.name
    stem = path.name.replace(".py", "")
    return f"{path.parent.name}.{stem}" if (path.parent / "__init__.py").is_file() else stem


def tr(text):
    """Translate a text in the context of the file that calls; usually imported as ``_``."""
    caller = inspect.currentframe().f_back
    context = getContext(inspect.getsourcefile(caller) or inspect.getfile(caller))
    translated = translate(context, text)
    if set(_PLACEHOLDER.findall(text)) != set(_PLACEHOLDER.findall(translated)):
        logging.warning(f"Translation of '{text}' in context '{context}' has other placeholders: '{translated}'")
        return text
    return translated


def build() -> types.ModuleType:
    """Make the module that stands in for slicer.i18n."""
    module = types.ModuleType("slicer.i18n", __doc__)
    for function in (tr, translate, getContext):
        setattr(module, function.__name__, function)
    return module
