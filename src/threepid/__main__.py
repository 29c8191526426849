"""The entry point of `python -m threepid`."""

from threepid.cli import main

main()
