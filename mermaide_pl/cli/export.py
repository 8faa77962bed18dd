"""`mermaide export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mermaide_pl.cli.early_checks import check_inputs
from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import DEFAULT_PRINCIPAL
from mermaide_pl.config.output_paths import make_place
from mermaide_pl.runtime.console import say


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide export",
        description="Write one decision step of a principal as a file that programs without"
        " PyTorch can run: in a browser, or in other languages. Its metadata say what goes in and"
        " comes out.",
    )
    parser.add_argument(
        "--ckpt_path",
        type=str,
        default=DEFAULT_PRINCIPAL,
        help="checkpoint of a principal, or pretrained:NAME",
    )
    parser.add_argument(
        "--format", choices=("onnx",), default="onnx", help="format of the file, for ONNX Runtime"
    )
    parser.add_argument("--out", type=str, required=True, help="the file, such as principal.onnx")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Write one decision step of a principal as a file."""
    given = parser().parse_args(list(arguments))
    check_inputs(lambda: make_place(Path(given.out)), ckpt_path=given.ckpt_path)
    with needs_extra("export", "an export", "onnx", "onnxruntime", "onnxscript"):
        from mermaide_pl.deployment.onnx_export import export_onnx

        say(f"translating {given.ckpt_path}, then comparing it with PyTorch")
        exported = export_onnx(given.ckpt_path, given.out)
    say(
        f"{given.out}: one decision step of {given.ckpt_path}, for games of {exported.games}"
        f"   size: {exported.num_bytes / 1000:.0f} kB   largest difference from PyTorch in"
        f" {exported.num_steps} steps: {exported.difference:.1e}"
    )
