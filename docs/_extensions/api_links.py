"""Links public names set as code to their pages; keeps citations out of the tables of names."""

import importlib
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.ext.autosummary import autosummary_table
from sphinx.transforms import SphinxTransform

import geofeat

ROOMS = ("datasets", "evaluation", "exceptions", "plotting")
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


class DropCitationsFromTables(SphinxTransform):
    """Take references such as [1] out of the one-line summaries, where their list is far away."""

    default_priority = 400

    def apply(self, **kwargs):
        """Clean the tables of one page."""
        for table in self.document.findall(autosummary_table):
            for citation in list(table.findall(nodes.citation_reference)):
                before = citation.previous_sibling()
                if isinstance(before, nodes.Text):
                    before.parent.replace(before, nodes.Text(before.rstrip()))
                citation.parent.remove(citation)


def _is_linked(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.reference | nodes.title | addnodes.pending_xref):
            return True
    return False


def setup(app):
    """Connect the transforms."""
    app.add_transform(LinkPublicNames)
    app.add_transform(DropCitationsFromTables)
    return {"parallel_read_safe": True}
