"""The ways to send SMS. Each tells what was certainly not sent from what may have been sent."""
