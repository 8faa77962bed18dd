"""Put the notebooks into the site as they are stored, as pages `notebooks/NAME.md`."""

import re
from pathlib import Path

from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
_NO_MACROS = "---\nrender_macros: false\n---\n\n"
_OF_PANDAS = re.compile(r'<style scoped>.*?</style>\s*| border="1" class="dataframe"', re.DOTALL)


def page_of(path):
    """The notebook as Markdown, and its pictures by their names in the page."""
    resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    text, resources = MarkdownExporter().from_filename(path, resources)
    title, _, rest = _OF_PANDAS.sub("", text).strip().partition("\n")
    download = f"*[The notebook]({path.name}), to run it yourself.*"
    return f"{_NO_MACROS}{title}\n\n{download}\n{_described(rest)}\n", resources["outputs"]


def _described(text):
    """Give each picture the heading above it as its text."""
    heading, lines = "", []
    for line in text.splitlines():
        heading = line.lstrip("# ") if line.startswith("## ") else heading
        lines.append(line.replace("![png](", f"![{heading}]("))
    return "\n".join(lines)


def on_files(files, config):
    """Add the pages, the pictures, and the notebooks themselves."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, pictures = page_of(path)
        added = {f"notebooks/{path.stem}.md": text}
        added |= {f"notebooks/{name}": picture for name, picture in pictures.items()}
        for name, content in added.items():
            files.append(File.generated(config, name, content=content))
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files
