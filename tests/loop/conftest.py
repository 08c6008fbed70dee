"""Let the loop's contract tests run on a Python that has pytest and nothing else.

From the checkout, with any Python:
``python -m pytest -c /dev/null --rootdir . --confcutdir tests/loop tests/loop``.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).parents[2] / "sagas"

if find_spec("amends") is None or find_spec("pydantic") is None:
    for name, folder in (("amends", SOURCE.parent / "src/amends"), ("amends.sagas", SOURCE)):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
