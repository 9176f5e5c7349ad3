"""``python -m fovea``: the command line without its script."""

import sys

from fovea.cli import main

if __name__ == "__main__":
    sys.exit(main())
