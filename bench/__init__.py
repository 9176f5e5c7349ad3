"""Races against the peers that are installed. `python -m bench --help` lists them."""
