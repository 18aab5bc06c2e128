"""The command: python -m e2e.images build|push|listing|check."""

import sys

from e2e.images.cli import main

sys.exit(main(sys.argv[1:]))
