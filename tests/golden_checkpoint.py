"""Where the tiny checkpoint in the published layout lies; its README tells what it holds."""

from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
