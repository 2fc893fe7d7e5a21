import sys
from pathlib import Path

for room in ("evaluation", "comparison", "images"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / room))
