"""The job types: messages, and calls to other servers."""
