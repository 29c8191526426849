"""Reports about mails that came back, and about mails that their recipients reported as spam."""
