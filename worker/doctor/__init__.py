"""``sms doctor``: checks everything this needs. One file for each neighbourhood, and `rounds` goes through them."""
