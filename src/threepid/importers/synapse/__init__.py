"""Synapse: https://element-hq.github.io/synapse/latest/.

| module | what is in it |
|---|---|
| `configuration` | what `homeserver.yaml` says of the database and of passwords |
| `reader` | the rows of each user |
| `checks` | records of the rows, and findings of what is not carried |
"""
