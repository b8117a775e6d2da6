#!/usr/bin/env python3
"""A preprocessor of mdBook: makes links that lead out of docs/ links to the repository, and those to a README links to its folder.

REPOSITORY_URL, such as https://git.example.com/team/kubesentiment, says where that is; without it only their text is left.
mdBook calls it with the book on the standard input. Needs nothing but Python.
"""

import json
import os
import posixpath
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"(^ *(`{3,}|~{3,}).*?^ *\2`*\s*$)", re.M | re.S)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def relinked(text, folder, repository):
    """The text of a page in a folder of docs/."""

    def link(match):
        words, target = match.groups()
        path, hash_, fragment = target.partition("#")
        path = posixpath.normpath(posixpath.join("docs", folder, path))
        if path == "docs" or path.startswith("docs/"):
            # mdBook calls such a page index, and leaves the links to it alone.
            return match.group().replace("README.md", "index.md")
        if not repository:
            return words
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{words}]({repository}/{kind}/HEAD/{path}{hash_}{fragment})"

    # Every third part is a fence, and the one after it what the fence begins with.
    parts = FENCE.split(text)
    return "".join(LINK.sub(link, part) if index % 3 == 0 else part for index, part in enumerate(parts) if index % 3 != 2)


def walk(items, repository):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            if chapter.get("path"):
                chapter["content"] = relinked(chapter["content"], posixpath.dirname(chapter["path"]), repository)
            walk(chapter["sub_items"], repository)


def selftest():
    url = "https://git.example.com/a/b"
    page = "[x](../CHANGELOG.md#a) [y](status.md) [z](../config) [w](adr/README.md) `c`\n```\n[f](../LICENSE)\n```\n[e](#here)"
    want = page.replace("../CHANGELOG.md#a", f"{url}/blob/HEAD/CHANGELOG.md#a").replace("../config", f"{url}/tree/HEAD/config")
    assert relinked(page, "", url) == want.replace("README", "index"), relinked(page, "", url)
    assert relinked("[x](../status.md) [`y`](../../LICENSE) [z](https://a.b/README.md)", "adr", "") == "[x](../status.md) `y` [z](https://a.b/README.md)"


def main():
    if sys.argv[1:] == ["selftest"]:
        selftest()
        return
    if sys.argv[1:2] == ["supports"]:
        return
    book = json.load(sys.stdin)[1]
    walk(book.get("items") or book.get("sections"), os.environ.get("REPOSITORY_URL", "").rstrip("/"))
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
