"""`python -m albatross` is the command `albatross`."""

import sys

from albatross.cli import main

if __name__ == "__main__":
    sys.exit(main())
