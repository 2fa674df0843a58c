"""``python -m CHMFLTrainingLib``: finds the predictor's library beside it, in a source tree or an installed one."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
for folder in (_HERE.parent, _HERE.parent.parent / "CHMFLPredictor"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from .commands.cli import main  # noqa: E402  the path has to be set first

sys.exit(main())
