"""The two database engines behind one interface, their schema and its migrations."""
