"""What every page that is handed to somebody must be: whole, well-formed, and alone."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

# Attributes with which a page fetches, or leads to, something else.
LEADING = {
    *("src", "href", "srcset", "action", "formaction", "poster", "data", "background", "cite"),
    *("ping", "manifest", "usemap", "longdesc", "profile", "archive", "codebase", "classid"),
}
FETCHING_TAGS = {
    *("script", "link", "iframe", "frame", "object", "embed", "img", "audio", "video", "source"),
    *("base", "form", "input", "button", "image", "use", "foreignObject", "animate", "set", "a"),
}


def parsed(page: str) -> Element:
    """Return the tree of a page; a tag that is not closed, or text that is not escaped, fails."""
    assert page.startswith("<!doctype html>\n")
    return ElementTree.fromstring(page.removeprefix("<!doctype html>\n"))


def assert_alone(page: str) -> Element:
    """Check that a page needs nothing and leads nowhere; return its tree."""
    tree = parsed(page)
    for element in tree.iter():
        assert element.tag not in FETCHING_TAGS, element.tag
        for name, value in element.attrib.items():
            assert name.rpartition("}")[2] not in LEADING, f"{element.tag} {name}={value}"
            assert not name.startswith("on"), f"{element.tag} {name}"
            assert "url(" not in value, f"{element.tag} {name}={value}"
        if element.tag == "style":
            style = element.text or ""
            assert not re.search(r"url\(|@import|expression|//", style)
    policy = [m.get("content") for m in tree.iter("meta") if m.get("http-equiv")]
    assert len(policy) == 1
    assert str(policy[0]).startswith("default-src 'none'; style-src 'unsafe-inline';")
    return tree


def assert_told_to_everybody(tree: Element) -> None:
    """Check that pictures have words, tables have heads, and names are unique."""
    names = [name for element in tree.iter() if (name := element.get("id"))]
    assert len(names) == len(set(names))
    for element in tree.iter():
        for name in (element.get("aria-labelledby") or "").split():
            assert name in names
    for picture in tree.iter("svg"):
        title, words = picture.find("title"), picture.find("desc")
        assert title is not None
        assert title.text
        assert words is not None
        assert words.text
    for table in tree.iter("table"):
        heads = table.findall("thead/tr/th")
        assert heads
        assert all(head.get("scope") == "col" for head in heads)
        assert all(len(row) == len(heads) for row in table.findall("tbody/tr"))


def rows_of(tree: Element, table_id: str) -> list[list[str]]:
    """Return the cells of a table as texts."""
    table = next(t for t in tree.iter("table") if t.get("id") == table_id)
    return [["".join(cell.itertext()).strip() for cell in row] for row in table.iter("tr")][1:]
