"""Put the recorded figures into the site, as `figures/NAME.png`, without copies in `docs/`."""

from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
FOLDERS = ("results", "benchmarks/results")


def recorded_figures():
    """Path in the site, and file, of every recorded figure."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.png")):
            yield f"figures/{path.relative_to(ROOT / folder).as_posix()}", path


def on_files(files, config):
    """Add the figures to the files of the site."""
    for name, path in recorded_figures():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files
