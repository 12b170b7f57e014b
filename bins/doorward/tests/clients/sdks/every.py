"""Runs a client program once for each upstream, with its packages loaded only once.

argv: program, its arguments. Environment: COLUMNS, JSON: [{"name", "model", "embed", "skip"}].
"""
import json
import os
import runpy
import sys
from pathlib import Path

import scenario

sys.argv = sys.argv[1:]
code = 0
for column in json.loads(os.environ["COLUMNS"]):
    scenario.turn_to(**column)
    try:
        runpy.run_path(str(Path(__file__).with_name(sys.argv[0])))
    except SystemExit as end:
        code = code or end.code
sys.exit(code)
