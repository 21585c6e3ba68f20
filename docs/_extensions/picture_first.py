"""Shows the figure of a gallery page below its answer, before the code that draws it."""

import re
from pathlib import Path

_FIGURE = re.compile(r"^\.\. image-sg:: \S+_(\d{3})\.png\n(?:   .+\n)+", re.MULTILINE)
_CODE = ".. GENERATED FROM PYTHON SOURCE LINES"
_NUMBER = re.compile(r"# sphinx_gallery_thumbnail_number = (\d+)")


def show_picture_first(app, docname, content):
    """Repeat the figure that serves as the thumbnail after the introduction of a page."""
    folder, _, name = docname.partition("/")
    if folder != "auto_gallery" or not name.startswith("plot_"):
        return
    chosen = _NUMBER.search(Path(app.srcdir, "gallery", f"{name}.py").read_text(encoding="utf-8"))
    number = int(chosen[1]) if chosen else 1
    text = content[0]
    figures = {int(found[1]): found[0] for found in _FIGURE.finditer(text)}
    place = text.index(_CODE)
    content[0] = f"{text[:place]}{figures[number]}\n{text[place:]}"


def setup(app):
    """Connect to the reading of sources."""
    app.connect("source-read", show_picture_first)
    return {"parallel_read_safe": True}
