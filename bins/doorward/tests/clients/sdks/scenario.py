"""What every client is asked to do and must get back; one JSON line per check.

Environment: BASE (the gateway's root), KEY, MODEL, EMBED (an embedding model), SKIP (checks that
cannot be, by name, divided by commas; the caller tells why).
"""
import json
import os
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

BASE, KEY = os.environ["BASE"], os.environ["KEY"]
MODEL, EMBED = os.environ.get("MODEL", ""), os.environ.get("EMBED", "")
PLAIN = json.loads(Path(__file__).with_name("scenario.json").read_text())
SKIPPED = set(os.environ.get("SKIP", "").split(","))
SCENARIO = json.loads(
    Path(__file__).with_name("scenario.json").read_text(),
    object_hook=lambda fields: SimpleNamespace(**fields),
)
UPSTREAM = None
failed = False


def turn_to(name, model, embed, skip):
    """Asks another upstream from here on."""
    global UPSTREAM, MODEL, EMBED, SKIPPED
    UPSTREAM, MODEL, EMBED, SKIPPED = name, model, embed, set(skip)


def check(name):
    """Runs one check and tells how it went; a failure is an exit code at the end."""

    def run(act):
        global failed
        if name in SKIPPED:
            return
        began, told = time.monotonic(), None
        try:
            act()
        except Exception:
            told = traceback.format_exc(limit=4)
            failed = True
        ms = round((time.monotonic() - began) * 1000)
        line = {"upstream": UPSTREAM, "check": name, "ok": told is None, "ms": ms, "told": told}
        print(json.dumps(line), flush=True)

    return run


def done():
    sys.exit(1 if failed else 0)


def equal(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def counted(given, taken):
    equal({"input": given, "output": taken}, PLAIN["usage"])


def streamed(pieces, whole):
    assert len(pieces) > 3, f"only {len(pieces)} pieces"
    equal("".join(pieces), whole)


def called(calls):
    """Pairs of name and arguments, as text or parsed."""
    told = [
        {"name": name, "arguments": json.loads(given) if isinstance(given, str) else given}
        for name, given in calls
    ]
    equal(told, PLAIN["tools"]["calls"])


def distinct(ids):
    assert all(ids) and len(set(ids)) == len(ids), f"ids: {ids}"


def result(name):
    return PLAIN["tools"]["results"][name]


def refused(kind, act, words=True):
    try:
        act()
    except kind as error:
        equal(error.status_code, PLAIN["error"]["status"])
        assert not words or PLAIN["error"]["message"] in str(error), str(error)
        return
    raise AssertionError("it did not fail")
