"""Check built HTML pages: they load nothing from the network, and all internal links are valid.

    python tools/pages.py FOLDER

Prints one line for each fault.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
REMOTE = re.compile(r"^(?:https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//")
NOT_LOADED = {"canonical", "index", "search", "next", "prev", "author"}  # values of <link rel=...>


class Page(HTMLParser):
    """The links of a page, the files that it loads, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Record the links, loads and anchors of a tag."""
        values = dict(attrs)
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        target = values.get(LOADED.get(tag, ""))
        if target and values.get("rel") not in NOT_LOADED:
            self.loaded.append(target)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


def faults(folder):
    """The faults of all pages, one line each."""
    # The HTML files in _static are templates of the theme.
    paths = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}
    for path, page in pages.items():
        where = path.relative_to(folder)
        for target in page.loaded:
            if REMOTE.match(target):
                yield f"{where}: loads {target}"
            elif not (path.parent / urldefrag(target).url.partition("?")[0]).exists():
                yield f"{where}: loads {target}, which does not exist"
        for link in page.links:
            if re.match(r"\w+:|//", link):
                continue
            url, anchor = urldefrag(link)
            target = (path.parent / unquote(url)).resolve() if url else path
            if not target.exists():
                yield f"{where}: {link} links to a file that does not exist"
            elif target in pages and unquote(anchor) not in pages[target].anchors:
                yield f"{where}: {link} links to an anchor that {target.name} does not have"
    for path in folder.rglob("*.css"):
        if IN_STYLE.search(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(folder)}: loads from the network by url() or @import"


def main(folder):
    """Print the faults; return the exit status."""
    found = sorted(set(faults(Path(folder).resolve())))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(Path(folder).rglob('*.html')))} pages, {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
