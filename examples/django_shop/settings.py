"""The settings of a tiny shop; all that is secret or differs comes from the environment."""

import os
import secrets

# Without one, a new one at each start: nothing here is signed with it.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_hex(32)
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = ["django_shop"]
ROOT_URLCONF = "django_shop.views"
USE_TZ = True
TIME_ZONE = "UTC"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DATABASE", "shop.db"),
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},  # who comes second waits, instead of failing
    }
}

BROKER_URL = os.environ["BROKER_URL"]
SMS_CALLBACK_URL = os.environ["SMS_CALLBACK_URL"]  # of this shop's view, as the SMS workers reach it
SMS_CALLBACK_SECRET = os.environ["SMS_CALLBACK_SECRET"]  # the same as theirs
