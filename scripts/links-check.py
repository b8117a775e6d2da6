#!/usr/bin/env python3
"""Every relative link in the Markdown files of this repository leads somewhere: links-check.py

Files and folders must be there, and under version control; anchors must be headings of the page. Every page in docs/ must
have its place in docs/SUMMARY.md, so that the site has it. Links to other sites aren't followed. Needs nothing but Python and git.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^ *\2`*\s*$", re.M | re.S)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
COMMENT = re.compile(r"<!--.*?-->", re.S)
LINK = re.compile(r"\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s*<?(\S+?)>?(?:\s|$)", re.M)
ATTRIBUTE = re.compile(r"<[a-z][^>]*?\s(?:href|src|srcset)=\"([^\"]+)\"", re.S)
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.M)
ID = re.compile(r"<[a-z][^>]*?\s(?:id|name)=\"([^\"]+)\"")


def blank(match):
    """As many lines, and nothing on them."""
    return "\n" * match.group().count("\n")


def anchor(heading):
    """What GitHub and mdBook make of a heading."""
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    heading = re.sub(r"<[^>]+>", "", heading)
    return "".join("-" if c.isspace() else c for c in heading.strip().lower() if c.isalnum() or c in "_-" or c.isspace())


def anchors(text):
    text = FENCE.sub(blank, COMMENT.sub(blank, text))
    seen, found = {}, set(ID.findall(text))
    for heading in HEADING.findall(text):
        name = anchor(heading)
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def links(text):
    """Number of the line, and where each link leads."""
    text = FENCE.sub(blank, COMMENT.sub(blank, text))
    text = CODE.sub(lambda code: "`" + blank(code) + "`", text)
    for pattern in (LINK, REFERENCE, ATTRIBUTE):
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match.group(1)


def selftest():
    assert anchor("`spec.auth.limits[].burst`") == "specauthlimitsburst"
    assert anchor("What creating a SentimentService means") == "what-creating-a-sentimentservice-means"
    assert anchor("A [link](x.md) & more, v1.5") == "a-link--more-v15"
    assert anchors("# A\n```\n# B\n```\n## A\n") == {"a", "a-1"}
    found = list(links("[a](b.md#c \"t\") `[x](y)`\n```\n[n](o)\n```\n<img src=\"p.svg\">\n[r]: s.md\n"))
    assert found == [(1, "b.md#c"), (6, "s.md"), (5, "p.svg")], found


def main():
    selftest()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = {name for name in listed.split("\0") if name}
    folders = {str(parent) for name in files for parent in Path(name).parents}
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in sorted(files) if name.endswith(".md")}
    known = {name: anchors(text) for name, text in pages.items()}
    wrong, count = [], 0
    for name, text in pages.items():
        for line, target in links(text):
            if re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.I) or not target:
                continue
            count += 1
            path, _, fragment = unquote(target).partition("#")
            there = name
            if path:
                there = (ROOT / name).parent.joinpath(path).resolve()
                if not there.is_relative_to(ROOT):
                    wrong.append(f"{name}:{line}: {target} leads out of the repository")
                    continue
                there = str(there.relative_to(ROOT))
            if there not in files and there not in folders:
                wrong.append(f"{name}:{line}: {target} isn't there")
            elif fragment and there in known and fragment not in known[there]:
                wrong.append(f"{name}:{line}: {target}: {there} has no heading with that anchor")
    chapters = {f"docs/{target}" for _, target in links(pages.get("docs/SUMMARY.md", ""))}
    for name in sorted(pages):
        if name.startswith("docs/") and name not in chapters and name not in ("docs/SUMMARY.md", "docs/adr/template.md"):
            wrong.append(f"docs/SUMMARY.md: {name} has no place in it")
    print(*wrong, sep="\n") if wrong else print(f"links: {count} in {len(pages)} pages lead somewhere")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
