"""Writes formulas as MathML, which browsers draw themselves: no script, hence no network."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def visit_inline_formula(self, node):
    """Write a formula within a line."""
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block_formula(self, node):
    """Write a formula on a line of its own, which scrolls where the screen is narrow."""
    self.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Offer the renderer as "mathml"."""
    app.add_html_math_renderer("mathml", (visit_inline_formula, None), (visit_block_formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
