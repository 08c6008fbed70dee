"""Run the command line as `python -m amends`."""

from amends.cli import app

if __name__ == "__main__":
    app()
