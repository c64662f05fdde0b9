"""``python -m mapsr`` is the same as ``mapsr``."""

import sys

from mapsr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
