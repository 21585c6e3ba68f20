"""The directive ``benchmark-record``: what a benchmark script printed, and on which machine.

Records are written by ``benchmarks/record.py`` into ``docs/performance``.
"""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

RECORDS = Path(__file__).parents[1] / "performance"


def read_record(name: str) -> tuple[dict[str, str], str]:
    """Read the facts of the machine and the output of a script, named without its ending."""
    head, _, output = (RECORDS / f"{name}.txt").read_text(encoding="utf-8").partition("\n\n")
    return dict(line.split(": ", 1) for line in head.splitlines()), output.strip("\n")


class BenchmarkRecord(SphinxDirective):
    """Show the record of the script that the argument names."""

    required_arguments = 1

    def run(self):
        """Return the output as it was printed, below a line that says where and when."""
        name = self.arguments[0]
        self.env.note_dependency(str(RECORDS / f"{name}.txt"))
        facts, output = read_record(name)
        day = facts["date"].split()[0]
        load = facts["load of the machine before the run"]
        where = nodes.paragraph(classes=["benchmark-facts"])
        where += nodes.literal(text=f"benchmarks/{name}.py")
        where += nodes.Text(
            f", {day}, commit {facts['commit']}, load of the machine before: {load}"
        )
        shown = nodes.literal_block(output, output, language="text", classes=["benchmark-output"])
        return [where, shown]


class BenchmarkMachine(SphinxDirective):
    """Name the machine and the libraries of all records; they must agree."""

    def run(self):
        """Return a list of the facts."""
        records = [read_record(path.stem)[0] for path in sorted(RECORDS.glob("*.txt"))]
        items = []
        for fact in ("processor", "system", "libraries"):
            values = {record[fact] for record in records}
            if len(values) > 1:
                raise self.error(f"records of several machines: {fact} is {sorted(values)}")
            text = nodes.paragraph(text=f"{fact.capitalize()}: {values.pop()}")
            items.append(nodes.list_item("", text))
        return [nodes.bullet_list("", *items)]


def setup(app):
    """Add the directives."""
    app.add_directive("benchmark-record", BenchmarkRecord)
    app.add_directive("benchmark-machine", BenchmarkMachine)
    return {"parallel_read_safe": True}
