"""`python -m mermaide_pl` is `mermaide`."""

from mermaide_pl.cli.main import main

if __name__ == "__main__":
    main()
