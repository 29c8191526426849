"""Mails: sent to relays over SMTP, or handed to a program of this machine."""
