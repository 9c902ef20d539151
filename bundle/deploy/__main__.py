"""``python -m bundle.deploy``."""

import sys

from bundle.deploy.app import main

sys.exit(main(sys.argv))
