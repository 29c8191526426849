"""What importers of identity servers share: records, the writer, and the run that reads, writes and compares the counts."""
