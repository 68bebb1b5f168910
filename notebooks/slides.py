"""Chapters as slides: ``python notebooks/slides.py [FOLDER_OF_REVEAL_JS]`` writes ``build/slides/NN_name.slides.html``.

A cell opens a slide where its metadata says so (``slideshow={"slide_type": "slide"}``) or its tag is ``slide``; other
text opens a slide below it, outputs follow their text. Code and exercises are left out: they are for the live notebook.
Figures are shown as their SVG, as mermaid needs the network.
"""

import base64
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode

import figures

# Long slides scroll.
_STYLE = "<style>.reveal .slides section section { max-height: 680px; overflow-y: auto }</style>"

# nbconvert's page loads reveal.js through require.js, itself from the network; this stands in for it.
_REQUIRE = """
function require(options, files, start) {
  const load = (file) => new Promise((done) => {
    const script = document.createElement("script");
    Object.assign(script, {src: file, onload: done});
    document.head.append(script);
  });
  Promise.all(files.map(load)).then(() => start(Reveal, RevealNotes));
}
"""

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def set_slide_types(notebook: NotebookNode) -> None:
    """Give each cell that has none a slide type."""
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", ()))
        kind = "subslide" if cell.cell_type == "markdown" else "-"
        if tags & {"setup", "exercise", "check"}:
            kind = "skip"
        elif "slide" in tags:
            kind = "slide"
        cell.metadata.setdefault("slideshow", {"slide_type": kind})


def show_figures(notebook: NotebookNode, chapter: str) -> None:
    """Put each figure's SVG in the place of its mermaid block."""

    def image(mermaid: str) -> str:
        svg = (HERE / "figures" / figures.figure_name(chapter, mermaid)).read_bytes()
        title = figures.parse(mermaid).title
        return f"![{title}]({data_uri('image/svg+xml', svg)})"

    for cell in notebook.cells:
        for block in figures.blocks(cell.source) if cell.cell_type == "markdown" else ():
            linked = figures.link_figures(f"```mermaid\n{block}```", chapter, "figures")
            cell.source = cell.source.replace(linked, image(block))


def main(folders: list[str]) -> None:
    reveal = Path(folders[0]) if folders else BUILD / "reveal.js"
    if folders and not reveal.is_dir():
        raise SystemExit(f"expected a folder with reveal.js at {reveal}, there is none")
    exporter = SlidesExporter(exclude_input=True, exclude_output_prompt=True)
    if reveal.is_dir():
        exporter.reveal_url_prefix = reveal.resolve().as_uri()
        exporter.require_js_url = data_uri("text/javascript", _REQUIRE.encode())
    else:
        print("slides load reveal.js from the network; for a room without it, put reveal.js in build/reveal.js")
    (BUILD / "slides").mkdir(parents=True, exist_ok=True)
    for path in sorted(HERE.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        set_slide_types(notebook)
        show_figures(notebook, path.stem)
        target = BUILD / "slides" / f"{path.stem}.slides.html"
        page, _ = exporter.from_notebook_node(notebook)
        target.write_text(page.replace("</head>", f"{_STYLE}</head>", 1), "utf-8")
        print(target.relative_to(HERE.parent))


if __name__ == "__main__":
    main(sys.argv[1:])
