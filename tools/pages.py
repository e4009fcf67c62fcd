"""Check built pages: nothing comes from the network, and every link inside leads somewhere.

    python tools/pages.py FOLDER

Prints what is wrong, a line each.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
REMOTE = re.compile(r"^(?:https?:)?//")
IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//")
NOT_LOADED = {"canonical", "index", "search", "next", "prev", "author"}  # of <link rel=...>


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.places = [], [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note what the tag says."""
        values = dict(attrs)
        self.places.update(values[name] for name in ("id", "name") if values.get(name))
        target = values.get(LOADED.get(tag, ""))
        if target and values.get("rel") not in NOT_LOADED:
            self.loaded.append(target)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


def faults(folder):
    """What is wrong, a line each."""
    paths = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}  # what themes keep there is templates
    for path, page in pages.items():
        where = path.relative_to(folder)
        for target in page.loaded:
            if REMOTE.match(target):
                yield f"{where}: loads {target}"
            elif not (path.parent / urldefrag(target).url.partition("?")[0]).exists():
                yield f"{where}: loads {target}, which is not there"
        for link in page.links:
            if re.match(r"\w+:|//", link):
                continue
            url, place = urldefrag(link)
            target = (path.parent / unquote(url)).resolve() if url else path
            if not target.exists():
                yield f"{where}: {link} leads to no file"
            elif target in pages and unquote(place) not in pages[target].places:
                yield f"{where}: {link} leads to no place in {target.name}"
    for path in folder.rglob("*.css"):
        if IN_STYLE.search(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(folder)}: loads something by url() or @import"


def main(folder):
    """Print the faults; return the exit status."""
    found = sorted(set(faults(Path(folder).resolve())))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(Path(folder).rglob('*.html')))} pages, {len(found)} faults")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
