"""The rules of both servers. They contain no HTTP and no SQL, and raise the errors of `spec.errors`."""
