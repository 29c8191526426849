"""What operators see of accounts and do to them. The command line and the admin API call these functions."""
