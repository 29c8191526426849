"""Brings the accounts of other servers in: a folder for each kind of server, and what all of them share.

A reader reads rows of the other server, and never writes there. Checks make records of the rows, and findings of what cannot be
carried. The writer compares the records with what was imported before, and writes what changed.
"""
