"""What spans the rooms in one transaction: the beginning, the recovery and the end of an account."""
