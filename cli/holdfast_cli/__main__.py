"""`python -m holdfast_cli` does what `holdfast` does."""

import sys

from holdfast_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
