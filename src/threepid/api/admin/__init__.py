"""The admin API, for operators and their programs. It is not part of the specification."""
