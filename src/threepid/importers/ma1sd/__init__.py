"""Imports from a ma1sd, or from the mxisd that it comes from: SQLite or PostgreSQL, and a folder of keys.

https://github.com/ma1uta/ma1sd
"""
