"""``python -m bundle``."""

from __future__ import annotations

from bundle.cli import main

if __name__ == "__main__":
    main()
