"""`python -m threepid`."""

from threepid.cli import main

main()
