"""The console under `/admin/`: pages on which operators find a person, see why a message did not arrive, and act."""
