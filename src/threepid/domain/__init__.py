"""What is allowed: rules that know no HTTP and no SQL, and raise the errors of `spec.errors`."""
