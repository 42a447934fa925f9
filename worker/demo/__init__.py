"""What `sms demo` sends: a list of recipients who do not exist, and a producer that knows nothing of this project."""
