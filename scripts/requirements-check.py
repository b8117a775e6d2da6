#!/usr/bin/env python3
"""Every Python requirement has one version and its hashes: requirements-check.py FILE...

pip compares them where it is called with --require-hashes, as scripts/python-packages.sh does. Options that
bring packages from elsewhere are refused, too. Needs nothing but Python.
"""

import re
import sys
from pathlib import Path

PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]+\])?==[^\s;*]+(\s*;.*?)?$")
HASH = re.compile(r"^sha256:[0-9a-f]{64}$")


def lines(text):
    """Number and content of each requirement, whose lines end in a backslash but for the last."""
    whole, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        began = began if whole else number
        whole += " " + line.removesuffix("\\") if whole else line.removesuffix("\\")
        if not line.endswith("\\"):
            if whole.strip():
                yield began, whole.strip()
            whole = ""
    if whole.strip():
        yield began, whole.strip()


def faults(text):
    """What is wrong with a file of requirements, a sentence each."""
    found = 0
    for number, line in lines(text):
        name, *hashes = re.split(r"\s+--hash=", line)
        found += 1
        if line.startswith("-"):
            yield f"{number}: an option has no place here: {line}"
        elif not PIN.match(name):
            yield f"{number}: {name} isn't pinned by =="
        elif not hashes:
            yield f"{number}: {name} has no hash"
        elif wrong := [given for given in hashes if not HASH.match(given)]:
            yield f"{number}: {name} has a hash that isn't one of SHA-256: {wrong[0]}"
    if not found:
        yield "1: there is no requirement"


def selftest():
    """The check itself: what it lets through, and what it finds."""
    digest = "sha256:" + "0" * 64
    good = f"# a comment\na==1.0 \\\n    --hash={digest} \\\n    --hash={digest}\nb-c[d]==2.1.post1 ; python_version < '3' --hash={digest}\n"
    assert list(faults(good)) == [], list(faults(good))
    for text, word in [
        ("a==1.0\n", "no hash"),
        (f"a>=1.0 --hash={digest}\n", "isn't pinned"),
        (f"a==1.* --hash={digest}\n", "isn't pinned"),
        ("a==1.0 --hash=md5:00\n", "SHA-256"),
        (f"--find-links wheels\na==1.0 --hash={digest}\n", "option"),
        (f"a==1.0 \\\n    --hash={digest}\nb==1.0 \\\n\nc==1.0 --hash={digest}\n", "3: b==1.0 has no hash"),
        ("# nothing\n", "no requirement"),
    ]:
        assert any(word in fault for fault in faults(text)), (text, list(faults(text)))


def main():
    selftest()
    wrong = [f"{name}:{fault}" for name in sys.argv[1:] for fault in faults(Path(name).read_text(encoding="utf-8"))]
    print(*wrong, sep="\n") if wrong else print(f"requirements: each of {len(sys.argv) - 1} files has versions and hashes")
    return bool(wrong) or len(sys.argv) < 2


if __name__ == "__main__":
    sys.exit(main())
