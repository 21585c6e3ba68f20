"""Turns every public name set as code, such as `SatCLIPEmbedder` or `extract()`, into a link to its page."""

import importlib
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import geofeat

ROOMS = ("datasets", "evaluation", "exceptions")
_NAME = re.compile(r"(?:geofeat\.)?((?:[a-z]+\.)?\w+)(?:\(.*\))?", re.DOTALL)


def public_pages() -> dict[str, str]:
    """Public names as pages write them, with and without their room, and what they mean."""
    pages = {name: f"geofeat.{name}" for name in geofeat.__all__ if name not in ROOMS}
    for room in ROOMS:
        for name in importlib.import_module(f"geofeat.{room}").__all__:
            pages[name] = pages[f"{room}.{name}"] = f"geofeat.{room}.{name}"
    return pages


class LinkPublicNames(SphinxTransform):
    """Wrap literals that name something public in a reference, outside titles and other links."""

    default_priority = 400
    pages = public_pages()

    def apply(self, **kwargs):
        """Wrap the literals of one page."""
        for literal in list(self.document.findall(nodes.literal)):
            found = _NAME.fullmatch(literal.astext())
            target = self.pages.get(found[1]) if found else None
            if target is None or self.env.docname == f"generated/{target}" or _is_linked(literal):
                continue
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True
            )
            literal.replace_self(link)
            link += literal


def _is_linked(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.reference | nodes.title | addnodes.pending_xref):
            return True
    return False


def setup(app):
    """Connect the transform."""
    app.add_transform(LinkPublicNames)
    return {"parallel_read_safe": True}
