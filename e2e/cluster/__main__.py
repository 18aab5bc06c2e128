"""The command: python -m e2e.cluster up|down|status|env|load|kill|enter."""

import sys

from e2e.cluster.cli import main

sys.exit(main(sys.argv[1:]))
