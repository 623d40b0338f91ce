"""The host's `gridtie` command from a checkout: `PYTHONPATH=src python3 -m gridtie.host`."""

import sys

from gridtie.host.cli import main

sys.exit(main())
