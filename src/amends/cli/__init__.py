"""The command line: `amends` and `python -m amends`.

Modules named after commands (`runs`, `start`, `worker`, `db`) hold signatures and help and import nothing
heavy, so that `--help` is quick; what a command does stands in the module that it imports when it is called.
"""

from amends.cli.app import app

__all__ = ["app"]
