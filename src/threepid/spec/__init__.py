"""What the Matrix specification says: errors, types, endpoints, signatures. Pure: no input, no output, no clock."""
