"""The web page: looking in and acting, for people who are logged in."""
